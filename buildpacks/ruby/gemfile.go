package ruby

import (
	"path"
	"slices"
	"strings"

	"github.com/berthd/berth/buildpacks/source"
)

// bundle is what Gemfile and its lock file say. A Gemfile is a program, which
// is never run here: its plain statements are read, and the lock file where it
// says more.
type bundle struct {
	gemfile string // "Gemfile" or "gems.rb"
	lock    string // "Gemfile.lock" or "gems.locked"; "" is none

	gems     map[string]bool // by name, those that others need too where they are locked
	ruby     []string        // what the Gemfile's ruby statement requires: "3.3.5", "~> 3.3"
	engine   string          // "jruby", when the statement names one
	locked   lockFile
	files    int      // Gemfiles that were read
	inputs   []string // files that decide what is installed
	vendor   []string // gems in vendor/cache: "rack-3.1.8.gem"
	complete bool     // vendor/cache has every locked gem
}

// maxGemfiles bounds how many files one Gemfile may take in.
const maxGemfiles = 20

// maxPathFiles bounds the files of a gem that the repository holds itself.
const maxPathFiles = 2000

const vendorCache = "vendor/cache"

// has tells whether the gem is in the bundle.
func (b *bundle) has(names ...string) bool {
	if b == nil {
		return false
	}
	return slices.ContainsFunc(names, func(name string) bool { return b.gems[name] })
}

// readBundle reads Gemfile and Gemfile.lock; nil when there is no Gemfile.
func readBundle(t *source.Tree) (*bundle, error) {
	b := &bundle{gems: map[string]bool{}}
	lock := ""
	switch {
	case t.Has("Gemfile"):
		b.gemfile, lock = "Gemfile", "Gemfile.lock"
	case t.Has("gems.rb"):
		b.gemfile, lock = "gems.rb", "gems.locked"
	default:
		return nil, nil
	}
	if err := b.readGemfile(t, b.gemfile, "."); err != nil {
		return nil, err
	}
	text, err := t.Text(lock, source.MaxLock)
	switch {
	case err == nil:
		if b.locked, err = parseLock(lock, text); err != nil {
			return nil, err
		}
		b.lock = lock
		b.inputs = append(b.inputs, lock)
		for _, g := range b.locked.gems {
			b.gems[g.name] = true
		}
	case source.Missing(err):
		t.Note("no %s: versions are chosen during the build; run bundle lock and commit it", lock)
	default:
		return nil, err
	}
	b.readVendor(t)
	if t.Has(".bundle/config") {
		t.Note(".bundle/config belongs to the machine that wrote it and is ignored")
	}
	return b, nil
}

var (
	gemCall     = source.NewPattern(`^gem[\s(]+["']([A-Za-z0-9._-]+)["']`)
	rubyCall    = source.NewPattern(`^ruby[\s(]+(.*)$`)
	rubyFile    = source.NewPattern(`^(?:file:\s*|:file\s*=>\s*|(?:::)?File\.read\(\s*)["']([^"']+)["']`)
	rubyWord    = source.NewPattern(`^["']([^"']*)["']\s*\)?\s*(?:,\s*|$)`)
	rubyEngine  = source.NewPattern(`(?:\bengine:|:engine\s*=>)\s*["':]?([A-Za-z]+)`)
	pathOption  = source.NewPattern(`(?:\bpath:|:path\s*=>)\s*["']([^"']+)["']`)
	pathBlock   = source.NewPattern(`^path[\s(]+["']([^"']+)["']`)
	gemspecCall = source.NewPattern(`^gemspec\b`)
	evalCall    = source.NewPattern(`^eval_gemfile[\s(]+["']([^"']+)["']`)
)

