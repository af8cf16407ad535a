package buildpacks

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/berthd/berth/buildpacks/packtest"
	"github.com/berthd/berth/buildpacks/plan"
	"github.com/berthd/berth/buildpacks/source"
)

// Of each language the smallest app there is.
func nodeApp(files ...string) []string { return append([]string{"server.js", ""}, files...) }
func pythonApp(files ...string) []string {
	return append([]string{"requirements.txt", "flask", "web.py", "from flask import Flask\napp = Flask(__name__)\n"}, files...)
}
func goApp(files ...string) []string {
	return append([]string{"main.go", "package main\n\nfunc main() {}\n"}, files...)
}
func rustApp(files ...string) []string {
	return append([]string{"src/main.rs", "fn main() {}"}, files...)
}
func mavenApp(files ...string) []string {
	return append([]string{"Procfile", "web: java -jar x.jar", "pom.xml", "<project/>"}, files...)
}
func gradleApp(properties string, files ...string) []string {
	return append([]string{"Procfile", "web: java -jar x.jar", "build.gradle", "", "gradlew", "#!/bin/sh\n",
		"gradle/wrapper/gradle-wrapper.jar", "x", "gradle/wrapper/gradle-wrapper.properties", properties}, files...)
}

const (
	node22   = "node/node-v22.9.0-linux-{x64}.tar.xz"
	node99   = "node/node-v99.1.0-linux-{x64}.tar.gz"
	python12 = "python/cpython-3.12.7+20241016-{x86_64}-unknown-linux-gnu-install_only.tar.gz"
	python13 = "python/cpython-3.13.1+20241016-{x86_64}-unknown-linux-gnu-install_only.tar.gz"
	go26     = "go/go1.26.99.linux-{amd64}.tar.gz"
	go22     = "go/go1.22.5.linux-{amd64}.tar.gz"
	go99     = "go/go1.99.3.linux-{amd64}.tar.gz"
	rust83   = "rust/rust-1.83.0-{x86_64}-unknown-linux-gnu.tar.xz"
	rust98   = "rust/rust-1.98.1-{x86_64}-unknown-linux-gnu.tar.gz"
	gradle8  = "gradle/gradle-8.10-bin.zip"
	maven3   = "maven/apache-maven-3.9.9-bin.tar.gz"
	jdk23    = "java/OpenJDK23U-jdk_{JDK}_linux_hotspot_23.0.1_11.tar.gz"
	jdk21    = "java/OpenJDK21U-jdk_{JDK}_linux_hotspot_21.0.5_11.tar.gz"

	gradleURL = `distributionUrl=https\://example.com/distributions/gradle-8.10-all.zip` + "\n"
	mavenURL  = "distributionUrl=https://example.com/apache-maven/3.9.9/apache-maven-3.9.9-bin.zip\n"
)

// jdk puts Temurin's word for this machine into a name.
func jdk(name string) string {
	word := map[bool]string{true: "aarch64", false: "x64"}[packtest.Here("{x86_64}") == "aarch64"]
	return strings.ReplaceAll(name, "{JDK}", word)
}

var everything = []string{node22, node99, python12, python13, go26, go22, go99, rust83, rust98, gradle8, maven3, jdk23, jdk21}

