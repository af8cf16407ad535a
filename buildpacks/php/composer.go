package php

import (
	"encoding/json"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/berthd/berth/buildpacks/source"
)

// composer is what composer.json and composer.lock say.
type composer struct {
	requires map[string]string // of the app itself
	dev      map[string]string // of its development
	scripts  map[string]bool   // events that have one
	classmap bool              // classes are found by reading the sources
	inputs   []string          // files that decide what is installed
	lock     *composerLock     // nil is none
}

// composerLock is the part of composer.lock that a plan depends on.
type composerLock struct {
	Packages []struct {
		Name    string
		Require requirements
	}
	Platform requirements
}

// requirements are package names and constraints. Composer writes an empty list
// for none.
type requirements map[string]string

func (r *requirements) UnmarshalJSON(data []byte) error {
	if strings.HasPrefix(strings.TrimSpace(string(data)), "[") {
		return nil
	}
	return json.Unmarshal(data, (*map[string]string)(r))
}

// Bounds of what one repository may bring along.
const (
	maxPaths     = 100
	maxPathFiles = 2000
)

// readComposer reads composer.json and composer.lock; nil when there is none.
func readComposer(t *source.Tree) (*composer, error) {
	root, err := t.JSON(source.CodeProject, "composer.json", source.MaxManifest)
	if source.Missing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if !root.IsObject() {
		return nil, root.Wrong(`an object, as in {"require": {}}`)
	}
	c := &composer{requires: stringsOf(root, "require"), dev: stringsOf(root, "require-dev"), scripts: map[string]bool{}, inputs: []string{"composer.json"}}
	if scripts, ok := root.Get("scripts"); ok {
		for _, f := range scripts.Fields {
			c.scripts[f.Name] = true
		}
	}
	if classmap, ok := root.Get("autoload", "classmap"); ok {
		c.classmap = len(classmap.Items) > 0
	}
	// A map that is said to be whole has to be made where the classes are.
	if authoritative, ok := root.Get("config", "classmap-authoritative"); ok && authoritative.True() {
		c.classmap = true
	}
	if repos, ok := root.Get("repositories"); ok {
		for _, r := range repos.Items {
			c.addRepository(t, r)
		}
		for _, f := range repos.Fields {
			c.addRepository(t, f.JSON)
		}
	}
	if err := c.readLock(t); err != nil {
		return nil, err
	}
	if t.IsDir("vendor/composer") {
		t.Note("vendor is in the repository and hides the installed packages: git rm -r --cached vendor")
	}
	return c, nil
}

// stringsOf returns the strings of an object.
func stringsOf(v source.JSON, name string) map[string]string {
	m := map[string]string{}
	object, _ := v.Get(name)
	for _, f := range object.Fields {
		m[strings.ToLower(f.Name)] = f.String()
	}
	return m
}

func (c *composer) readLock(t *source.Tree) error {
	text, err := t.Text("composer.lock", source.MaxLock)
	if source.Missing(err) {
		if slices.ContainsFunc(source.SortedKeys(c.requires), isPackage) {
			t.Note("no composer.lock: versions are chosen during the build; run composer update")
			t.Note("and commit it")
		}
		return nil
	}
	if err != nil {
		return err
	}
	c.inputs = append(c.inputs, "composer.lock")
	c.lock = &composerLock{}
	if err := json.Unmarshal([]byte(text), c.lock); err != nil {
		return source.Problemf(source.CodeProject, "composer.lock: %s", source.Printable(strings.TrimPrefix(err.Error(), "json: "))).
			Hint("run composer update --lock and commit it")
	}
	return nil
}

// isPackage tells a package from PHP and its parts.
func isPackage(name string) bool { return strings.Contains(name, "/") }

// addRepository makes those files an input that a repository of the app's own
// is made of. Packages are linked to where they are, so of a package its own
// composer.json decides, unless its sources are read for their classes.
func (c *composer) addRepository(t *source.Tree, r source.JSON) {
	url := path.Clean(r.String("url"))
	if !fs.ValidPath(url) || url == "." {
		return
	}
	switch r.String("type") {
	case "artifact":
		c.addFiles(t, url, func(name string) bool { return path.Ext(name) == ".zip" || path.Ext(name) == ".tar" })
	case "path":
		dirs, err := t.Glob(url)
		if err != nil || len(dirs) > maxPaths {
			t.Note("composer.json: the repository %s is not looked at", source.Printable(url))
			return
		}
		for _, dir := range dirs {
			file := path.Join(dir, "composer.json")
			if !t.Has(file) {
				continue
			}
			c.inputs = append(c.inputs, file)
			pkg, err := t.JSON(source.CodeProject, file, source.MaxManifest)
			if _, classmap := pkg.Get("autoload", "classmap"); err != nil || classmap {
				c.addFiles(t, dir, func(string) bool { return true })
			}
		}
	}
}

func (c *composer) addFiles(t *source.Tree, dir string, wanted func(name string) bool) {
	sub, err := t.Sub(dir)
	if err != nil {
		return
	}
	hidden := func(dir string) bool { return strings.HasPrefix(path.Base(dir), ".") || path.Base(dir) == "vendor" }
	sub.Walk(hidden, func(name string) {
		if wanted(name) && len(c.inputs) < maxPathFiles {
			c.inputs = append(c.inputs, path.Join(dir, name))
		}
	})
}

// php returns what PHP the app requires, and where that stands.
func (c *composer) php() (constraint, where string) {
	if s := c.requires["php"]; s != "" {
		return s, "composer.json"
	}
	if c.lock != nil && c.lock.Platform["php"] != "" {
		return c.lock.Platform["php"], "composer.lock"
	}
	return "", "composer.json"
}

// lockedFit tells whether every locked package runs on the PHP. A constraint
// that cannot be read is Composer's to judge.
func (c *composer) lockedFit(v debianPHP) bool {
	if c.lock == nil {
		return true
	}
	known := map[string]bool{}
	for _, pkg := range c.lock.Packages {
		s := pkg.Require["php"]
		fits, seen := known[s]
		if !seen {
			parsed, err := parseConstraint(s)
			fits = err != nil || v.fits(parsed)
			known[s] = fits
		}
		if !fits {
			return false
		}
	}
	return true
}

// extension is a demand for one.
type extension struct {
	name, file string
	locked     bool // a locked package's, not the app's own
}

// extensions returns those that the app and its locked packages ask for.
func (c *composer) extensions() (list []extension) {
	add := func(requires map[string]string, file string, locked bool) {
		for _, name := range source.SortedKeys(requires) {
			if ext, ok := strings.CutPrefix(strings.ToLower(name), "ext-"); ok {
				list = append(list, extension{ext, file, locked})
			}
		}
	}
	add(c.requires, "composer.json", false)
	if c.lock != nil {
		add(c.lock.Platform, "composer.lock", false)
		for _, pkg := range c.lock.Packages {
			add(pkg.Require, "composer.lock", true)
		}
	}
	return list
}

// runs tells whether one of the events that an installation sets off has a script.
func (c *composer) runs(events ...string) bool {
	return slices.ContainsFunc(events, func(e string) bool { return c.scripts[e] })
}
