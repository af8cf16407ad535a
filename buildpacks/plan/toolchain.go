package plan

import (
	"slices"

	"github.com/berthd/berth/buildpacks/source"
)

// Toolchain is what the layers of a language stand on. Its layers run as root,
// so nothing of a repository goes into their commands but versions that were
// checked, and every app that asks for the same has the same.
type Toolchain struct {
	Title string // "Python", for the layers' names

	// Runtime makes what runs; none when what is built needs the stack alone.
	Runtime []Command
	// Build makes what it takes to build, on top of Runtime.
	Build []Command
	// Extra are layers on top of Build, one on the other, of which the name, the
	// commands and the failure are taken: a version of the compiler, so that all
	// versions share what is below.
	Extra []Layer

	Env    []string // of the commands, besides what apt needs
	Passes []string // variables of the operator, see Layer
	Hints  []string // what to do when it cannot be made; else one is made up
}

// Toolchain adds the layers of a toolchain, and the repository's own packages
// (apt-packages, Aptfile) to both branches: what runs stands on top, and
// builder is what later layers are built with.
func (c *Chain) Toolchain(t Toolchain) (top, builder string, err error) {
	packages, file, err := aptPackages(c.Tree)
	if err != nil {
		return "", "", err
	}
	root := Layer{Root: true, Env: slices.Concat(AptEnv, t.Env), Passes: slices.Concat(NetPasses, t.Passes)}
	root.Failure = source.Problemf(source.CodeToolchain, "the %s toolchain could not be installed", t.Title)
	root.Failure.Hints = t.Hints
	if len(t.Hints) == 0 {
		root.Failure.Hint("this part is berth's: see whether this machine reaches Debian's archive").
			Hint("then push the same commit again")
	}
	top = c.Stack
	if len(t.Runtime) > 0 {
		l := root
		l.Name, l.Commands = t.Title+" toolchain", t.Runtime
		if top, err = c.Add(l, top); err != nil {
			return "", "", err
		}
	}
	builder = top
	if len(t.Build) > 0 {
		l := root
		l.Name, l.Commands, l.Build = t.Title+" build tools", t.Build, true
		if builder, err = c.Add(l, top); err != nil {
			return "", "", err
		}
	}
	for _, extra := range t.Extra {
		l := root
		l.Name, l.Commands, l.Failure, l.Build = extra.Name, extra.Commands, extra.Failure, true
		if builder, err = c.Add(l, builder); err != nil {
			return "", "", err
		}
	}
	if len(packages) == 0 {
		return top, builder, nil
	}
	// Once for what runs and once for what builds, so that the build tools below
	// are everybody's.
	own := Layer{Name: file, Root: true, Commands: AptInstall(packages...), Env: AptEnv, Passes: NetPasses}
	own.Failure = source.Problemf(source.CodeApt, "the packages of %s could not be installed", file).
		Hint("are they named so in Debian 13? apt-cache search finds them")
	below := top
	if top, err = c.Add(own, top); err != nil || builder == below {
		return top, top, err
	}
	own.Build = true
	builder, err = c.Add(own, builder)
	return top, builder, err
}

// NetPasses are the operator's variables that tell every tool the way out.
var NetPasses = []string{"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "no_proxy", "all_proxy"}
