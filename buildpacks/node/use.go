package node

import (
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/berthd/berth/buildpacks/source"
)

// What is looked at to find out whether the serving language uses a frontend.
const (
	maxFrontendDepth = 3 // folders above its package.json
	maxFrontends     = 20
	maxScanned       = 2000      // files
	maxScannedFile   = 256 << 10 // bytes of one
	maxScannedBytes  = 16 << 20  // bytes of all
)

// frontendNames are the usual names of a frontend's folder, the most usual first.
var frontendNames = []string{"frontend", "ui", "web", "webapp", "client", "app", "web-ui", "webui", "www", "assets", "dashboard"}

// frontendFolders returns the folders, besides the root, with a package.json
// that builds something, the nearest and most usual first.
func frontendFolders(t *source.Tree) (dirs []string) {
	t.Walk(func(dir string) bool { return isAside(dir) || strings.Count(dir, "/") >= maxFrontendDepth }, func(name string) {
		if path.Base(name) == packageJSON && name != packageJSON && len(dirs) < maxFrontends && buildsAssets(t, name) {
			dirs = append(dirs, path.Dir(name))
		}
	})
	rank := func(dir string) int {
		i := slices.Index(frontendNames, path.Base(dir))
		if i < 0 {
			i = len(frontendNames)
		}
		return strings.Count(dir, "/")*100 + i
	}
	slices.SortStableFunc(dirs, func(a, b string) int { return rank(a) - rank(b) })
	return dirs
}

// isAside tells folders that are not the app's own source.
func isAside(dir string) bool {
	switch base := path.Base(dir); base {
	case "node_modules", "vendor", "testdata", "tests", "test", "examples", "example", "docs", "doc", "target", "venv", "site-packages", "e2e":
		return true
	default:
		return strings.HasPrefix(base, ".")
	}
}

// use is a frontend that the serving language uses.
type use struct {
	dir     string // "" is none
	outside bool   // it reads or writes files outside of its folder
}

// sources are the files in which a serving language names a folder.
var sources = []string{".go", ".py", ".rs", ".java", ".kt", ".groovy", ".scala", ".php", ".rb", ".ru", ".toml", ".xml", ".gradle", ".kts", ".properties"}

// scanSources calls fn with the text of the files in which a serving language
// names folders.
func scanSources(t *source.Tree, fn func(name, text string)) {
	left, bytes := maxScanned, maxScannedBytes
	t.Walk(isAside, func(name string) {
		if !slices.Contains(sources, path.Ext(name)) || strings.HasSuffix(name, "_test.go") {
			return
		}
		if left--; left < 0 || bytes < 0 {
			return
		}
		// What cannot be read names nothing.
		if data, err := t.Read(name, maxScannedFile); err == nil {
			bytes -= len(data)
			fn(name, string(data))
		}
	})
}

// findUse returns the first of the folders whose output the tree's source names,
// or which itself writes into the rest of the tree.
func findUse(t *source.Tree, dirs []string) use {
	found := map[string]bool{}
	type names struct {
		dir     string
		pattern *regexp.Regexp // its output, named from elsewhere
		inside  *regexp.Regexp // its output, embedded from within
	}
	var all []names
	for _, dir := range dirs {
		outputs := outputNames(t, dir)
		all = append(all, names{dir, outputPattern(dir, outputs), embedPattern(outputs)})
	}
	scanSources(t, func(name, text string) {
		for _, n := range all {
			switch {
			case path.Dir(name) == n.dir:
				found[n.dir] = found[n.dir] || n.inside.MatchString(text)
			case !strings.HasPrefix(name, n.dir+"/") && strings.Contains(text, path.Base(n.dir)):
				found[n.dir] = found[n.dir] || n.pattern.MatchString(text)
			}
		}
	})
	for _, dir := range dirs {
		if outside, writes := leaves(t, dir); found[dir] || writes {
			return use{dir, outside}
		}
	}
	return use{}
}

// outputNames returns the names that the output of a folder may have.
func outputNames(t *source.Tree, dir string) []string {
	names := slices.Clone(usualSites)
	if sub, err := t.Sub(dir); err == nil {
		if file, err := readManifest(sub); err == nil {
			p := &project{tree: sub, dir: dir, file: file}
			for _, site := range p.findFramework().site {
				if first, _, _ := strings.Cut(site, "/"); !slices.Contains(names, first) && first != "." {
					names = append(names, first)
				}
			}
		}
	}
	return names
}

