// Package buildpacks turns a source tree into a plan: what language it is, the
// chain of layers to build and the processes to run. It runs nothing, and it
// knows no apps and no containers. Each language has a package of its own; here
// it is decided which one a tree is for.
package buildpacks

import (
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
}

// languages in the order in which a tree is asked: the first that finds its
// evidence has it. A Dockerfile says all there is to say, as for Dokku. Those
// that bundle assets with Node come before Node, and
// what is found in sources alone comes after every manifest.
var languages = []language{
	{"dockerfile", "a Dockerfile", dockerfile.Plan, dockerfile.Evidence, false},
	{"ruby", "Ruby", ruby.Plan, ruby.Evidence, false},
	{"php", "PHP", php.Plan, php.Evidence, false},
	{"go", "Go", golang.Plan, golang.Evidence, false},
	{"rust", "Rust", rust.Plan, rust.Evidence, false},
	{"java", "Java", java.Plan, java.Evidence, false},
	{"python", "Python", python.Plan, python.Manifest, false},
	{"node", "Node", node.Plan, node.Evidence, false},
	{"static", "a static site", site, static.Declared, false},
	{"go", "Go", golang.Plan, golang.Sources, true},
	{"python", "Python", python.Plan, python.App, true},
	{"php", "PHP", php.Plan, php.Sources, true},
	{"java", "Java", java.Plan, java.Archive, true},
	{"static", "a static site", site, static.Pages, true},
	{"python", "Python", python.Plan, python.Sources, true},
	{"shell", "Shell", shell.Plan, shell.Evidence, true},
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
	front.Announce(out)
	_, err = front.Lay(out, c, top, node.Ground{})
	return err
}

// Detect reads the tree and returns the plan. An error that the pusher can act
// on is a *source.Problem; any other is a failure to read the tree.
func Detect(r plan.Request) (*plan.Plan, error) {
	p, chain, err := plan.Begin(r)
	if err != nil {
		return nil, err
	}
	lang, err := choose(p, chain)
	if err != nil {
		return nil, err
	}
	p.Language = lang.name
	if err := lang.plan(p, chain); err != nil {
		return nil, err
	}
	p.End(chain)
	return p, nil
}

// choose returns the language that was asked for, by the operator, by app.json
// or by the names of Heroku's buildpacks, else the first that the tree speaks for.
func choose(p *plan.Plan, c *plan.Chain) (language, error) {
	switch {
	case c.Language != "":
		return byName(c.Language, "builder:set")
	case p.Manifest.Buildpack != "":
		return byName(p.Manifest.Buildpack, "app.json")
	}
	if chosen, ok, err := herokuChoice(c, p.Manifest.Buildpacks); ok || err != nil {
		return chosen, err
	}
	var found language
	var others []string
	for _, l := range languages {
		evidence := l.evidence(c.Tree)
		switch {
		case evidence == "":
		case found.name == "":
			found = l
		case l.name == "node" && node.Bundles(c.Tree):
			// It builds the frontend of the one that was found.
		case found.name != l.name && !l.weak:
			others = append(others, fmt.Sprintf("%s (%s)", l.title, source.Printable(evidence)))
		}
	}
	if found.name == "" {
		return found, unknown(p, c.Tree)
	}
	if len(others) > 0 {
		c.Tree.Note("built as %s; it looks like %s too", found.title, strings.Join(others, " and "))
		c.Tree.Note(`to choose: builder:set APP selected NAME`)
		c.Tree.Note(`or "buildpack": "NAME" in app.json`)
	}
	return found, nil
}

// byName returns the language that somebody asks for.
func byName(name, by string) (language, error) {
	if i := slices.IndexFunc(languages, func(l language) bool { return l.name == name }); i >= 0 {
		return languages[i], nil
	}
	return language{}, source.Problemf(source.CodeBuilder, "%s asks for the builder %q, which there is not", by, source.Printable(name)).
		Hint("there are %s", strings.Join(Languages(), ", "))
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
		e.With("Procfile is there, but it says what to run, not how to build it")
	}
	if dirs := projectDirs(t); len(dirs) > 0 {
		return e.Hint("%s looks like an app: builder:set APP build-dir %s", strings.Join(dirs, " or "), dirs[0])
	}
	return e.Hint("a repository needs no file of berth's, but one that tells its language:").
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
