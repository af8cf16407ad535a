package plan

import (
	"fmt"
	"slices"

	"github.com/berthd/berth/buildpacks/mirror"
	"github.com/berthd/berth/buildpacks/source"
)

// Layer is one step of the chain. Its key follows from its parent's key and
// all its other fields, so that an unchanged layer is never built twice.
type Layer struct {
	Name string `json:"name"` // "toolchain", "dependencies", for the push's output
	Key  string `json:"key"`

	// Parent is the key of the layer that this one is stacked on.
	Parent string `json:"parent"`

	// Builder is the key of the Build layer whose filesystem the commands of a
	// layer that is not Root see, with /app as Parent has it.
	Builder string `json:"builder,omitempty"`

	// Root layers run as root in the whole filesystem, are made of berth's own
	// lists alone and are shared by all; the others run as the app's user in
	// /app, keep what is under /app, and are one owner's.
	Root bool `json:"root,omitempty"`

	// Listed tells that a Root layer is made of a list in the repository
	// (apt-packages), and so takes the time of whoever pushes it.
	Listed bool `json:"listed,omitempty"`

	// Build layers are present while later layers are built and absent from
	// what runs.
	Build bool `json:"build,omitempty"`

	// Inputs are the files of the repository the commands may read, present
	// read-only under /src with their paths. "." is the whole tree.
	Inputs []string `json:"inputs,omitempty"`

	// Source puts the whole tree into /app before the commands run. It stays,
	// unless Keep says otherwise. The tree is an input.
	Source bool `json:"source,omitempty"`

	// Keep names the files and directories under /app ("dist", "target/app.jar")
	// that the layer is to hold. When set, the commands work in /app as Builder
	// has it, and nothing else of what they leave there is kept. A last element
	// of * and ? is a pattern; one that fits nothing is a failure of the build.
	// A Root layer with Keep has no commands: it is what is named so of
	// Builder's filesystem ("opt/node/bin"), on Parent.
	Keep []string `json:"keep,omitempty"`

	Commands []Command `json:"commands,omitempty"`
	Env      []string  `json:"env,omitempty"`
	Caches   []Cache   `json:"caches,omitempty"`

	// Config is whether and how the app's config reaches the commands.
	Config ConfigUse `json:"config,omitempty"`

	// Archive is what the commands find at ArchivePath, out of the operator's
	// mirror. The key has its content.
	Archive *mirror.Archive `json:"archive,omitempty"`

	// Else says how the layer is made when its commands fail: its commands,
	// archive and network. It is another source of the same thing, and so no
	// part of the key.
	Else *Layer `json:"else,omitempty"`

	// Offline commands have no network.
	Offline bool `json:"offline,omitempty"`

	// Passes names variables of the operator that the commands get when they
	// are set. They say where things come from, not what is made, and so are
	// no part of the key.
	Passes []string `json:"passes,omitempty"`

	// PassesFiles names variables of the operator that name a file of the
	// machine (npm_config_userconfig): the commands get the file, read-only, and
	// the variable names where it is for them. No part of the key either.
	PassesFiles []string `json:"passes_files,omitempty"`

	// Failure is what to tell when a command of the layer fails; its evidence
	// is the command's output. No part of the key.
	Failure *source.Problem `json:"-"`
}

// Shared reports whether the layer is berth's own, and not of an app's build.
func (l Layer) Shared() bool { return l.Root && !l.Listed }

// ConfigUse is what the app's config is to a layer's commands. It reaches them
// as environment and is never written into a layer.
type ConfigUse byte

const (
	// ConfigNone keeps it from them.
	ConfigNone ConfigUse = iota
	// ConfigPasses hands it over for what it says of where things come from
	// (tokens of private registries). A change of it rebuilds nothing.
	ConfigPasses
	// ConfigBakes hands it over to what may take values of it into the layer
	// (NEXT_PUBLIC_API). A change of it rebuilds the layer.
	ConfigBakes
)

var configUses = []string{"none", "passes", "bakes"}

func (u ConfigUse) String() string { return configUses[u] }

// MarshalText and UnmarshalText make it a word in JSON.
func (u ConfigUse) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

func (u *ConfigUse) UnmarshalText(text []byte) error {
	i := slices.Index(configUses, string(text))
	if i < 0 {
		return fmt.Errorf("there is no use of config %q", text)
	}
	*u = ConfigUse(i)
	return nil
}

// Command is one program of a layer.
type Command struct {
	Args []string `json:"args"`
	Dir  string   `json:"dir,omitempty"` // "" is /app
}

// Run is a command in /app.
func Run(args ...string) Command { return Command{Args: args} }

// Cache is a directory kept between builds of one app.
type Cache struct {
	Name   string `json:"name"`   // "uv"
	Target string `json:"target"` // in the build container
}