// outputPattern finds a folder's output in a text: "ui/dist", but also
// os.path.join(here, "ui", "dist"), or the folder where a build tool of the
// language is given it.
func outputPattern(dir string, outputs []string) *regexp.Regexp {
	const between = `["'` + "`" + `]?\s*[/,)+]\s*\(?\s*["'` + "`" + `]?`
	var quoted []string
	for _, name := range outputs {
		quoted = append(quoted, regexp.QuoteMeta(name))
	}
	folder := strings.ReplaceAll(regexp.QuoteMeta(dir), "/", between)
	base := regexp.QuoteMeta(path.Base(dir))
	return regexp.MustCompile(`(?:^|[^\w-])(?:` + folder + `|` + base + `)` + between + `(?:` + strings.Join(quoted, "|") + `)(?:[^\w-]|$)` +
		`|(?:workingDirectory>|nodeProjectDir|workingDir|packageJsonDirectory)[^\n]{0,60}?(?:^|[^\w-])` + folder + `(?:[^\w/-]|$)`)
}

// embedPattern finds the output of the folder that a file is in: go:embed, and
// the folder of rust-embed and include_dir.
func embedPattern(outputs []string) *regexp.Regexp {
	var quoted []string
	for _, name := range outputs {
		quoted = append(quoted, regexp.QuoteMeta(name))
	}
	return regexp.MustCompile(`(?m)(?:^//go:embed\s(?:.*[\s"])?(?:all:)?|folder\s*=\s*"|include_dir!\(.*/)(?:` + strings.Join(quoted, "|") + `)(?:[^\w-]|$)`)
}

var (
	// outsideName is a path that leaves the folder of a configuration.
	outsideName = source.NewPattern(`["'` + "`" + `\s=:(]\.\./`)
	// outsideOutput is one where a build leaves its output: a setting of a
	// configuration, or a flag of a script.
	outsideOutput = source.NewPattern(`\b(?:outDir|outputDir|outputPath|outdir|outfile|dir|file|path)["']?\s*[:=][^\n]{0,60}?\.\./`)
	outsideFlag   = source.NewPattern(`(?:--outDir|--outdir|--outfile|--output-path|--output|--dist-dir|--dest|-o|-d)[\s=]+\.\./`)
	// outsideCopy brings it there afterwards.
	outsideCopy = source.NewPattern(`\b(?:cp|mv|rsync|cpx|ncp|copyfiles)\s[^&|;"\n]*\s\.\./[^\s&|;"]*\s*(?:[&|;"\n]|$)`)
	watches     = source.NewPattern(`\bwatch\b|\s-w\b|\bdev\b`)
)

// writesOut tells whether a script leaves files outside of the folder.
func writesOut(script string) bool {
	return outsideFlag.MatchString(script) || outsideCopy.MatchString(script)
}

// embedding names the script that leaves the output outside of the folder, where
// neither that for the build does nor a configuration; "" is none.
func (p *project) embedding() string {
	const usual = "build"
	if p.dir == "." || p.file.scripts[usual] == "" || p.file.scripts["heroku-postbuild"] != "" {
		return ""
	}
	programs := map[string]bool{}
	for _, part := range []string{"pre" + usual, usual, "post" + usual} {
		for _, w := range p.file.expand(p.file.scripts[part]) {
			if writesOut(strings.Join(w, " ")) {
				return ""
			}
			programs[w[0]] = programs[w[0]] || part == usual
		}
	}
	for _, name := range configurations {
		if data, err := p.tree.Read(name, maxConfig); err == nil && name != packageJSON && name != "tsconfig.json" && outsideOutput.MatchString(string(data)) {
			return ""
		}
	}
	for _, name := range source.SortedKeys(p.file.scripts) {
		script := source.Clip(p.file.scripts[name], maxScript)
		if writesOut(script) && !watches.MatchString(script) && !p.isDevServer(name, framework{}) && !slices.Contains(lifecycle, name) &&
			slices.ContainsFunc(p.file.expand(script), func(w []string) bool { return programs[w[0]] }) {
			return name
		}
	}
	return ""
}

// configurations are the files of a frontend that name where it reads and writes.
var configurations = slices.Concat([]string{packageJSON, "tsconfig.json", "angular.json", "tailwind.config.js", "tailwind.config.ts", "build.js", "build.mjs", "esbuild.js", "codegen.ts", "codegen.yml", "build.sh"},
	configs("vite"), configs("webpack"), configs("rollup"), configs("vue"), configs("next"), configs("svelte"), configs("esbuild"))

// leaves tells whether a frontend's configuration names files outside of its
// folder, and whether its output is among them.
func leaves(t *source.Tree, dir string) (outside, writes bool) {
	for _, name := range configurations {
		data, err := t.Read(path.Join(dir, name), maxConfig)
		if err != nil {
			continue
		}
		outside = outside || outsideName.MatchString(string(data))
		writes = writes || writesOut(string(data)) || name != packageJSON && name != "tsconfig.json" && outsideOutput.MatchString(string(data))
	}
	return outside || writes, writes
}
