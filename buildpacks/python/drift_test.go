package python

import (
	"strings"
	"testing"

	"github.com/BurntSushi/toml"

	"github.com/berthd/berth/buildpacks/packtest"
)

const pipfile = `[[source]]
url = "https://own.example/simple"
verify_ssl = true
name = "own"

[packages]
flask = "*"
"b<c" = {version = ">=1", extras = ["x"]}

[dev-packages]
pytest = ">=8"

[requires]
python_version = "3.13"

[scripts]
run = "x"
`

// The digest is what Pipenv's own library, plette, makes of the file.
func TestPipfileHash_IsPipenvs(t *testing.T) {
	var file map[string]any
	if _, err := toml.Decode(pipfile, &file); err != nil {
		t.Fatal(err)
	}
	if got, want := pipfileHash(file), "0f02c50c39955a32b9a96dae9152fbee18e41c6700e02efc723576166bfde0ea"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestPipfileLock_OfAnEarlierPipfileGetsWhatItLacks(t *testing.T) {
	lock := func(hash string) string {
		return `{"_meta": {"hash": {"sha256": "` + hash + `"}}, "default": {"Flask": {"version": "==3.0"}}}`
	}
	listed := strings.Replace(pipfile, `"b<c" = {version = ">=1", extras = ["x"]}`, `gunicorn = ">=23"`, 1)
	made := detect(t, repo("web.py", flaskApp, "Pipfile", listed, "Pipfile.lock", lock("0")))
	if got, want := installs(t, made), "Flask==3.0 gunicorn>=23"; got != want {
		t.Errorf("installs %q, want what is locked as it is and what is missing (%q)", got, want)
	}
	if notes := strings.Join(made.Notes, "\n"); !strings.Contains(notes, "the version of gunicorn is chosen again") {
		t.Errorf("notes: got %q", notes)
	}
	if l := packtest.Layer(t, made, "dependencies"); strings.Join(l.Inputs, " ") != "Pipfile Pipfile.lock" {
		t.Errorf("inputs %q, want both files", l.Inputs)
	}
	var file map[string]any
	if _, err := toml.Decode(listed, &file); err != nil {
		t.Fatal(err)
	}
	made = detect(t, repo("web.py", flaskApp, "Pipfile", listed, "Pipfile.lock", lock(pipfileHash(file))))
	if got, want := installs(t, made), "Flask==3.0 gunicorn"; got != want {
		t.Errorf("a lock that fits: installs %q, want %q", got, want)
	}
}

func FuzzPipfile(f *testing.F) {
	f.Add(pipfile, `{"_meta": {"hash": {"sha256": "0"}}, "default": {"flask": {"version": "==3"}}}`)
	f.Add("packages = 1\n", `{"_meta": {"hash": {"sha256": "0"}}, "default": {}}`)
	f.Fuzz(func(t *testing.T, file, lock string) {
		packtest.Make(Plan, packtest.Request(repo("web.py", flaskApp, "Pipfile", file, "Pipfile.lock", lock)))
	})
}
