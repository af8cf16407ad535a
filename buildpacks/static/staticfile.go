package static

import (
	"fmt"
	"path"
	"strings"

	"github.com/berthd/berth/buildpacks/source"
)

// The files by which a site says how it is served.
const (
	staticfile = "Staticfile"  // Cloud Foundry's, Dokku's nginx buildpack has it too
	staticJSON = "static.json" // Heroku's
)

// site is how a folder is served.
type site struct {
	root     string // "."
	fallback string // "index.html" for what has its routes in the browser
	missing  string // the page of what is not there; "" is the server's own
}

// read reads the file by which a site says how it is served, and names it. The
// folder of a site that is built may not be there yet.
func read(t *source.Tree, built bool) (s site, file string, err error) {
	for _, f := range []struct {
		name string
		read func(*source.Tree) (site, error)
	}{{staticfile, readStaticfile}, {staticJSON, readStaticJSON}} {
		s, err = f.read(t)
		if source.Missing(err) {
			continue
		}
		if err != nil {
			return site{}, "", err
		}
		if s.root == "" {
			s.root = defaultRoot(t)
		}
		if !built && !t.IsDir(s.root) {
			return site{}, "", source.Problemf(source.CodeStatic, "%s names the folder %q, which does not exist", f.name, source.Printable(s.root)).
				Hint("the folder must be in the repository: a static site is not built").
				Hint("to build it, name heroku/nodejs and then heroku-community/static in .buildpacks")
		}
		return s, f.name, nil
	}
	return site{}, "", nil
}

func defaultRoot(t *source.Tree) string {
	for _, dir := range folders {
		if t.Has(path.Join(dir, "index.html")) {
			return dir
		}
	}
	return "."
}

// readStaticfile reads lines of "root: public". What nginx alone can do is
// named and ignored.
func readStaticfile(t *source.Tree) (site, error) {
	text, err := t.Text(staticfile, source.MaxManifest)
	if err != nil {
		return site{}, err
	}
	var s site
	for i, raw := range source.Lines(text) {
		line, _, _ := strings.Cut(raw, " #")
		if strings.HasPrefix(raw, "#") || strings.TrimSpace(line) == "" || strings.TrimSpace(line) == "---" {
			continue
		}
		key, value, colon := strings.Cut(line, ":")
		key, value = strings.TrimSpace(key), strings.Trim(strings.TrimSpace(value), `"'`)
		if !colon {
			return s, source.Problemf(source.CodeStatic, "%s, line %d: no colon after the name", staticfile, i+1).
				With(fmt.Sprintf("%d | %s", i+1, source.Printable(raw))).
				Hint("write it as root: public")
		}
		switch on := value == "enabled" || value == "true" || value == "on"; key {
		case "root":
			if s.root, err = within(staticfile, value); err != nil {
				return s, err
			}
		case "pushstate":
			if on {
				s.fallback = "index.html"
			}
		case "force_https", "status_codes", "404":
			if key == "404" { // below status_codes
				if s.missing, err = within(staticfile, value); err != nil {
					return s, err
				}
			}
		default:
			t.Note("%s: %s is not supported by berth's file server", staticfile, source.Printable(key))
		}
	}
	return s, nil
}

// readStaticJSON reads the root, the error page and a route of everything.
func readStaticJSON(t *source.Tree) (site, error) {
	doc, err := t.JSON(source.CodeStatic, staticJSON, source.MaxManifest)
	if err != nil {
		return site{}, err
	}
	var s site
	root := doc.String("root")
	if root == "" {
		root = "public_html" // its documented default
	}
	if s.root, err = within(staticJSON, root); err != nil {
		return s, err
	}
	if page := doc.String("error_page"); page != "" {
		if s.missing, err = within(staticJSON, page); err != nil {
			return s, err
		}
	}
	if page := doc.String("routes", "/**"); page != "" {
		if s.fallback, err = within(staticJSON, page); err != nil {
			return s, err
		}
	}
	return s, nil
}

// within returns a path of the repository as it is written in one of its files.
func within(file, name string) (string, error) {
	clean := path.Clean(strings.TrimLeft(name, "/"))
	if clean == ".." || strings.HasPrefix(clean, "../") || strings.HasPrefix(clean, "-") || strings.ContainsAny(name, "\x00,") {
		return "", source.Problemf(source.CodeStatic, "%s names %q, which is not a path in the repository", file, source.Printable(name))
	}
	return clean, nil
}
