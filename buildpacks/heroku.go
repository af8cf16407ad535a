package buildpacks

import (
	"fmt"
	"path"
	"strings"

	"github.com/berthd/berth/buildpacks/heroku"
	"github.com/berthd/berth/buildpacks/plan"
	"github.com/berthd/berth/buildpacks/source"
)

// herokuNames are the buildpacks that Heroku, Dokku and their users keep, and the
// languages that they stand for; "" is one that builds no app by itself and whose
// work is done here by other means.
var herokuNames = map[string]string{
	"heroku/python": "python",
	"heroku/nodejs": "node",
	"heroku/go":     "go",
	"heroku/java":   "java",
	"heroku/gradle": "java",
	"heroku/ruby":   "ruby",
	"heroku/php":    "php",
	"emk/rust":      "rust",

	"heroku/static": "static", "heroku-community/static": "static", "dokku/nginx": "static",

	"heroku/apt": "", "heroku-community/apt": "", "heroku/metrics": "",
}

// named is a buildpack that a repository names.
type named struct {
	text string // as it was written
	from string // ".buildpacks, line 2"
}

// language returns the language that a buildpack stands for, "" for one that
// builds no app by itself. Names are "heroku/python", and addresses of its
// repository or archive, with or without a version behind #.
func (n named) language() (name string, known bool) {
	text, _, _ := strings.Cut(n.text, "#")
	text = strings.TrimRight(strings.TrimSpace(strings.ToLower(text)), "/")
	text = strings.TrimPrefix(text, "urn:buildpack:")
	text = strings.ReplaceAll(text, "git@github.com:", "github.com/") // as scp writes it
	for _, suffix := range []string{".git", ".tgz", ".tar.gz"} {
		text = strings.TrimSuffix(text, suffix)
	}
	if _, rest, ok := strings.Cut(text, "://"); ok {
		text = rest
	}
	rest, last := path.Split(text)
	owner := path.Base(rest)
	last = strings.TrimPrefix(last, "heroku-buildpack-")
	// An address is one of theirs on the hosts that they keep them on; a name
	// has no host.
	host, _, _ := strings.Cut(text, "/")
	switch host {
	case owner, "github.com", "www.github.com", "buildpack-registry.s3.amazonaws.com", "buildpack-registry.s3.us-east-1.amazonaws.com",
		"codon-buildpacks.s3.amazonaws.com":
	default:
		return "", false
	}
	name, known = herokuNames[owner+"/"+last]
	return name, known
}

// maxBuildpacks bounds what one repository may name; real ones name up to five.
const maxBuildpacks = 50

// readBuildpacks reads .buildpacks, one a line.
func readBuildpacks(t *source.Tree) (list []named, err error) {
	const file = ".buildpacks"
	text, err := t.Text(file, source.MaxManifest)
	if source.Missing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for i, line := range source.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if len(list) == maxBuildpacks {
			return nil, source.Problemf(source.CodeBuildpacks, "%s names more than %d buildpacks", file, maxBuildpacks)
		}
		list = append(list, named{line, fmt.Sprintf("%s, line %d", file, i+1)})
	}
	return list, nil
}

// herokuChoice follows the buildpacks that the repository names. When berth has a
// language for each, the last of them is it: on Heroku too the last one says what
// is started. Node before it builds the frontend. When there is one that berth knows nothing of, all of them are run
// as they are, in order. .buildpacks comes before Heroku's key of app.json; ok is
// false when neither names any that builds an app.
func herokuChoice(c *plan.Chain, manifest []string) (chosen language, ok bool, err error) {
	t := c.Tree
	list, err := readBuildpacks(t)
	if err != nil {
		return language{}, false, err
	}
	if len(list) == 0 {
		for i, url := range manifest {
			list = append(list, named{url, fmt.Sprintf("app.json, buildpacks[%d]", i)})
		}
	}
	var last named
	for _, n := range list {
		name, known := n.language()
		switch {
		case !known:
			return herokuPacks(t, list)
		case name == "":
		default:
			c.Buildpacks = append(c.Buildpacks, name)
			// Node has its part in the apps of other languages.
			if chosen.name != "" && chosen.name != name && chosen.name != "node" {
				t.Note("%s: %s is ignored; the app is built by the last one", last.from, chosen.name)
			}
			chosen.name, last, ok = name, n, true
		}
	}
	if !ok {
		return chosen, false, nil
	}
	found, err := byName(chosen.name, last.from)
	if err != nil {
		return chosen, true, err
	}
	return found[0], true, nil
}

// herokuPacks is the language of an app that is built by buildpacks of its own.
func herokuPacks(t *source.Tree, list []named) (language, bool, error) {
	var packs []string
	for _, n := range list {
		pack, p := heroku.Check(t, n.address())
		if p != nil {
			p.Code, p.Message = source.CodeBuildpacks, n.from+": "+p.Message
			return language{}, false, p
		}
		packs = append(packs, pack)
	}
	return language{name: "heroku", title: "Heroku buildpacks", plan: heroku.Plan(packs)}, true, nil
}

// address is where a buildpack that is named, as heroku/python is, comes from.
func (n named) address() string {
	text := strings.TrimPrefix(n.text, "urn:buildpack:")
	if _, known := n.language(); !known || strings.Contains(text, "://") {
		return text
	}
	owner, name, _ := strings.Cut(text, "/")
	return "https://github.com/" + owner + "/heroku-buildpack-" + strings.TrimPrefix(name, "heroku-buildpack-")
}
