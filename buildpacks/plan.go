// Package buildpacks turns a source tree into a plan: what language it is, the
// chain of layers to build and the processes to run. It runs nothing, and it
// knows no apps and no containers.
//
// The layers of a plan form a tree of two branches. What runs stands on the
// left one; the commands of its later layers see the right one, so that
// compilers are there to build and absent from what runs:
//
//	stack
//	└─ toolchain            root, shared by all
//	   ├─ packages          root, the repository's apt-packages
//	   │  └─ python         a version that the stack does not have
//	   │     └─ dependencies
//	   └─ build tools       root, build
//	      └─ packages       root, build
package buildpacks

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// Source is a repository's tree, read through an fs.FS that cannot be left
// (os.Root's).
type Source struct {
	FS fs.FS
	// Digest is a digest of the whole tree: same content, same digest.
	Digest string
	// Owner is mixed into the keys of the layers that are not Root, so that no
	// two owners ever share one.
	Owner string
}

// Layer is one step of the chain. Its key follows from its parent's key and
// all its other fields, so that an unchanged layer is never built twice.
type Layer struct {
	Name string // "toolchain", "dependencies", for the push's output
	Key  string

	// Parent is the key of the layer that this one is stacked on.
	Parent string

	// Builder is the key of the Build layer whose filesystem the commands of a
	// layer that is not Root see, with /app as Parent has it.
	Builder string

	// Root layers run as root in the whole filesystem; the others run as the
	// app's user in /app and keep what is under /app.
	Root bool

	// Build layers are present while later layers are built and absent from
	// what runs.
	Build bool

	// Inputs are the files of the repository the commands may read, present
	// read-only under /src with their paths. "." is the whole tree.
	Inputs []string

	Commands []Command
	Env      []string
	Caches   []Cache

	// Passes names variables of the operator that the commands get when they
	// are set. They say where things come from, not what is made, and so are
	// no part of the key.
	Passes []string

	// Failure is what to tell when a command of the layer fails; its evidence
	// is the command's output. No part of the key.
	Failure *Problem
}

// Command is one program of a layer.
type Command struct {
	Args []string
	Dir  string
}

// Cache is a directory kept between builds of one app.
type Cache struct {
	Name   string // "uv"
	Target string // in the build container
}

// Process is one kind of process to run.
type Process struct {
	Type     string
	Command  string // run by bash -c in /app
	Inferred bool   // not from a Procfile
}

// Release tells whether the process runs once per release, before it goes
// live, instead of being kept running and scaled.
func (p Process) Release() bool { return p.Type == "release" }

// Plan is how a source tree is built and run.
type Plan struct {
	Language  string   // "python"
	Summary   string   // "Python 3.13, Flask (web.py imports flask)"
	Notes     []string // hints for the push's output
	Layers    []Layer
	Processes []Process
	Env       map[string]string // for the running processes; the app's config goes above it
	Manifest  Manifest          // what app.json says

	stack string
}

// Base returns the key of the layer that the source is to be stacked on.
func (p *Plan) Base() string {
	for _, l := range slices.Backward(p.Layers) {
		if !l.Build {
			return l.Key
		}
	}
	return p.stack
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
		parts = append(parts, clip(part, width))
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

func clip(s string, width int) string {
	if r := []rune(s); width > 3 && len(r) > width {
		return string(r[:width-3]) + "..."
	}
	return s
}

// Problem is a source tree that cannot be built as it is.
type Problem struct {
	Code     string // "E201"
	Message  string
	Evidence []string
	Hints    []string
}

func (p *Problem) Error() string           { return p.Message }
func (p *Problem) FaultCode() string       { return p.Code }
func (p *Problem) FaultEvidence() []string { return p.Evidence }
func (p *Problem) FaultHints() []string    { return p.Hints }

// The codes of problems. They are stable: pages and scripts may refer to them.
const (
	codeUnknown      = "E201" // no language that is known
	codeNoProcess    = "E202" // nothing says what to start
	codeProcfile     = "E203" // Procfile is malformed
	codeManifest     = "E204" // app.json is malformed
	codeFile         = "E205" // a file is too large or no text
	codeReserved     = "E206" // the tree uses a name that is berth's
	codeShadow       = "E207" // a module hides the package it imports
	codeVersion      = "E211" // a version file is malformed
	codeNoVersion    = "E212" // a version cannot be had
	codeRequirements = "E221" // requirements.txt cannot be followed
	codeProject      = "E222" // pyproject.toml, uv.lock or Pipfile is malformed or unsupported
	codePackages     = "E223" // apt-packages is malformed
	codeToolchain    = "E231" // building the toolchain failed
	codeInstall      = "E232" // installing the dependencies failed
	codeApt          = "E233" // installing the packages of apt-packages failed
)

func problem(code, format string, args ...any) *Problem {
	return &Problem{Code: code, Message: fmt.Sprintf(format, args...)}
}

func (p *Problem) with(lines ...string) *Problem {
	p.Evidence = append(p.Evidence, lines...)
	return p
}

func (p *Problem) hint(format string, args ...any) *Problem {
	p.Hints = append(p.Hints, fmt.Sprintf(format, args...))
	return p
}
