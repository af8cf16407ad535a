package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// sample is an app of the tests that stands for a language, and what is changed
// in it: a line is added at the end of a file. In the manifest it changes nothing
// that is installed but the key that says so.
type sample struct {
	language, app    string
	manifest, source string // files; "" is none
	comment          string // with the number of the change in it
}

var samples = []sample{
	{"Python (FastAPI)", "python-fastapi", "pyproject.toml", "api/main.py", "# %d"},
	{"Python (Django)", "python-django", "requirements.txt", "notes/__init__.py", "# %d"},
	{"Node (Express)", "node-express", "package-lock.json", "web.js", "// %d"},
	{"Node (Vite, files alone)", "node-vite-spa", "package-lock.json", "src/main.js", "// %d"},
	{"Go", "go-root", "go.mod", "main.go", "// %d"},
	{"Rust", "rust-workspace", "Cargo.toml", "src/main.rs", "// %d"},
	{"Java (Maven)", "java-maven", "pom.xml", "src/main/java/org/example/hello/Hello.java", "// %d"},
	{"Ruby (Sinatra)", "ruby-sinatra", "Gemfile", "app.rb", "# %d"},
	{"PHP (Composer)", "php-composer", "composer.json", "src/Page.php", "// %d"},
	{"Dockerfile", "dockerfile", "Dockerfile", "server.pl", "# %d"},
	{"static site", "static-plain", "", "index.html", "<!-- %d -->"},
}

// sourcePushes is how many pushes of a changed source line are timed.
const sourcePushes = 3

// measureLanguages times, for an app of each language, the pushes that matter.
// The toolchain is made before: one push as another app.
func measureLanguages(ctx context.Context, a *appliance, apps string) error {
	fmt.Printf("| build of | first | changed dependency | changed source line | nothing changed | steps of a changed source line |\n|---|---|---|---|---|---|\n")
	for _, s := range samples {
		row, err := a.measureSample(ctx, apps, s)
		if err != nil {
			return fmt.Errorf("%s: %w", s.language, err)
		}
		fmt.Println(row)
	}
	fmt.Println()
	return nil
}

func (a *appliance) measureSample(ctx context.Context, apps string, s sample) (string, error) {
	repo, err := a.repository(ctx, os.DirFS(filepath.Join(apps, s.app)), s.app)
	if err != nil {
		return "", err
	}
	if err := repo.pushTo(ctx, "warm-"+s.app); err != nil {
		return "", err
	}
	first, err := repo.timed(ctx)
	if err != nil {
		return "", err
	}
	cells := []string{s.language, first.String(), ""}
	if s.manifest != "" {
		if err := repo.append(ctx, s.manifest, manifestLine(s)); err != nil {
			return "", err
		}
		changed, err := repo.timed(ctx)
		if err != nil {
			return "", err
		}
		cells[2] = changed.String()
	}
	var sources []figure
	for n := range sourcePushes {
		if err := repo.append(ctx, s.source, fmt.Sprintf(s.comment, n)); err != nil {
			return "", err
		}
		f, err := repo.timed(ctx)
		if err != nil {
			return "", err
		}
		sources = append(sources, f)
	}
	slices.SortFunc(sources, func(x, y figure) int { return int(x.build - y.build) })
	median := sources[len(sources)/2]
	if err := repo.git(ctx, "commit", "-q", "--allow-empty", "-m", "nothing"); err != nil {
		return "", err
	}
	nothing, err := repo.timed(ctx)
	if err != nil {
		return "", err
	}
	cells = append(cells, median.String(), nothing.String(), median.shares())
	return "| " + strings.Join(cells, " | ") + " |", nil
}

// manifestLine is what changes a manifest and means nothing: JSON has no comments.
func manifestLine(s sample) string {
	if strings.HasSuffix(s.manifest, ".json") {
		return ""
	}
	if strings.HasSuffix(s.manifest, ".xml") {
		return "<!-- changed -->"
	}
	if strings.HasSuffix(s.manifest, ".mod") {
		return "// changed"
	}
	return "# changed"
}

// figure is one push: how long until it was live, and what of that was the build.
type figure struct {
	live, build time.Duration
	steps       []step
}

func (f figure) String() string {
	return fmt.Sprintf("%.2f s (live %.2f s)", f.build.Seconds(), f.live.Seconds())
}

// shares tells of the steps that took more than a hundredth of a second.
func (f figure) shares() string {
	var parts []string
	for _, s := range f.steps {
		if s.Took >= 10*time.Millisecond {
			parts = append(parts, fmt.Sprintf("%s %.2f", s.Name, s.Took.Seconds()))
		}
	}
	return strings.Join(parts, ", ")
}

// notBuild are the steps that come before the layers and after them.
var notBuild = []string{"start", "release", "source", "checkout", "detect", "stack"}

// timed pushes and returns how long it took.
func (r *repository) timed(ctx context.Context) (f figure, err error) {
	begin := time.Now()
	if err := r.push(ctx, "main"); err != nil {
		return f, err
	}
	f.live = time.Since(begin)
	f.steps, err = r.steps(ctx)
	for _, s := range f.steps {
		if !slices.Contains(notBuild, s.Name) {
			f.build += s.Took
		}
	}
	return f, err
}

// append commits a line more at the end of a file.
func (r *repository) append(ctx context.Context, file, line string) error {
	f, err := os.OpenFile(filepath.Join(r.dir, file), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString("\n" + line + "\n")
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return err
	}
	return r.git(ctx, "commit", "-q", "-a", "-m", "change "+file)
}
