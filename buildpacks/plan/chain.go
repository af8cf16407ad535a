package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"github.com/berthd/berth/buildpacks/appjson"
	"github.com/berthd/berth/buildpacks/source"
	"github.com/berthd/berth/units"
)

// keyVersion is part of every key. A change of what layers mean, without a
// change of their fields, counts it up.
const keyVersion = "berth layer 2"

// Chain stacks layers on a stack and gives them their keys.
type Chain struct {
	Request
	Tree *source.Tree

	// Contested tells that the tree may be another language's. One that finds
	// nothing but tools then says that there is nothing to start.
	Contested bool

	// Buildpacks are the languages of the buildpacks that the repository names,
	// in their order; none when it names none.
	Buildpacks []string

	plan   *Plan
	config string
}

// Manifest adds to what app.json says what a framework cannot do without, a
// secret to be made up, and asks for the config that comes of it.
func (c *Chain) Manifest(change func(*appjson.Manifest)) (err error) {
	change(&c.plan.Manifest)
	if c.Config != nil {
		c.config, err = c.Config(c.plan.Manifest)
	}
	return err
}

// Wants tells whether a part of the app in that language may be built: always,
// unless the repository names the buildpacks of others alone.
func (c *Chain) Wants(language string) bool { return len(c.Buildpacks) == 0 || c.Asks(language) }

// Asks tells whether the repository names the buildpack of a language.
func (c *Chain) Asks(language string) bool { return slices.Contains(c.Buildpacks, language) }

// WantsTest tells whether the app is to be tested, by the language's usual
// command or by app.json's: a language then sets Plan.Test, and makes the layer
// with the dependencies of development that it names.
func (c *Chain) WantsTest() bool { return c.Test || c.plan.Manifest.Test.Command != "" }

// Add appends a layer that is stacked on parent and returns its key.
func (c *Chain) Add(l Layer, parent string) (string, error) {
	l.Parent = parent
	if l.Inputs != nil {
		l.Inputs = slices.Compact(slices.Sorted(slices.Values(l.Inputs)))
	}
	for i := range l.Commands {
		if l.Commands[i].Dir == "" && !l.Root {
			l.Commands[i].Dir = "/app"
		}
	}
	if err := c.seal(&l); err != nil {
		return "", err
	}
	key, err := c.key(l)
	if err != nil {
		return "", err
	}
	l.Key = key
	c.plan.Layers = append(c.plan.Layers, l)
	return key, nil
}

// key digests everything that decides what is in the layer. Each field is
// preceded by its name and length, so that no two layers read the same.
func (c *Chain) key(l Layer) (string, error) {
	h := sha256.New()
	put := func(name, value string) { fmt.Fprintf(h, "%s %d:%s\n", name, len(value), value) }
	put("version", keyVersion)
	put("name", l.Name)
	put("parent", l.Parent)
	put("builder", l.Builder)
	put("kind", fmt.Sprintf("root=%t build=%t source=%t offline=%t config=%d", l.Root, l.Build, l.Source, l.Offline, l.Config))
	if !l.Root {
		put("owner", c.Owner)
	}
	if l.Config == ConfigBakes {
		put("config", c.config)
	}
	if l.Source {
		put("tree", c.Digest)
	}
	for _, name := range l.Keep {
		put("keep", name)
	}
	for _, cmd := range l.Commands {
		put("command", fmt.Sprint(len(cmd.Args)))
		for _, arg := range cmd.Args {
			put("arg", arg)
		}
		put("dir", cmd.Dir)
	}
	if l.Archive != nil {
		put("archive", l.Archive.Sum)
	}
	for _, env := range l.Env {
		put("env", env)
	}
	for _, cache := range l.Caches {
		put("cache", cache.Name)
		put("target", cache.Target)
	}
	for _, name := range l.Inputs {
		put("input", name)
		if name == "." {
			put("tree", c.Digest)
			continue
		}
		sum, err := c.digest(name)
		if err != nil {
			return "", fmt.Errorf("digest %s: %w", name, err)
		}
		put("content", sum)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// Executable tells whether a file of the tree is a program.
func Executable(info fs.FileInfo) bool { return info.Mode().Perm()&0o111 != 0 }

// digest returns a digest of an input's content. It reads the file anew
// rather than trusting what was parsed of it: all of it decides.
func (c *Chain) digest(name string) (string, error) {
	f, err := c.FS.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if info, err := f.Stat(); err == nil && Executable(info) {
		fmt.Fprintln(h, "executable")
	}
	n, err := io.Copy(h, io.LimitReader(f, source.MaxInput+1))
	if err != nil {
		return "", err
	}
	if n > source.MaxInput {
		return "", source.Problemf(source.CodeFile, "%s is larger than %s", source.Printable(name), units.Bytes(source.MaxInput))
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
