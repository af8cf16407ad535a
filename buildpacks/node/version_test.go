package node

import (
	"strings"
	"testing"

	"github.com/berthd/berth/buildpacks/packtest"
	"github.com/berthd/berth/buildpacks/source"
)

// open returns the project of a tree, without a plan.
func open(t *testing.T, files ...string) *project {
	t.Helper()
	p := &project{tree: &source.Tree{FS: packtest.Repo(files...)}}
	var err error
	if p.file, err = readManifest(p.tree); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestFindNode_FilesInTheirOrder(t *testing.T) {
	engines := func(spec string) string { return `{"engines": {"node": "` + spec + `"}}` }
	for name, c := range map[string]struct {
		files   []string
		earlier string
		want    string
		note    string
	}{
		"nobody":                {[]string{packageJSON, "{}"}, "", "24.21.0", ""},
		"any":                   {[]string{packageJSON, engines("*")}, "", "24.21.0", ""},
		"at least":              {[]string{packageJSON, engines(">=18")}, "", "24.21.0", ""},
		"a line":                {[]string{packageJSON, engines("22.x")}, "", "22.23.3", ""},
		"a minor":               {[]string{packageJSON, engines("~20.11")}, "", "20.11.1", ""},
		"a caret":               {[]string{packageJSON, engines("^18.17.0")}, "", "18.20.8", ""},
		"either":                {[]string{packageJSON, engines("^16.13 || ^18.0.0")}, "", "18.20.8", ""},
		"between":               {[]string{packageJSON, engines(">=18.0.0 <21")}, "", "20.20.2", ""},
		"from to":               {[]string{packageJSON, engines("18 - 20")}, "", "20.20.2", ""},
		"newer than ours":       {[]string{packageJSON, engines(">=25")}, "", "26.10.0", ""},
		"an odd line":           {[]string{packageJSON, engines("23")}, "", "23.11.1", ""},
		"exact":                 {[]string{packageJSON, engines("v20.9.0")}, "", "20.9.0", ""},
		"exact, unknown":        {[]string{packageJSON, engines("24.99.1")}, "", "24.99.1", ""},
		"an old line":           {[]string{packageJSON, engines("4.2.x")}, "", "4.2.5", ""},
		"an older line":         {[]string{packageJSON, engines("~6.10")}, "", "6.10.3", ""},
		"after our list":        {[]string{packageJSON, engines("24.99.x")}, "", "24.99.x", "the registry decides"},
		"either, both after it": {[]string{packageJSON, engines("^27 || ^29")}, "", "^27 || ^29", "the registry decides"},
		"between, after it":     {[]string{packageJSON, engines("  >=27.1  <30 ")}, "", ">=27.1  <30", "the registry decides"},
		"from to, after it":     {[]string{packageJSON, engines("27 - 28.x")}, "", "27 - 28.x", "the registry decides"},
		"either, one is ours":   {[]string{packageJSON, engines("^27 || ^22")}, "", "22.23.3", ""},
		"between, from ours":    {[]string{packageJSON, engines(">=26 <30")}, "", "26.10.0", ""},
		"the next line":         {[]string{packageJSON, engines(">=27")}, "", ">=27", "the registry decides"},
		".nvmrc":                {[]string{packageJSON, "{}", ".nvmrc", "v22.11.0\r\n"}, "", "22.11.0", ""},
		"lts/*":                 {[]string{packageJSON, "{}", ".nvmrc", "lts/*"}, "", "24.21.0", ""},
		"codename":              {[]string{packageJSON, "{}", ".nvmrc", "lts/Iron"}, "", "20.20.2", ""},
		"latest":                {[]string{packageJSON, "{}", ".node-version", "node"}, "", "26.10.0", ""},
		"asdf":                  {[]string{packageJSON, "{}", ".tool-versions", "nodejs 20.18.0"}, "", "20.18.0", ""},
		"mise":                  {[]string{packageJSON, "{}", "mise.toml", "[tools]\nnode = '22'"}, "", "22.23.3", ""},
		"volta":                 {[]string{packageJSON, `{"volta": {"node": "18.19.0"}}`}, "", "18.19.0", ""},
		"narrowed":              {[]string{packageJSON, engines(">=18"), ".nvmrc", "20.11.1"}, "", "20.11.1", ""},
		"contradicted":          {[]string{packageJSON, engines("22.x"), ".nvmrc", "20"}, "", "22.23.3", ".nvmrc, line 1, asks for 20, which does not fit"},
		"kept":                  {[]string{packageJSON, engines(">=20")}, "22.5.0", "22.5.0", ""},
		"kept, nobody asks":     {[]string{packageJSON, "{}"}, "22.5.0", "22.5.0", ""},
		"not kept any longer":   {[]string{packageJSON, engines(">=24")}, "22.5.0", "24.21.0", ""},
	} {
		p := open(t, c.files...)
		r, err := p.findNode(c.earlier)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		notes := strings.Join(p.tree.Notes, "\n")
		if r.version != c.want || !strings.Contains(notes, c.note) || c.note == "" && notes != "" {
			t.Errorf("%s: got %s, notes %q; want %s and %q", name, r.version, notes, c.want, c.note)
		}
	}
}

// The least of a range decides what stands beside it: npm, Debian's libraries.
func TestLeastOf(t *testing.T) {
	for text, want := range map[string]string{
		"24.11.1": "24.11.1", "5.0.0-rc.1": "5.0.0-rc.1", "27.x": "27.0.0", "~27.1": "27.1.0", "^29 || ^27.2.1": "27.2.1",
		">=27.1 <30": "27.1.0", "<30 >=27": "27.0.0", "27 - 28": "27.0.0", ">26": "26.0.0",
	} {
		if got := leastOf(text).String(); got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
}

// What no list can have is refused before anybody is asked.
func TestFindNode_ARangeOfNothing(t *testing.T) {
	for _, text := range []string{"^97 || ^99", ">=97 <99", "^97", "<0.5", "^27, ^29", "^27 ^97 || ^x; rm"} {
		p := open(t, packageJSON, `{"engines": {"node": "`+text+`"}}`)
		if r, err := p.findNode(""); err == nil {
			t.Errorf("%s: got %s, want a refusal", text, r.version)
		}
	}
}

func TestFindManager(t *testing.T) {
	for name, c := range map[string]struct {
		files   []string
		want    string
		earlier map[string]string
	}{
		"nothing":          {[]string{packageJSON, "{}"}, "npm 11.21.2", nil},
		"package-lock":     {[]string{packageJSON, "{}", "package-lock.json", "{}"}, "npm 11.21.2 package-lock.json", nil},
		"an old Node":      {[]string{packageJSON, `{"engines": {"node": "16"}}`}, "npm 8.19.4", nil},
		"engines":          {[]string{packageJSON, `{"engines": {"npm": "^10.2.0"}}`}, "npm 10.9.9", nil},
		"exact engines":    {[]string{packageJSON, `{"engines": {"npm": "10.2.0"}}`}, "npm 10.2.0", nil},
		"named":            {[]string{packageJSON, `{"packageManager": "pnpm@9.12.0+sha512.abc"}`}, "pnpm 9.12.0", nil},
		"a range":          {[]string{packageJSON, `{"packageManager": "pnpm@9.12.x"}`}, "pnpm 9.12.3", nil},
		"a range, kept":    {[]string{packageJSON, `{"packageManager": "pnpm@^9.1.0"}`}, "pnpm 9.9.0", map[string]string{"pnpm": "9.9.0"}},
		"a range, usual":   {[]string{packageJSON, `{"engines": {"pnpm": ">=9"}}`, "pnpm-lock.yaml", "lockfileVersion: '9.0'\n"}, "pnpm 10.34.9 pnpm-lock.yaml", nil},
		"an old range":     {[]string{packageJSON, `{"engines": {"npm": "~6.9"}}`}, "npm 6.9.2", nil},
		"after our list":   {[]string{packageJSON, `{"packageManager": "yarn@^4.99.0"}`}, "yarn ^4.99.0 pnp", nil},
		"either, after it": {[]string{packageJSON, `{"engines": {"npm": "^13.1 || ^14"}}`}, "npm ^13.1 || ^14", nil},
		"a name alone":     {[]string{packageJSON, `{"packageManager": "bun"}`}, "bun 1.4.5", nil},
		"the latest":       {[]string{packageJSON, `{"packageManager": "pnpm@latest"}`}, "pnpm 10.34.9", nil},
		"named, not there": {[]string{packageJSON, `{"packageManager": "npm@10.2.0"}`, "yarn.lock", ""}, "npm 10.2.0", nil},
		"pnpm 9":           {[]string{packageJSON, "{}", "pnpm-lock.yaml", "lockfileVersion: '9.0'\n"}, "pnpm 10.34.9 pnpm-lock.yaml", nil},
		"pnpm 8":           {[]string{packageJSON, "{}", "pnpm-lock.yaml", "lockfileVersion: '6.0'\n"}, "pnpm 8.15.9 pnpm-lock.yaml", nil},
		"pnpm 7":           {[]string{packageJSON, "{}", "pnpm-lock.yaml", "lockfileVersion: 5.4\n"}, "pnpm 7.33.7 pnpm-lock.yaml", nil},
		"pnpm kept":        {[]string{packageJSON, "{}", "pnpm-lock.yaml", "lockfileVersion: '9.0'\n"}, "pnpm 9.15.9 pnpm-lock.yaml", map[string]string{"pnpm": "9.15.9"}},
		"yarn 1":           {[]string{packageJSON, "{}", "yarn.lock", "# yarn lockfile v1\n"}, "yarn 1.22.22 yarn.lock", nil},
		"yarn 3":           {[]string{packageJSON, "{}", "yarn.lock", "# x\n\n__metadata:\n  version: 6\n"}, "yarn 3.8.7 yarn.lock pnp", nil},
		"yarn 4":           {[]string{packageJSON, "{}", "yarn.lock", "__metadata:\n  version: 8\n", ".yarnrc.yml", "nodeLinker: node-modules\n"}, "yarn 4.18.1 yarn.lock", nil},
		"bun":              {[]string{packageJSON, "{}", "bun.lock", "{}"}, "bun 1.4.5 bun.lock", nil},
		"two":              {[]string{packageJSON, "{}", "pnpm-lock.yaml", "lockfileVersion: '9.0'\n", "package-lock.json", "{}"}, "pnpm 10.34.9 pnpm-lock.yaml", nil},
	} {
		p := open(t, c.files...)
		var err error
		if p.node, err = p.findNode(""); err != nil {
			t.Fatal(err)
		}
		m, err := p.findManager(c.earlier)
		got := strings.TrimSpace(m.name + " " + m.version + " " + m.lock)
		if m.pnp {
			got += " pnp"
		}
		if err != nil || got != c.want {
			t.Errorf("%s: got %q, %v; want %q", name, got, err, c.want)
		}
	}
}

func TestSettings_AreReadAndNotRun(t *testing.T) {
	s := parseSettings(`
import { defineConfig } from "vite"
const legacy = require('@vitejs/plugin-legacy')
// build: { outDir: "comment" },
/* root: "comment" */
const rx = /["'{]/g, half = 1 / 2, text = "root: 'string'"
export default defineConfig({
  "base": '/shop/',
  build: {
    outDir: "www", // trailing
    rollupOptions: { output: { dir: "elsewhere" } },
  },
  ssr: false,
  computed: process.env.OUT,
  plugins: [legacy({ targets: ["defaults"] })],
})`)
	for path, want := range map[string]string{"base": "/shop/", "build.outDir": "www", "ssr": "false", "root": "", "computed": "", "build.rollupOptions.output.dir": "elsewhere"} {
		if got := s.own(path); got != want {
			t.Errorf("%s: got %q, want %q (%v)", path, got, want, s.values)
		}
	}
	if !s.modules["vite"] || !s.modules["@vitejs/plugin-legacy"] || len(s.modules) != 2 {
		t.Errorf("modules: %v", s.modules)
	}
}

func FuzzSettings(f *testing.F) {
	f.Add("export default { a: { b: 'c' } } // x")
	f.Add("a:{{{/`${'\\")
	f.Fuzz(func(t *testing.T, text string) {
		s := parseSettings(text)
		if len(s.values) > maxSettings {
			t.Errorf("%d values", len(s.values))
		}
	})
}

func TestExpand_CirclesAndTreesOfScriptsEnd(t *testing.T) {
	many := func(script string) string { return strings.Repeat(script+";", 50_000) }
	m := &manifest{scripts: map[string]string{"a": many("npm run b"), "b": many("yarn c"), "c": many("pnpm run a"), "d": many("npm run e"), "e": many("npm run f"), "f": many("exec")}}
	for _, command := range []string{"npm run a", "npm run d", many("x")} {
		if n := len(m.expand(command)); n > maxCommands {
			t.Errorf("%.20s: %d commands", command, n)
		}
	}
	m = &manifest{scripts: map[string]string{"start": "npm run -s serve -- --x && cross-env A=1 npx -y serve dist", "serve": "yarn exec vite preview"}}
	got := ""
	for _, w := range m.expand("npm start") {
		got += strings.Join(w, " ") + "; "
	}
	if want := "vite preview; serve dist; "; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
