// Package buildpacks turns a source tree into a plan: the language, the chain of
// layers to build and the processes to run. It runs nothing, and it knows no apps
// and no containers. Each language has its own package; this one decides which
// language a tree has.
package buildpacks

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/berthd/berth/buildpacks/dockerfile"
	"github.com/berthd/berth/buildpacks/golang"
	"github.com/berthd/berth/buildpacks/java"
	"github.com/berthd/berth/buildpacks/node"
	"github.com/berthd/berth/buildpacks/php"
	"github.com/berthd/berth/buildpacks/plan"
	"github.com/berthd/berth/buildpacks/python"
	"github.com/berthd/berth/buildpacks/ruby"
	"github.com/berthd/berth/buildpacks/rust"
	"github.com/berthd/berth/buildpacks/shell"
	"github.com/berthd/berth/buildpacks/source"
	"github.com/berthd/berth/buildpacks/static"
)

// language is a way to turn a tree into something that runs.
type language struct {
	name  string // "python": what chooses it
	title string // "Python"
	plan  func(*plan.Plan, *plan.Chain) error
	// evidence names what in a tree speaks for the language; "" is nothing.
	evidence func(*source.Tree) string
	// weak tells that the evidence may stand in another language's tree too.
	weak bool
	// guess tells that a tree with another language's manifest is not of this one,
	// even where there is nothing to start in the other: a page may have to be
	// built, a script may be anybody's.
	guess bool
}

// languages in the order in which a tree is asked: the first that finds its
// evidence has it. A Dockerfile says all there is to say, as for Dokku. Those
// that bundle assets with Node come before Node, and
// what is found in sources alone comes after every manifest.
var languages = []language{
	{"dockerfile", "a Dockerfile", dockerfile.Plan, dockerfile.Evidence, false, false},
	{"ruby", "Ruby", ruby.Plan, ruby.Evidence, false, false},
	{"php", "PHP", php.Plan, php.Evidence, false, false},
	{"go", "Go", golang.Plan, golang.Evidence, false, false},
	{"rust", "Rust", rust.Plan, rust.Evidence, false, false},
	{"java", "Java", java.Plan, java.Evidence, false, false},
	{"python", "Python", python.Plan, python.Manifest, false, false},
	{"node", "Node", node.Plan, node.Evidence, false, false},
	{"static", "a static site", site, static.Declared, false, false},
	{"go", "Go", golang.Plan, golang.Sources, true, false},
	{"python", "Python", python.Plan, python.App, true, false},
	{"php", "PHP", php.Plan, php.Sources, true, false},
	{"java", "Java", java.Plan, java.Archive, true, false},
	{"static", "a static site", site, static.Pages, true, true},
	{"python", "Python", python.Plan, python.Sources, true, true},
	{"go", "Go", golang.Plan, golang.Nested, true, true},
	{"shell", "Shell", shell.Plan, shell.Evidence, true, true},
}

// site plans a static site: one that is in the tree, or, when the repository
// names the buildpack of Node before, one that Node builds.
func site(out *plan.Plan, c *plan.Chain) error {
	if !c.Asks("node") {
		return static.Plan(out, c)
	}
	front, err := node.FindFrontend(c)
	if err != nil {
		return err
	}
	top, err := static.Site(out, c, front != nil)
	if err != nil {
		return err
	}
	front.Announce(out, c)
	_, err = front.Lay(out, c, top, node.Ground{})
	return err
}

// Detect reads the tree and returns the plan. An error that the pusher can act
// on is a *source.Problem; any other is a failure to read the tree.
//
// A manifest may be there for the sake of tools alone: a language that finds
// nothing to start lets the next one try, and the plan says so.
func Detect(r plan.Request) (*plan.Plan, error) {
	p, chain, err := plan.Begin(r)
	if err != nil {
		return nil, err
	}
	list, err := choose(p, chain)
	if err != nil {
		return nil, err
	}
	chain.Contested = len(list) > 1
	var over []string // the languages that were ignored, and why
	var first error
	for i, lang := range list {
		if i > 0 {
			if p, chain, err = plan.Begin(r); err != nil {
				return nil, err
			}
			chain.Contested = i+1 < len(list)
			for _, line := range over {
				chain.Tree.Note("%s", line)
			}
		}
		p.Language = lang.name
		err = lang.plan(p, chain)
		if err == nil {
			noteIgnored(chain.Tree, lang.name)
			noteUnread(chain.Tree)
			if !slices.ContainsFunc(chain.Tree.Notes, func(note string) bool { return strings.HasPrefix(note, "SQLite:") }) {
				p.Keeps = noteFiles(chain.Tree)
			} else { // Django's settings have said it
				p.Keeps = []plan.Keep{{What: "the settings keep data in SQLite", Dir: "/app/data", Guess: true}}
			}
			p.End(chain)
			return p, nil
		}
		if first == nil {
			first = err
		}
		problem, ok := errors.AsType[*source.Problem](err)
		if !ok || problem.Code != source.CodeNoProcess {
			break
		}
		over = append(over, fmt.Sprintf("%s was ignored (%s): %s", lang.title, source.Printable(lang.evidence(chain.Tree)), problem.Message))
	}
	if problem, ok := errors.AsType[*source.Problem](first); ok && len(over) > 1 {
		problem.With(over[1:]...)
	}
	return nil, first
}

