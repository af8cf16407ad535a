// Package plan is the result of planning a source tree: the chain of layers to
// build and the processes to run. It runs nothing, and it knows no languages,
// no apps and no containers.
//
// The layers of a plan form a tree of two branches. The app runs on the left
// one; the commands of its later layers also see the right one, so that compilers
// are available to the build and absent at run time:
//
//	stack
//	└─ toolchain            root, shared by all
//	   ├─ packages          root, the repository's apt-packages
//	   │  └─ dependencies
//	   │     └─ output      what is compiled, collected, bundled
//	   │        └─ source   the repository itself, added by whoever builds
//	   └─ build tools       root, build
//	      └─ packages       root, build
//
// A language without a runtime of its own has no toolchain, one without
// dependencies or output none of these. An app that is built in place has its
// source in the output (Layer.Source), and nothing is added.
package plan

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/berthd/berth/buildpacks/appjson"
	"github.com/berthd/berth/buildpacks/mirror"
	"github.com/berthd/berth/buildpacks/source"
)

// Request is the input of a plan: the tree, and facts about the app.
type Request struct {
	FS     fs.FS  // the tree; it cannot be left, as os.Root's
	Digest string // of the whole tree: same content, same digest
	Stack  string // key of the base layer

	// Owner is mixed into the keys of the layers that are not Root, so that no
	// two owners ever share one.
	Owner string

	// Config returns what stands for the app's config in keys: it changes when
	// the config does, and tells nothing of it. The config is the one that a
	// release of this app.json has; where there can be none, its error is the
	// plan's. nil is no config.
	Config func(appjson.Manifest) (string, error)

	// Language is the builder that was chosen by hand; "" leaves it to the tree.
	Language string

	// Versions holds what earlier plans for the same owner have resolved, by
	// the name of the tool: "node" → "24.11.1". What still fits is kept, so
	// that a new default does not move an old app.
	Versions map[string]string

	// Mirror is the operator's directory of archives; nil is none.
	Mirror *mirror.Dir

	// Test asks for the language's usual test command where app.json names none.
	Test bool
}

// Plan is how a source tree is built and run.
type Plan struct {
	Language  string            `json:"language"`        // "python"
	Summary   string            `json:"summary"`         // "Python 3.13, Flask (web.py imports flask)"
	Notes     []string          `json:"notes,omitempty"` // hints for the push's output
	Keeps     []Keep            `json:"keeps,omitempty"` // what the app seems to keep in files
	Layers    []Layer           `json:"layers"`
	Processes []Process         `json:"processes"`
	Env       map[string]string `json:"env,omitempty"` // for the running processes; the app's config goes above it
	Manifest  appjson.Manifest  `json:"-"`             // what app.json says

	// Versions holds what was resolved, to be handed to the next Request.
	Versions map[string]string `json:"versions,omitempty"`

	// Sealed tells that the layers hold all that runs: no source is added.
	Sealed bool `json:"sealed,omitempty"`

	// Test is how the app is tested before it is released; nil is not at all.
	Test *Test `json:"test,omitempty"`

	// Dockerfile is the path of the file that describes the image which takes the
	// place of all layers, with processes and environment of its own; "" is none.
	Dockerfile string `json:"dockerfile,omitempty"`

	// Late completes the plan once its layers are built; nil when it is whole.
	Late *Late

	stack string
}

// Keep is data that an app keeps in files, which are gone with the next release.
type Keep struct {
	What string `json:"what"` // "store.py keeps data in SQLite"
	Dir  string `json:"dir"`  // where a volume would keep it
	// Guess is set where Dir is a place for it, and not where it is now.
	Guess bool `json:"guess,omitempty"`
}

// ReadsConfig tells whether the build may take values of the app's config into
// what it makes.
func (p *Plan) ReadsConfig() bool {
	return p.Dockerfile != "" || slices.ContainsFunc(p.Layers, func(l Layer) bool { return l.Config == ConfigBakes })
}

// Late is the part of a plan that is only known after the build.
type Late struct {
	File string // in the topmost layer, from the root
	Read func(data []byte, p *Plan) error
}

// Test is a command that has to succeed before the app is released.
type Test struct {
	Command string `json:"command"`         // run by bash -c in /app
	Setup   string `json:"setup,omitempty"` // run before it, and where it runs; "" is none
	// Layer is the key of the layer with the dependencies of development that
	// the source is stacked on; "" is the plan's own.
	Layer string `json:"layer,omitempty"`
	// Whole tells that Layer holds the source already.
	Whole bool              `json:"whole,omitempty"`
	Env   map[string]string `json:"env,omitempty"` // above the plan's
}

// Process is one kind of process to run.
type Process struct {
	Type     string `json:"type"`
	Command  string `json:"command"`            // run by bash -c in /app
	Inferred bool   `json:"inferred,omitempty"` // not from a Procfile
}

// Release tells whether the process runs once per release, before it goes
// live, instead of being kept running and scaled.
func (p Process) Release() bool { return p.Type == "release" }

