package buildpacks

import (
	"fmt"
	"path"
	"strings"

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

// herokuLanguage returns the language of the last buildpack that the repository
// names, and where it does: on Heroku too the last one says what is started.
// .buildpacks comes before Heroku's key of app.json.
func herokuLanguage(t *source.Tree, manifest []string) (language, from string, err error) {
	list, err := readBuildpacks(t)
	if err != nil {
		return "", "", err
	}
	if len(list) == 0 {
		for i, url := range manifest {
			list = append(list, named{url, fmt.Sprintf("app.json, buildpacks[%d]", i)})
		}
	}
	for _, n := range list {
		name, known := n.language()
		switch {
		case !known:
			return "", "", source.Problemf(source.CodeBuildpacks, "%s: this version of berth does not run the buildpack %s", n.from, source.Printable(n.text)).
				Hint("remove the line where what it does is not needed").
				Hint(`or choose what berth does: "buildpack": "NAME" in app.json, NAME being %s`, strings.Join(Languages(), ", "))
		case name == "":
		default:
			if language != "" && language != name {
				t.Note("%s: %s is passed over, the app is built by the last one", from, language)
			}
			language, from = name, n.from
		}
	}
	return language, from, nil
}
