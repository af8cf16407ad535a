package plan

import (
	"slices"
	"strings"

	"github.com/berthd/berth/buildpacks/mirror"
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

	// Tools are made with what Build has, each on top of the one before, so that
	// all versions share what is below. Only what is to be kept of them goes to
	// what runs.
	Tools []Tool

	// On is the layer of build tools that Build and Tools are made on, besides
	// which nothing of the toolchain is made; "" is the stack. The repository's
	// own packages are left out.
	On string

	// BuildOnly leaves out all that runs: what is built needs the stack alone.
	BuildOnly bool

	Env    []string // of the commands, besides what apt needs
	Passes []string // variables of the operator, see Layer
	Files  []string // variables of the operator that name files, see Layer.PassesFiles
	Hints  []string // what to do when it cannot be made; else one is made up
}

// Tool is a part of a toolchain that is made by another: a version of the
// language, a package manager.
type Tool struct {
	Name     string // "Node 24.11.1"
	Commands []Command
	Keep     []string // what of it runs: "opt/node/bin"; none when it only builds
	Failure  *source.Problem

	// Archive is what the commands unpack, out of the operator's mirror; nil is
	// nothing. They have no network then.
	Archive *mirror.Archive

	// Else makes the same of another source, when the commands fail.
	Else *Tool
}

// Toolchain adds the layers of a toolchain, and the repository's own packages
// (apt-packages, Aptfile), to both branches: later layers are built with
// builder, and the app runs on the top.
func (c *Chain) Toolchain(t Toolchain) (top, builder string, err error) {
	packages, file, err := aptPackages(c.Tree)
	if err != nil {
		return "", "", err
	}
	root := Layer{Root: true, Env: slices.Concat(AptEnv, t.Env), Passes: slices.Concat(NetPasses, t.Passes), PassesFiles: t.Files}
	root.Failure = source.Problemf(source.CodeToolchain, "the %s toolchain could not be installed", t.Title)
	root.Failure.Hints = t.Hints
	if len(t.Hints) == 0 {
		root.Failure.Hint("the app is not the cause: check that this machine can reach Debian's archive").
			Hint("then push the same commit again")
	}
	top = c.Stack
	if t.On != "" {
		top, packages = t.On, nil
	}
	if len(t.Runtime) > 0 && !t.BuildOnly {
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
		if builder, err = c.Add(l, builder); err != nil {
			return "", "", err
		}
	}
	for _, tool := range t.Tools {
		if tool.Archive != nil && packedXZ(*tool.Archive) {
			l := root
			l.Name, l.Commands, l.Build = "xz", AptInstall("xz-utils"), true
			if builder, err = c.Add(l, builder); err != nil {
				return "", "", err
			}
		}
		l := root
		l.Name, l.Commands, l.Build, l.Failure = tool.Name, tool.Commands, true, tool.Failure
		l.Archive, l.Offline = tool.Archive, tool.Archive != nil
		if tool.Else != nil {
			l.Else = tool.Else.instead(l)
		}
		if len(tool.Keep) > 0 {
			l.Name = strings.TrimSuffix(l.Name, fromMirror) + " build tools"
		}
		if builder, err = c.Add(l, builder); err != nil {
			return "", "", err
		}
		if t.BuildOnly || len(tool.Keep) == 0 {
			continue
		}
		if top, err = c.Add(Layer{Name: tool.Name, Root: true, Builder: builder, Keep: tool.Keep}, top); err != nil {
			return "", "", err
		}
	}
	if len(packages) == 0 {
		return top, builder, nil
	}
	// Once for what runs and once for what builds, so that the build tools below
	// are everybody's.
	own := Layer{Name: file, Root: true, Listed: true, Commands: AptInstall(packages...), Env: AptEnv, Passes: NetPasses}
	own.Failure = source.Problemf(source.CodeApt, "the packages of %s could not be installed", file).
		Hint("check the names in Debian 13: apt-cache search WORD")
	if !t.BuildOnly {
		below := top
		if top, err = c.Add(own, top); err != nil || builder == below {
			return top, top, err
		}
	}
	own.Build = true
	builder, err = c.Add(own, builder)
	return top, builder, err
}

// NetPasses are the operator's variables that tell every tool the way out.
var NetPasses = []string{"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "no_proxy", "all_proxy"}
