package node

import (
	"path"
	"slices"
	"strings"

	"github.com/berthd/berth/buildpacks/source"
)

// oldBundlers are packages that bundle with webpack 4 below a major version. Its
// hashes are ones that OpenSSL 3, which Node has since 17, keeps for who asks.
var oldBundlers = []struct {
	pkg   string
	below uint64
}{
	{"react-scripts", 5}, {"webpack", 5}, {"@vue/cli-service", 5}, {"@angular-devkit/build-angular", 12}, {"nuxt", 3},
	{"gatsby", 3}, {"next", 11}, {"laravel-mix", 6}, {"@symfony/webpack-encore", 1}, {"@rails/webpacker", 6},
}

// legacyHashes is the option of Node that allows what an old bundler needs; "" is
// none.
func (p *project) legacyHashes() string {
	const option = "--openssl-legacy-provider"
	if p.node.parsed().Major() < 17 {
		return ""
	}
	for _, script := range p.file.scripts {
		if strings.Contains(script, option) {
			return ""
		}
	}
	for _, b := range oldBundlers {
		spec := strings.TrimSpace(p.file.deps[b.pkg] + p.file.dev[b.pkg])
		// A range's least version is what its lock file has, or near to it.
		if spec != "" && rangeText.MatchString(spec) && versionText.MatchString(spec) && leastOf(spec).Major() < b.below {
			p.tree.Note("%s is older than OpenSSL 3: Node runs with %s", b.pkg, option)
			return option
		}
	}
	return ""
}

var versionText = source.NewPattern(`[0-9]`)

// generators are the usual names of the script that makes sources of others.
var generators = []string{"generate", "codegen", "gen", "graphql:codegen", "graphql-codegen", "generate:types", "prisma:generate", "db:generate"}

var importedFile = source.NewPattern(`(?:\bfrom|\bimport|\brequire)\s*\(?\s*["'](\.{1,2}/[^"'\n]{0,200}generated[^"'\n]{0,200})["']`)

// generator names the script that makes what the source imports and the
// repository has not, where the build does not run it itself; "" is none.
func (p *project) generator() string {
	i := slices.IndexFunc(generators, func(name string) bool { return p.file.scripts[name] != "" })
	if i < 0 {
		return ""
	}
	name := generators[i]
	own := p.file.expand(p.file.scripts[name])
	for _, part := range append([]string{"heroku-prebuild", "heroku-postbuild", "prebuild", "build"}, lifecycle...) {
		for _, w := range p.file.expand(p.file.scripts[part]) {
			if slices.ContainsFunc(own, func(o []string) bool { return slices.Equal(o, w) }) {
				return ""
			}
		}
	}
	left, bytes, missing := maxScanned, maxScannedBytes, ""
	p.tree.Walk(isAside, func(file string) {
		if missing != "" || bytes < 0 || !slices.Contains([]string{".ts", ".tsx", ".js", ".jsx", ".mjs", ".vue", ".svelte"}, path.Ext(file)) {
			return
		}
		if left--; left < 0 {
			return
		}
		data, err := p.tree.Read(file, maxScannedFile)
		if err != nil {
			return // names nothing
		}
		bytes -= len(data)
		for _, m := range importedFile.FindAllStringSubmatch(string(data), -1) {
			if at := path.Join(path.Dir(file), m[1]); inside(at) && !p.imports(at) {
				missing = at
				return
			}
		}
	})
	if missing != "" {
		p.tree.Note("%s is not in the repository: the script %s runs before the build", source.Printable(missing), name)
		return name
	}
	return ""
}

// imports tells whether an import of a file finds one.
func (p *project) imports(name string) bool {
	if p.tree.IsDir(name) {
		return true
	}
	bare := strings.TrimSuffix(name, ".js") // TypeScript's may be written so
	for _, ext := range []string{"", ".ts", ".tsx", ".js", ".jsx", ".mjs", ".d.ts", ".json", ".vue", ".svelte", ".css"} {
		if p.tree.Has(name+ext) || p.tree.Has(bare+ext) {
			return true
		}
	}
	return false
}