// readGemfile reads a Gemfile, and those that it takes in. Paths in it are
// below dir.
func (b *bundle) readGemfile(t *source.Tree, name, dir string) error {
	if slices.Contains(b.inputs, name) || b.files == maxGemfiles {
		return nil
	}
	b.files++
	text, err := t.Text(name, source.MaxManifest)
	if err != nil {
		return err
	}
	b.inputs = append(b.inputs, name)
	for _, s := range statements(text) {
		if m := gemCall.FindStringSubmatch(s); m != nil {
			b.gems[m[1]] = true
			if p := pathOption.FindStringSubmatch(s); p != nil {
				b.addPath(t, path.Join(dir, p[1]))
			}
			continue
		}
		if m := rubyCall.FindStringSubmatch(s); m != nil && b.ruby == nil {
			if err := b.readRuby(t, m[1]); err != nil {
				return err
			}
			continue
		}
		if m := pathBlock.FindStringSubmatch(s); m != nil {
			b.addPath(t, path.Join(dir, m[1]))
			continue
		}
		if gemspecCall.MatchString(s) {
			in := dir
			if p := pathOption.FindStringSubmatch(s); p != nil {
				in = path.Join(dir, p[1])
			}
			b.addGemspecs(t, in)
			continue
		}
		if m := evalCall.FindStringSubmatch(s); m != nil {
			if more := path.Join(dir, m[1]); t.Has(more) {
				if err := b.readGemfile(t, more, path.Dir(more)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// readRuby reads the arguments of a Gemfile's ruby statement. What is computed
// is left alone: Bundler will judge it.
func (b *bundle) readRuby(t *source.Tree, args string) error {
	if m := rubyEngine.FindStringSubmatch(args); m != nil {
		b.engine = m[1]
	}
	if m := rubyFile.FindStringSubmatch(args); m != nil {
		file := path.Clean(m[1])
		text, err := t.Text(file, source.MaxManifest)
		if err != nil {
			if source.Missing(err) {
				return nil
			}
			return err
		}
		b.inputs = append(b.inputs, file)
		if v := versionIn(text); v != "" {
			b.ruby = []string{v}
		}
		return nil
	}
	for m := rubyWord.FindStringSubmatch(args); m != nil; m = rubyWord.FindStringSubmatch(args) {
		b.ruby = append(b.ruby, m[1])
		args = args[len(m[0]):]
	}
	return nil
}

// addPath makes a directory of gems of the repository's own an input: Bundler
// reads their gemspecs, which read what they like of their gem.
func (b *bundle) addPath(t *source.Tree, dir string) {
	if dir = path.Clean(dir); dir == "." {
		b.addGemspecs(t, dir)
		return
	}
	sub, err := t.Sub(dir)
	if err != nil {
		return
	}
	sub.Walk(hidden, func(name string) {
		if len(b.inputs) < maxPathFiles {
			b.inputs = append(b.inputs, path.Join(dir, name))
		}
	})
}

// addGemspecs makes the gemspec of the repository itself an input, and the
// files that give a gem its version.
func (b *bundle) addGemspecs(t *source.Tree, dir string) {
	sub, err := t.Sub(path.Clean(dir))
	if err != nil {
		return
	}
	sub.Walk(hidden, func(name string) {
		here := path.Ext(name) == ".gemspec" && path.Dir(name) == "."
		version := path.Base(name) == "version.rb" && strings.HasPrefix(name, "lib/") || name == "VERSION"
		if (here || version) && len(b.inputs) < maxPathFiles {
			b.inputs = append(b.inputs, path.Join(dir, name))
		}
	})
}

func hidden(dir string) bool {
	return strings.HasPrefix(path.Base(dir), ".") || path.Base(dir) == "node_modules"
}

// readVendor looks for gems that the repository brings along.
func (b *bundle) readVendor(t *source.Tree) {
	for _, e := range t.Dir(vendorCache) {
		if strings.HasSuffix(e.Name(), ".gem") && e.Type().IsRegular() {
			b.vendor = append(b.vendor, e.Name())
			b.inputs = append(b.inputs, vendorCache+"/"+e.Name())
		}
	}
	b.complete = len(b.vendor) > 0 && len(b.locked.gems) > 0
	for _, g := range b.locked.gems {
		b.complete = b.complete && (!g.archive || slices.ContainsFunc(b.vendor, func(file string) bool {
			return file == g.name+"-"+g.version+".gem" || strings.HasPrefix(file, g.name+"-"+g.version+"-")
		}))
	}
}

// statements returns the statements of a Ruby program, as far as they stand on
// lines of their own: comments and what follows __END__ are left out, a line
// that ends with a comma goes on.
func statements(text string) (list []string) {
	block, open := false, false
	for _, line := range source.Lines(text) {
		switch {
		case line == "__END__":
			return list
		case strings.HasPrefix(line, "=begin"):
			block = true
		case strings.HasPrefix(line, "=end"):
			block = false
			continue
		}
		line = strings.TrimSpace(withoutComment(line))
		if block || line == "" {
			continue
		}
		if open {
			list[len(list)-1] += " " + line
		} else {
			list = append(list, line)
		}
		open = strings.HasSuffix(line, ",") && len(list[len(list)-1]) < maxStatement
	}
	return list
}

// maxStatement bounds a statement that goes on and on.
const maxStatement = 10_000

// withoutComment takes a comment off the end of a line: a # outside of quotes.
func withoutComment(line string) string {
	var quote byte
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == '\\':
			i++
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '#':
			return line[:i]
		}
	}
	return line
}