// choose returns the language that was asked for, by the operator, by app.json
// or by the names of Heroku's buildpacks; else those that the tree speaks for,
// in the order in which they are tried.
func choose(p *plan.Plan, c *plan.Chain) ([]language, error) {
	switch {
	case c.Language != "":
		return byName(c.Language, "builder:set")
	case p.Manifest.Buildpack != "":
		return byName(p.Manifest.Buildpack, "app.json")
	}
	if chosen, ok, err := herokuChoice(c, p.Manifest.Buildpacks); ok || err != nil {
		return []language{chosen}, err
	}
	list := spoken(c.Tree)
	if len(list) == 0 {
		return nil, unknown(p, c.Tree)
	}
	if started := startedBy(p); list[0].name != "dockerfile" {
		if i := slices.IndexFunc(list, func(l language) bool { return l.name == started && !l.weak }); i > 0 {
			meant := list[i]
			c.Tree.Note("built as %s, which the Procfile starts", meant.title)
			list = slices.Insert(slices.Delete(list, i, i+1), 0, meant)
		}
	}
	sayOthers(c.Tree, list)
	if list[0].weak || list[0].name == "dockerfile" {
		return list[:1], nil
	}
	return slices.DeleteFunc(list, func(l language) bool { return l.guess }), nil
}

// spoken returns the languages that a tree speaks for, each once.
func spoken(t *source.Tree) (list []language) {
	for _, l := range languages {
		if !slices.ContainsFunc(list, func(have language) bool { return have.name == l.name }) && l.evidence(t) != "" {
			list = append(list, l)
		}
	}
	return list
}

// sayOthers notes which languages a tree speaks for besides the first.
func sayOthers(t *source.Tree, list []language) {
	var others []string
	for _, l := range list[1:] {
		// Node builds the frontend of the one that was found.
		if !l.weak && !(l.name == "node" && node.Bundles(t)) {
			others = append(others, fmt.Sprintf("%s (%s)", l.title, source.Printable(l.evidence(t))))
		}
	}
	if len(others) > 0 {
		t.Note("built as %s; it also looks like %s", list[0].title, strings.Join(others, " and "))
		t.Note(`to choose: builder:set APP selected NAME`)
		t.Note(`or "buildpack": "NAME" in app.json`)
	}
}

// starters are the programs that a Procfile starts, by the language that they
// are of.
var starters = map[string]string{
	"node": "node", "npm": "node", "npx": "node", "yarn": "node", "pnpm": "node", "bun": "node", "next": "node", "ts-node": "node", "tsx": "node",
	"python": "python", "python3": "python", "gunicorn": "python", "uvicorn": "python", "hypercorn": "python", "daphne": "python", "waitress-serve": "python",
	"flask": "python", "streamlit": "python", "celery": "python", "fastapi": "python", "uv": "python", "poetry": "python", "pipenv": "python",
	"ruby": "ruby", "bundle": "ruby", "rails": "ruby", "bin/rails": "ruby", "puma": "ruby", "rackup": "ruby", "sidekiq": "ruby",
	"php": "php", "heroku-php-apache2": "php", "heroku-php-nginx": "php", "vendor/bin/heroku-php-apache2": "php", "vendor/bin/heroku-php-nginx": "php", "berth-php": "php",
	"java": "java", "mvn": "java", "./mvnw": "java", "gradle": "java", "./gradlew": "java", "cargo": "rust", "go": "go",
}

// startedBy returns the language whose program the Procfile's web process
// starts, or, where there is none, its first; "" is one that is not known.
func startedBy(p *plan.Plan) string {
	if len(p.Processes) == 0 {
		return ""
	}
	proc := p.Processes[0]
	if i := slices.IndexFunc(p.Processes, func(proc plan.Process) bool { return proc.Type == "web" }); i >= 0 {
		proc = p.Processes[i]
	}
	for _, w := range source.Words(proc.Command) {
		if name := starters[w[0]]; name != "" {
			return name
		}
		if strings.HasPrefix(w[0], "target/release/") || strings.HasPrefix(w[0], "./target/release/") {
			return "rust"
		}
	}
	return ""
}

// byName returns the language that somebody asks for.
func byName(name, by string) ([]language, error) {
	if i := slices.IndexFunc(languages, func(l language) bool { return l.name == name }); i >= 0 {
		return languages[i : i+1], nil
	}
	return nil, source.Problemf(source.CodeBuilder, "%s asks for the unknown builder %q", by, source.Printable(name)).
		Hint("the builders are %s", strings.Join(Languages(), ", "))
}

// Languages returns the names of what can be chosen, in the order in which
// trees are asked.
func Languages() (names []string) {
	for _, l := range languages {
		if !slices.Contains(names, l.name) {
			names = append(names, l.name)
		}
	}
	return names
}

// unknown says what was looked for.
func unknown(p *plan.Plan, t *source.Tree) error {
	var titles []string
	for _, l := range languages {
		if !slices.Contains(titles, l.title) {
			titles = append(titles, l.title)
		}
	}
	e := source.Problemf(source.CodeUnknown, "nothing here says how to build this app").
		With("looked for " + strings.Join(titles, ", "))
	if len(p.Processes) > 0 {
		e.With("there is a Procfile, but it says what to run, not how to build it")
	}
	if dirs := projectDirs(t); len(dirs) > 0 {
		return e.Hint("%s looks like an app: builder:set APP build-dir %s", strings.Join(dirs, " or "), dirs[0])
	}
	return e.Hint("a repository needs a file that shows its language:").
		Hint("requirements.txt, package.json, go.mod, pom.xml, Gemfile, index.html, Dockerfile, ...")
}

// projectDirs names folders that look like an app although the root does not.
func projectDirs(t *source.Tree) (dirs []string) {
	for _, e := range t.Dir(".") {
		if !e.IsDir() || len(dirs) == 3 {
			continue
		}
		below, err := t.Sub(e.Name())
		if err != nil {
			continue
		}
		for _, l := range languages {
			if !l.weak && l.evidence(below) != "" {
				dirs = append(dirs, e.Name())
				break
			}
		}
	}
	return dirs
}