// Begin reads what a tree of any language has, Procfile and app.json, and
// returns the plan and the chain for its language to fill; End comes last. An
// error that the pusher can act on is a *source.Problem; any other is a failure
// to read the tree.
func Begin(r Request) (*Plan, *Chain, error) {
	t := &source.Tree{FS: r.FS}
	if err := check(t); err != nil {
		return nil, nil, err
	}
	procs, err := readProcfile(t)
	if err != nil {
		return nil, nil, err
	}
	manifest, err := appjson.Read(t)
	if err != nil {
		return nil, nil, err
	}
	config := ""
	if r.Config != nil {
		if config, err = r.Config(manifest); err != nil {
			return nil, nil, err
		}
	}
	p := &Plan{Processes: procs, Manifest: manifest, Env: map[string]string{}, Versions: map[string]string{}, stack: r.Stack}
	return p, &Chain{Request: r, Tree: t, plan: p, config: config}, nil
}

// check refuses a tree that has nothing in it or stands in berth's way.
func check(t *source.Tree) error {
	entries, err := fs.ReadDir(t.FS, ".")
	if err != nil {
		return fmt.Errorf("read the source tree: %w", err)
	}
	if len(entries) == 0 {
		return source.Problemf(source.CodeEmpty, "the repository is empty").
			Hint("add the app's files, commit them and push again")
	}
	if _, err := fs.Stat(t.FS, source.OwnDir); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return source.Problemf(source.CodeReserved, "the repository has an entry %s, which berth uses for what it installs", source.OwnDir).
			Hint("git rm -r --cached %s", source.OwnDir)
	}
	return nil
}

// End settles how the app is tested, and notes what the plan's parts say
// differently about one thing.
func (p *Plan) End(c *Chain) {
	p.endTest(c)
	types := map[string]bool{}
	for _, proc := range p.Processes {
		types[proc.Type] = true
	}
	if !types["web"] && len(p.Processes) > 0 {
		c.Tree.Note("Procfile has no web process: nothing will answer requests")
		for _, proc := range p.Processes {
			if strings.EqualFold(proc.Type, "web") {
				c.Tree.Note("Procfile: %q is not web, names are case-sensitive", proc.Type)
			}
		}
	}
	named := map[string]string{}
	for name := range p.Manifest.Formation {
		named[name] = "formation"
	}
	for name := range p.Manifest.Health {
		named[name] = "healthchecks"
	}
	for _, name := range source.SortedKeys(named) {
		if !types[name] {
			c.Tree.Note("app.json: %s names %q, which is not a process of this app", named[name], name)
		}
	}
	p.Notes = c.Tree.Notes
}

// endTest gives app.json's test command the last word: what a language adds is
// the layer that it runs on.
func (p *Plan) endTest(c *Chain) {
	said := p.Manifest.Test
	if said.Command != "" {
		if p.Test == nil {
			p.Test = &Test{}
		}
		p.Test.Command, p.Test.Setup = said.Command, said.Setup
	}
	if p.Test != nil && p.Test.Command == "" {
		p.Test = nil
	}
	if p.Test == nil && c.Test {
		c.Tree.Note("tests are on, but app.json does not say how to run them")
		c.Tree.Note(`(environments.test.scripts.test: "COMMAND")`)
	}
}

// Base returns the key of the layer under the source, or, when the plan is
// Sealed, of the layer that runs.
func (p *Plan) Base() string {
	for _, l := range slices.Backward(p.Layers) {
		if !l.Build {
			return l.Key
		}
	}
	return p.stack
}

// Has tells whether there is a process of the type.
func (p *Plan) Has(kind string) bool {
	return slices.ContainsFunc(p.Processes, func(proc Process) bool { return proc.Type == kind })
}

// Infer adds a process that no Procfile names, unless one of its type is there.
func (p *Plan) Infer(kind, command string) {
	if !p.Has(kind) {
		p.Processes = append(p.Processes, Process{Type: kind, Command: command, Inferred: true})
	}
}

// Overview returns the lines that tell of the plan's processes and jobs, each
// fit for a terminal of the given width where that is possible at all:
// "web: gunicorn web:app (inferred)   cron: 2 jobs (app.json)".
func (p *Plan) Overview(width int) []string {
	var parts []string
	for _, proc := range p.Processes {
		part := proc.Type + ": " + strings.Join(strings.Fields(proc.Command), " ")
		if proc.Inferred {
			part += " (inferred)"
		}
		parts = append(parts, source.Clip(part, width))
	}
	switch n := len(p.Manifest.Cron); n {
	case 0:
	case 1:
		parts = append(parts, "cron: 1 job (app.json)")
	default:
		parts = append(parts, fmt.Sprintf("cron: %d jobs (app.json)", n))
	}
	const gap = "   "
	var lines []string
	for _, part := range parts {
		last := len(lines) - 1
		if last >= 0 && runes(lines[last])+len(gap)+runes(part) <= width {
			lines[last] += gap + part
			continue
		}
		lines = append(lines, part)
	}
	return lines
}

func runes(s string) int { return len([]rune(s)) }
