package buildpacks

import (
	"strings"
	"testing"

	"github.com/berthd/berth/buildpacks/packtest"
)

func TestNamed_Language(t *testing.T) {
	for text, want := range map[string]string{
		"heroku/python": "python",
		"https://github.com/heroku/heroku-buildpack-nodejs":                      "node",
		"https://github.com/heroku/heroku-buildpack-go.git#v205":                 "go",
		"git@github.com:heroku/heroku-buildpack-ruby.git":                        "ruby",
		"https://buildpack-registry.s3.amazonaws.com/buildpacks/heroku/php.tgz":  "php",
		"https://codon-buildpacks.s3.amazonaws.com/buildpacks/heroku/gradle.tgz": "java",
		"https://github.com/dokku/heroku-buildpack-nginx/":                       "static",
		"https://github.com/emk/heroku-buildpack-rust":                           "rust",
		"urn:buildpack:heroku/java":                                              "java",
		"https://github.com/heroku/heroku-buildpack-apt":                         "",
		"https://example.com/heroku/heroku-buildpack-python":                     "unknown",
		"https://github.com/somebody/heroku-buildpack-python":                    "unknown",
		"heroku/scala": "unknown",
		"heroku/nginx": "unknown",
		"python":       "unknown",
		"":             "unknown",
	} {
		got, known := named{text: text}.language()
		if !known {
			got = "unknown"
		}
		if got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func TestDetect_HerokusFilesChoose(t *testing.T) {
	const goMod, main = "module m\n", "package main\nfunc main() {}\n"
	tree := func(files ...string) []string {
		return append(files, "requirements.txt", "flask\n", "web.py", flaskApp, "go.mod", goMod, "main.go", main)
	}
	for name, c := range map[string]struct {
		files []string
		want  string
		says  string
	}{
		"nobody":            {tree(), "go", "it also looks like Python (requirements.txt)"},
		"a line":            {tree(".buildpacks", "# ours\n\nheroku/go\n"), "go", ""},
		"the last line":     {tree(".buildpacks", "heroku/python\nhttps://github.com/heroku/heroku-buildpack-go.git#v1\n"), "go", ".buildpacks, line 1: python is ignored"},
		"apt aside":         {tree(".buildpacks", "heroku-community/apt\nheroku/go\n"), "go", ""},
		"apt alone":         {tree(".buildpacks", "https://github.com/heroku/heroku-buildpack-apt\n"), "go", ""},
		"Heroku's key":      {tree("app.json", `{"buildpacks": [{"url": "heroku/go"}]}`), "go", ""},
		"the file first":    {tree(".buildpacks", "heroku/python\n", "app.json", `{"buildpacks": [{"url": "heroku/go"}]}`), "python", ""},
		"our key above":     {tree(".buildpacks", "heroku/go\n", "app.json", `{"buildpack": "python"}`), "python", ""},
		"one of its own":    {tree(".buildpacks", "heroku/go\nhttps://example.com/x#v1\n"), "heroku", ""},
		"a newest one":      {tree("app.json", `{"buildpacks": [{"url": "https://example.com/x"}]}`), "heroku", "https://example.com/x has no #REF"},
		"a directory":       {tree(".buildpacks", "./pack\n", "pack/bin/compile", ""), "heroku", ""},
		"no directory":      {tree(".buildpacks", "heroku/go\n./pack\n"), "", ".buildpacks, line 2: there is no buildpack ./pack"},
		"a strange address": {tree("app.json", `{"buildpacks": [{"url": "ftp://example.com/x"}]}`), "", "app.json, buildpacks[0]"},
		"a malformed key":   {tree("app.json", `{"buildpacks": ["heroku/go"]}`), "", "app.json, line 1"},
		"go without go.mod": {[]string{"main.go", main, "tool.py", "print(1)"}, "go", ""},
		"a script is last":  {[]string{"start.sh", "exec x", "go.mod", goMod, "main.go", main}, "go", ""},
		"a script alone":    {[]string{"start.sh", "exec x"}, "shell", ""},
	} {
		t.Run(name, func(t *testing.T) {
			made, err := Detect(packtest.Request(repo(c.files...)))
			if c.want == "" {
				if p, text := packtest.AsProblem(t, made, err); !strings.Contains(text, c.says) {
					t.Errorf("got %s %q, want %q in it", p.Code, text, c.says)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if made.Language != c.want {
				t.Errorf("language: got %q, want %q", made.Language, c.want)
			}
			if notes := strings.Join(made.Notes, "\n"); !strings.Contains(notes, c.says) {
				t.Errorf("notes: got %q, want %q in them", notes, c.says)
			}
		})
	}
}

func FuzzBuildpacks(f *testing.F) {
	f.Add("heroku/python\nhttps://github.com/heroku/heroku-buildpack-go.git#v1")
	f.Add("#\n//\n:\ngit@github.com:/\n")
	f.Fuzz(func(t *testing.T, text string) {
		made, err := Detect(packtest.Request(repo(".buildpacks", text, "web.py", flaskApp)))
		if err == nil && made.Language == "" {
			t.Error("a plan in no language")
		}
	})
}