func TestMirror_OrderOfSources(t *testing.T) {
	for name, c := range map[string]struct {
		files    []string
		versions map[string]string // of the app's last build
		want     string            // in the plan's summary
		from     string            // the archive, when it is the mirror's
		also     string            // the archive that is there when another source fails
	}{
		"node, known":                  {nodeApp("package.json", `{"engines": {"node": "22.9.0"}}`), nil, "Node 22.9.0 (", "", node22},
		"node, range of known":         {nodeApp("package.json", `{"engines": {"node": ">=22"}}`), nil, "Node 24.21.0 (", "", ""},
		"node, unknown":                {nodeApp("package.json", `{"engines": {"node": "99.1.0"}}`), nil, "Node 99.1.0 from the mirror (", node99, ""},
		"node, range of unknown":       {nodeApp("package.json", `{"engines": {"node": ">=90"}}`), nil, "Node 99.1.0 from the mirror (", node99, ""},
		"node, nobody has it":          {nodeApp("package.json", `{"engines": {"node": "98.0.0"}}`), nil, "Node 98.0.0 (", "", ""},
		"node, unknown, had before":    {nodeApp("package.json", `{"engines": {"node": "99.1.0"}}`), map[string]string{"node": "99.1.0"}, "Node 99.1.0 (", "", node99},
		"node, the second file":        {nodeApp("package.json", `{}`, ".nvmrc", "v99"), nil, "Node 99.1.0 from the mirror (", node99, ""},
		"python, Debian's":             {pythonApp(".python-version", "3.13"), nil, "Python 3.13,", "", ""},
		"python, Debian's minor":       {pythonApp(".python-version", "3.13.1"), nil, "Python 3.13,", "", ""},
		"python, before uv":            {pythonApp(".python-version", "3.12"), nil, "Python 3.12.7 from the mirror,", python12, ""},
		"python, exact":                {pythonApp(".python-version", "3.12.7"), nil, "Python 3.12.7 from the mirror,", python12, ""},
		"python, another patch":        {pythonApp(".python-version", "3.12.6"), nil, "Python 3.12.6,", "", ""},
		"python, uv's stays":           {pythonApp(".python-version", "3.12"), map[string]string{"python": "3.12"}, "Python 3.12,", "", ""},
		"python, required":             {pythonApp("pyproject.toml", "[project]\nname = 'x'\nrequires-python = '==3.12.*'\n"), nil, "Python 3.12.7 from the mirror,", python12, ""},
		"python, required of Debian":   {pythonApp("pyproject.toml", "[project]\nname = 'x'\nrequires-python = '>=3.12'\n"), nil, "Python 3.13,", "", ""},
		"go, published":                {goApp("go.mod", "module x\n", ".go-version", "1.22.5"), nil, "Go 1.22.5 (", "", go22},
		"go, newest":                   {goApp("go.mod", "module x\n\ngo 1.21\n"), nil, "Go 1.27.4 (", "", ""},
		"go, not published":            {goApp("go.mod", "module x\n", ".go-version", "1.26.99"), nil, "Go 1.26.99 from the mirror (", go26, ""},
		"go, an unknown minor":         {goApp("go.mod", "module x\n", ".go-version", "1.99"), nil, "Go 1.99.3 from the mirror (", go99, ""},
		"go, go.mod wants it":          {goApp("go.mod", "module x\n\ngo 1.99\n"), nil, "Go 1.99.3 from the mirror (", go99, ""},
		"rust, Debian's":               {rustApp("Cargo.toml", "[package]\nname = 'x'\n", "rust-toolchain", "1.85"), nil, "Rust 1.85 (", "", ""},
		"rust, before rustup":          {rustApp("Cargo.toml", "[package]\nname = 'x'\n", "rust-toolchain", "1.83"), nil, "Rust 1.83.0 from the mirror (", rust83, ""},
		"rust, another patch":          {rustApp("Cargo.toml", "[package]\nname = 'x'\n", "rust-toolchain", "1.83.1"), nil, "Rust 1.83.1 (", "", ""},
		"rust, nightly":                {rustApp("Cargo.toml", "[package]\nname = 'x'\n", "rust-toolchain", "nightly"), nil, "Rust nightly (", "", ""},
		"rust, newer than Debian's":    {rustApp("Cargo.toml", "[package]\nname = 'x'\nrust-version = '1.97'\n"), nil, "Rust 1.98.1 from the mirror (", rust98, ""},
		"java, Debian's":               {mavenApp("system.properties", "java.runtime.version=21"), nil, "Java 21,", "", ""},
		"java, Debian's major":         {mavenApp("system.properties", "java.runtime.version=21.0.5"), nil, "Java 21,", "", ""},
		"java, not Debian's":           {mavenApp("system.properties", "java.runtime.version=23"), nil, "Java 23.0.1_11 from the mirror,", jdk23, ""},
		"java, exact":                  {mavenApp(".java-version", "temurin-23.0.1+11"), nil, "Java 23.0.1_11 from the mirror,", jdk23, ""},
		"gradle, another packing":      {gradleApp(gradleURL), nil, "Java 21, Gradle (", gradle8, ""},
		"gradle, not there":            {gradleApp(strings.ReplaceAll(gradleURL, "8.10", "8.11")), nil, "Java 21, Gradle (", "", ""},
		"gradle, Kotlin, no wrapper":   {[]string{"Procfile", "web: java -jar x.jar", "build.gradle.kts", ""}, nil, "Java 21, Gradle (", gradle8, ""},
		"gradle, Debian's, no wrapper": {[]string{"Procfile", "web: java -jar x.jar", "build.gradle", ""}, nil, "Java 21, Gradle (", "", ""},
		"maven":                        {mavenApp("mvnw", "#!/bin/sh\n", ".mvn/wrapper/maven-wrapper.properties", mavenURL), nil, "Java 21, Maven (", maven3, ""},
		"maven, no wrapper":            {mavenApp(), nil, "Java 21, Maven (", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := packtest.Request(packtest.Repo(c.files...))
			r.Versions = c.versions
			var files []string
			for _, name := range everything {
				files = append(files, jdk(name))
			}
			r.Mirror, _ = packtest.Mirror(t, files...)
			made, err := Detect(r)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(made.Summary, c.want) {
				t.Errorf("summary %q; want %q", made.Summary, c.want)
			}
			var from, also string
			for _, l := range made.Layers {
				if l.Archive != nil {
					from = l.Archive.File()
					if !l.Root || !l.Offline || l.Archive.Sum == "" || made.Versions[l.Archive.Tool+"-archive"] != l.Archive.String() {
						t.Errorf("%s: root %t, offline %t, archive %v, versions %v", l.Name, l.Root, l.Offline, l.Archive, made.Versions)
					}
				}
				if l.Else != nil {
					also = l.Else.Archive.File()
				}
			}
			if want := packtest.Here(jdk(c.from)); from != want {
				t.Errorf("from %q, want %q", from, want)
			}
			if want := packtest.Here(jdk(c.also)); also != want {
				t.Errorf("else %q, want %q", also, want)
			}
		})
	}
}

