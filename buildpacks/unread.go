package buildpacks

import (
	"strings"

	"github.com/berthd/berth/buildpacks/source"
)

// unread are files by which other platforms are told what berth does not read, and
// what says the same here. A line of the push names each: an app that behaves
// otherwise than it did elsewhere is a riddle without it.
var unread = []struct{ file, instead string }{
	{"nginx.conf.sigil", "berth router:set has the settings of the router"},
	{"CHECKS", "healthchecks of app.json are read"},
	{"DOKKU_SCALE", "formation of app.json and ps:scale say how many run"},
	{"project.toml", "app.json, .buildpacks and builder:set are read"},
	{"nixpacks.toml", "app.json, Procfile, apt-packages and builder:set are read"},
}

// noteUnread says which of these a tree has.
func noteUnread(t *source.Tree) {
	for _, u := range unread {
		if t.Has(u.file) {
			t.Note("%s is not read: %s", u.file, u.instead)
		}
	}
	text, err := t.Text(".env", source.MaxManifest)
	if err != nil {
		return // none, or one that is no text, which is nothing of ours
	}
	for _, line := range source.Lines(text) {
		line = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "export "))
		if strings.HasPrefix(line, "BUILDPACK_URL=") {
			t.Note("BUILDPACK_URL of .env is not read: .buildpacks and builder:set are")
			return
		}
	}
}