// What a mirror has changes no layer that is not made of it.
func TestMirror_RebuildsOnlyWhatIsMadeOfIt(t *testing.T) {
	for name, c := range map[string]struct {
		files []string
		more  []string // that come into the mirror
		want  int      // layers with another key
	}{
		"node, the registry's": {nodeApp("package.json", `{"engines": {"node": "22.9.0"}}`), []string{node22}, 0},
		"go, the proxy's":      {goApp("go.mod", "module x\n", ".go-version", "1.22.5"), []string{go22}, 0},
		"python, Debian's":     {pythonApp(), []string{python13, python12}, 0},
		"node, a newer one":    {nodeApp("package.json", `{"engines": {"node": ">=90"}}`), []string{"node/node-v99.2.0-linux-{x64}.tar.gz"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			before := packtest.Request(packtest.Repo(c.files...))
			before.Mirror, _ = packtest.Mirror(t, node99)
			first, err := Detect(before)
			if err != nil {
				t.Fatal(err)
			}
			after := before
			after.Versions = first.Versions
			after.Mirror, _ = packtest.Mirror(t, append([]string{node99}, c.more...)...)
			if got := changed(t, first, after); len(got) != c.want {
				t.Errorf("rebuilt: %q", got)
			}
		})
	}
}

func changed(t *testing.T, before *plan.Plan, r plan.Request) (names []string) {
	t.Helper()
	made, err := Detect(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range made.Layers {
		if !slices.ContainsFunc(before.Layers, func(was plan.Layer) bool { return was.Key == l.Key }) {
			names = append(names, l.Name)
		}
	}
	return names
}

func TestMirror_WhatWasResolvedStays(t *testing.T) {
	var files []string
	for _, name := range everything {
		files = append(files, jdk(name))
	}
	for name, tree := range map[string][]string{
		"node":   nodeApp("package.json", `{"engines": {"node": ">=90"}}`),
		"python": pythonApp(".python-version", "3.12"),
		"go":     goApp("go.mod", "module x\n", ".go-version", "1.26.99"),
		"rust":   rustApp("Cargo.toml", "[package]\nname = 'x'\n", "rust-toolchain", "1.83"),
		"java":   mavenApp("system.properties", "java.runtime.version=23"),
		"gradle": gradleApp(gradleURL),
	} {
		t.Run(name, func(t *testing.T) {
			r := packtest.Request(packtest.Repo(tree...))
			mirror, dir := packtest.Mirror(t, files...)
			r.Mirror = mirror
			first, err := Detect(r)
			if err != nil {
				t.Fatal(err)
			}
			r.Versions = first.Versions
			if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
			if got := changed(t, first, r); len(got) > 0 {
				t.Errorf("without the archive these are rebuilt: %q", got)
			}
			i := slices.IndexFunc(first.Layers, func(l plan.Layer) bool { return l.Archive != nil })
			_, err = r.Mirror.Path(*first.Layers[i].Archive)
			if p, ok := errors.AsType[*source.Problem](err); !ok || p.Code != source.CodeMirror || !strings.Contains(p.Message, first.Layers[i].Archive.Name) {
				t.Errorf("the path of what is gone: %v", err)
			}
		})
	}
}

// The same content is the same layer, another content is another one.
func TestMirror_ContentDecides(t *testing.T) {
	r := packtest.Request(packtest.Repo(nodeApp("package.json", `{"engines": {"node": "99.1.0"}}`)...))
	mirror, dir := packtest.Mirror(t, node99)
	r.Mirror = mirror
	first, err := Detect(r)
	if err != nil {
		t.Fatal(err)
	}
	r.Mirror, _ = packtest.Mirror(t, node99)
	if got := changed(t, first, r); len(got) > 0 {
		t.Errorf("a copy rebuilds %q", got)
	}
	if err := os.WriteFile(filepath.Join(dir, packtest.Here(node99)), []byte("mended"), 0o644); err != nil {
		t.Fatal(err)
	}
	r.Mirror, r.Versions = mirror, first.Versions
	if got := changed(t, first, r); !slices.Contains(got, "Node 99.1.0 from the mirror") || slices.Contains(got, "Node build tools") {
		t.Errorf("a mended archive rebuilds %q", got)
	}
}

func TestMirror_NpmThatIsAskedFor(t *testing.T) {
	r := packtest.Request(packtest.Repo(nodeApp("package.json", `{"engines": {"node": "99.1.0"}, "packageManager": "npm@10.2.0"}`)...))
	r.Mirror, _ = packtest.Mirror(t, node99)
	made, err := Detect(r)
	if err != nil {
		t.Fatal(err)
	}
	packtest.Layer(t, made, "npm 10.2.0")
	if !strings.HasPrefix(made.Env["PATH"], "/app/node_modules/.bin:/opt/npm/bin:") {
		t.Errorf("PATH is %s", made.Env["PATH"])
	}
}

func TestMirror_Problems(t *testing.T) {
	wrong := gradleURL + "distributionSha256Sum=" + strings.Repeat("a", 64) + "\n"
	for name, c := range map[string]struct {
		files      []string
		code, says string
	}{
		"node":          {nodeApp("package.json", `{"engines": {"node": "97.x"}}`), "E212", "the mirror of this machine has 99.1.0, 22.9.0"},
		"python":        {pythonApp(".python-version", "3.7"), "E212", "the mirror of this machine has 3.13.1, 3.12.7"},
		"java":          {mavenApp("system.properties", "java.runtime.version=22"), "E212", "the mirror of this machine has 23.0.1_11, 21.0.5_11"},
		"gradle's sum":  {gradleApp(strings.ReplaceAll(wrong, "-all", "-bin")), "E213", "distributionSha256Sum is aaaa"},
		"java, another": {mavenApp("system.properties", "java.runtime.version=23.0.2"), "E212", "has 23.0.1_11"},
	} {
		t.Run(name, func(t *testing.T) {
			r := packtest.Request(packtest.Repo(c.files...))
			var files []string
			for _, name := range everything {
				files = append(files, jdk(name))
			}
			r.Mirror, _ = packtest.Mirror(t, files...)
			made, err := Detect(r)
			p, text := packtest.AsProblem(t, made, err)
			if p.Code != c.code || !strings.Contains(text, c.says) {
				t.Errorf("got %s %s", p.Code, text)
			}
		})
	}
	// A sum that no other packing can have: the wrapper fetches its own.
	r := packtest.Request(packtest.Repo(gradleApp(wrong)...))
	r.Mirror, _ = packtest.Mirror(t, gradle8)
	if made, err := Detect(r); err != nil || made.Versions["gradle-archive"] != "" {
		t.Errorf("got %v, %v", made, err)
	}
}
