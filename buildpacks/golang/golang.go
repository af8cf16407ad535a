// Package golang plans Go apps: which Go, which programs, how they are built.
package golang

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/berthd/berth/buildpacks/mirror"
	"github.com/berthd/berth/buildpacks/node"
	"github.com/berthd/berth/buildpacks/plan"
	"github.com/berthd/berth/buildpacks/source"
)

const (
	goRoot   = "/opt/go"
	stdCache = "/opt/go-cache" // the standard library, compiled
	goPath   = "/cache/go"
	bin      = "/app/" + source.OwnDir + "/bin"

	// madeModule is the module of a repository that has no go.mod.
	madeModule = "app"
)

// goBuild is what it takes to get Go and to compile what uses C. Debian's Go
// does no more than fetch the one that is asked for and check its sum. What is
// built needs nothing that the stack does not have.
var goBuild = []string{"g++", "gcc", "git", "golang-go", "libc6-dev", "make", "pkg-config"}

// netPasses are the operator's variables that say where modules come from.
var netPasses = slices.Concat(plan.NetPasses, proxyPasses)

var proxyPasses = []string{"GOPROXY", "GOSUMDB", "GONOPROXY", "GONOSUMDB", "GOINSECURE"}

// project is a Go app as its tree shows it.
type project struct {
	tree      *source.Tree
	base      string               // the directory of the module that is built: ".", or the only one there is
	mirror    mirror.Archives      // of Go
	env       map[string]string    // app.json's
	mod       *goModule            // the root's go.mod, nil when there is none
	members   map[string]*goModule // by directory: what go.work uses, else the root's
	work      *version             // what go.work asks for at the least, nil when there is none
	resolved  bool                 // the version was chosen by us
	contested bool                 // the tree may be another language's
	frontend  *node.Frontend       // what Node builds; nil is nothing
}

// Evidence names the file by which a tree says that it is a Go app; "" is none.
func Evidence(t *source.Tree) string {
	for _, name := range []string{"go.mod", "go.work"} {
		if t.Has(name) {
			return name
		}
	}
	return ""
}

// Sources names the first Go file of the root of a tree without go.mod; "" is
// none. Deeper ones may be anything's.
func Sources(t *source.Tree) string {
	for _, e := range t.Dir(".") {
		if name := e.Name(); path.Ext(name) == ".go" && !strings.HasSuffix(name, "_test.go") && t.Has(name) {
			return name
		}
	}
	return ""
}

// Nested names the go.mod of a tree whose app lies in one folder, with at most
// its frontend beside it; "" is none.
func Nested(t *source.Tree) string {
	found := ""
	for _, e := range t.Dir(".") {
		dir := e.Name()
		if !e.IsDir() || isForeign(dir) || dir == "vendor" || aside.MatchString(dir) {
			continue
		}
		name := path.Join(dir, "go.mod")
		switch {
		case !t.Has(name):
			if slices.ContainsFunc(otherManifests, func(m string) bool { return t.Has(path.Join(dir, m)) }) {
				return "" // which is the app?
			}
		case found != "":
			return ""
		default:
			found = name
		}
	}
	return found
}

// otherManifests are those of apps that may be meant as well.
var otherManifests = []string{"Dockerfile", "Gemfile", "composer.json", "Cargo.toml", "pom.xml", "build.gradle", "build.gradle.kts", "requirements.txt", "pyproject.toml", "Pipfile"}

// Plan fills in the plan of a Go app.
func Plan(out *plan.Plan, c *plan.Chain) error {
	p := &project{tree: c.Tree, base: ".", contested: c.Contested, mirror: c.Mirrored("go"), env: out.Manifest.Env, members: map[string]*goModule{}}
	if err := p.read(); err != nil {
		return err
	}
	v, err := p.findVersion(c.Versions["go"])
	if err != nil {
		return err
	}
	v = p.found(v)
	if p.resolved {
		out.Versions["go"] = v.String()
	}
	found, err := p.scan(v)
	if err != nil {
		return err
	}
	build, err := p.chosen(found.commands)
	if err != nil {
		return err
	}
	if len(build) == 0 {
		return p.nothingToRun(found)
	}
	linked := !p.exists("bin")
	if len(out.Processes) == 0 {
		web, ok := p.web(build)
		if !ok {
			return severalPrograms(build)
		}
		dir := source.OwnDir + "/bin"
		if linked {
			dir = "bin"
		}
		kind := "web"
		if p.isBot(found, web) {
			kind = "worker"
			p.tree.Note("%s is a bot: it runs as a worker, and nothing answers requests", web.name)
		}
		out.Infer(kind, source.ShellWord(dir+"/"+web.name))
	}
	out.Summary = p.summary(v)
	out.Env = map[string]string{"PATH": bin + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	if p.frontend, err = node.FindFrontend(c); err != nil {
		return err
	}
	p.frontend.Announce(out, c)
	return p.layers(out, c, v, build, found, linked)
}

// read reads go.mod, or go.work and the modules that it uses.
func (p *project) read() (err error) {
	if p.mod, err = p.readModule("."); err != nil {
		return err
	}
	if nested := Nested(p.tree); p.mod == nil && nested != "" && !p.tree.Has("go.work") && Sources(p.tree) == "" {
		p.base = path.Dir(nested)
		if p.mod, err = p.readModule(p.base); err != nil {
			return err
		}
		p.tree.Note("the app is %s, the only folder with a go.mod", source.Printable(p.base))
		p.tree.Note("to choose another: builder:set APP build-dir FOLDER")
	}
	dirs, least, err := p.readWorkspace()
	if err != nil {
		return err
	}
	if !p.tree.Has("go.work") {
		if p.mod != nil {
			p.members[p.base] = p.mod
		}
		return nil
	}
	p.work = &least
	for _, dir := range dirs {
		m, err := p.readModule(dir)
		if err != nil {
			return err
		}
		if m == nil {
			return source.Problemf(source.CodeProject, "go.work uses %s, which has no go.mod", source.Printable(dir)).
				Hint("go work edit -dropuse=%s", source.Printable(dir))
		}
		p.members[dir] = m
	}
	return nil
}

// least returns the oldest Go that will do.
func (p *project) least() version {
	least := version{patch: -1}
	if p.work != nil {
		least = *p.work
	}
	for _, dir := range source.SortedKeys(p.members) {
		if m := p.members[dir]; least.less(m.least) {
			least = m.least
		}
	}
	return least
}

// setting returns a variable of Heroku's buildpack where app.json sets it.
func (p *project) setting(name string) string { return strings.TrimSpace(p.env[name]) }

func (p *project) exists(name string) bool {
	return slices.ContainsFunc(p.tree.Dir("."), func(e fs.DirEntry) bool { return e.Name() == name })
}

func (p *project) nothingToRun(found packages) error {
	what := "no package main"
	if p.mod != nil {
		what = "go.mod has no package main"
	}
	switch {
	case len(found.commands) > 0:
		what = "its programs are tools and examples (" + list(found.commands) + ")"
	case !found.any && p.mod != nil:
		what = "go.mod has no package"
	}
	return source.Problemf(source.CodeNoProcess, "found no program to run: %s", what).
		With("looked at every package that builds on Linux, except testdata and other modules").
		Hint("a program is a package main with a function main, in the root or in cmd/NAME")
}

func severalPrograms(build []command) error {
	return source.Problemf(source.CodeNoProcess, "cannot tell which of %d programs answers requests", len(build)).
		With("there are "+list(build)).
		Hint("write a file named Procfile with the line: web: bin/%s", source.ShellWord(build[0].name)).
		Hint("or call one of them web or server")
}

// summary is one line: "Go 1.27.4, Gin (go.mod)".
func (p *project) summary(v version) string {
	s, file := "Go "+v.String(), source.Printable(path.Join(p.base, "go.mod"))
	if v.archive != nil {
		s += " from the mirror"
	}
	if p.work != nil {
		file = "go.work"
	}
	if len(p.members) == 0 {
		return s + " (" + source.Printable(Sources(p.tree)) + ")"
	}
	for _, f := range frameworks {
		for _, dir := range source.SortedKeys(p.members) {
			if slices.ContainsFunc(p.members[dir].requires, func(r string) bool { return r == f.module || strings.HasPrefix(r, f.module+"/") }) {
				return fmt.Sprintf("%s, %s (%s)", s, f.title, path.Join(dir, "go.mod"))
			}
		}
	}
	return s + " (" + file + ")"
}

// botModules are modules with which a program asks a service for its events: it
// listens on no port.
var botModules = []string{"github.com/bwmarrin/discordgo", "github.com/disgoorg/disgo", "github.com/diamondburned/arikawa", "github.com/go-telegram-bot-api/telegram-bot-api",
	"gopkg.in/telebot.v3", "gopkg.in/telebot.v4", "github.com/go-telegram/bot", "github.com/mymmrac/telego", "github.com/gempir/go-twitch-irc", "go.mau.fi/whatsmeow"}

// isBot tells whether the app only asks a service for its events: none of its
// packages speaks HTTP by itself.
func (p *project) isBot(found packages, web command) bool {
	asks := false
	for _, dir := range source.SortedKeys(p.members) {
		for _, r := range p.members[dir].requires {
			asks = asks || slices.ContainsFunc(botModules, func(m string) bool { return r == m || strings.HasPrefix(r, m+"/") })
		}
	}
	return asks && !web.http && !found.http
}

// layers stacks the app's layers: the toolchain, then what is compiled.
func (p *project) layers(out *plan.Plan, c *plan.Chain, v version, build []command, found packages, linked bool) error {
	top, builder, err := c.Toolchain(plan.Toolchain{
		Title:  "Go",
		Build:  plan.AptInstall(goBuild...),
		Tools:  []plan.Tool{p.compiler(v)},
		Passes: proxyPasses,
	})
	if err != nil {
		return err
	}
	if top, err = p.frontend.Files(c, top, false); err != nil {
		return err
	}
	mode := ""
	switch {
	case len(p.members) == 0:
		mode = "init"
		p.tree.Note("no go.mod: versions are chosen during the build; run go mod init and go mod tidy")
	case p.work == nil && len(p.mod.requires) > 0 && !p.tree.Has(path.Join(p.base, "go.sum")) && !p.tree.IsDir(path.Join(p.base, "vendor")):
		mode = "sum"
		p.tree.Note("no go.sum: downloads cannot be verified; run go mod tidy and commit go.sum")
	}
	link := ""
	if linked {
		link = "link"
	}
	inputs, script := found.inputs, compileOnly
	hook, commands := p.generation(v, found)
	if hook+commands != "" {
		inputs, script = []string{"."}, writable+hook
	}
	if p.base != "." {
		script += "cd " + source.ShellWord(p.base) + "\n"
	}
	script += commands
	args := []string{"sh", "-c", preparePrograms + script + buildPrograms, "sh", v.String(), mode, link}
	for _, c := range build {
		args = append(args, c.pattern())
	}
	failure := source.Problemf(source.CodeOutput, "the Go programs could not be built")
	if len(found.lacks) > 0 {
		failure.With(found.lacks[0].String()).Hint("%s", itself)
	}
	_, err = c.Add(plan.Layer{
		Name: "programs", Builder: builder, Inputs: inputs,
		Commands: []plan.Command{{Args: args, Dir: "/src"}},
		Env:      goEnv(goPath),
		Caches:   []plan.Cache{{Name: "go", Target: goPath}},
		Passes:   netPasses,
		// GOFLAGS, GOPRIVATE, CGO_CFLAGS and whatever git needs to log in.
		Config:  plan.ConfigBakes,
		Failure: failure.Hint("does go build ./... work in a fresh clone?"),
	}, top)
	if err != nil || !c.WantsTest() {
		return err
	}
	return p.test(out, c, builder)
}

// compiler is the release of Go.
func (p *project) compiler(v version) plan.Tool {
	unpacked := func(a mirror.Archive) plan.Tool {
		return plan.FromMirror("Go "+a.Version, a, plan.Unpack(goRoot), plan.Command{Args: []string{"sh", "-c", readyGo, "sh"}})
	}
	if v.archive != nil {
		return unpacked(*v.archive)
	}
	t := plan.Tool{
		Name:     "Go " + v.String(),
		Commands: []plan.Command{{Args: []string{"sh", "-c", installGo, "sh", v.String()}}},
		Failure:  p.mirror.Tell(p.versionFailure(v)),
	}
	if v.also != nil {
		other := unpacked(*v.also)
		t.Else = &other
	}
	return t
}

// installGo makes the layer of a Go release: $1. Go fetches it as a module and
// checks its sum against the checksum database, whatever GOFLAGS say.
const installGo = `set -e
export GOTOOLCHAIN=go$1 GOPATH=/tmp/go GOCACHE=` + stdCache + ` GOFLAGS= HOME=/tmp
go version
mv /tmp/go/pkg/mod/golang.org/toolchain@* ` + goRoot + `
rm -rf /tmp/go
` + compileStd

// readyGo completes the layer of a Go that is unpacked already.
const readyGo = `set -e
export GOPATH=/tmp/go GOCACHE=` + stdCache + ` GOFLAGS= HOME=/tmp
` + compileStd

// compileStd compiles the packages that nearly every server needs once for all
// apps, for programs with C and for those without.
const compileStd = `export GOTOOLCHAIN=local
for CGO_ENABLED in 0 1; do
	export CGO_ENABLED
	` + goRoot + `/bin/go build -trimpath net/http html/template database/sql encoding/xml encoding/csv log/slog os/exec os/signal mime/multipart archive/zip
done
chmod -R a+rX ` + stdCache + `
`

// The programs are built by three parts of a script, of which the one in the
// middle is what generates. preparePrograms takes the version of Go as $1; $2 is
// "init" where go.mod has to be made and "sum" where go.sum has to, else ""; $3
// "link" where bin is to be an entry of the app too. buildPrograms builds the
// packages that are named from $4 on. What is in /app already is the frontend's,
// and may be embedded.
const (
	preparePrograms = `set -e
version=$1 mode=$2 link=$3
shift 3
if [ ! -e "$GOCACHE/berth-$version" ]; then
	mkdir -p "$GOCACHE"
	cp -r ` + stdCache + `/. "$GOCACHE"
	touch "$GOCACHE/berth-$version"
fi
`
	writable = `cp -r /src /tmp/src
cp -rT /app /tmp/src
cd /tmp/src
`
	compileOnly = `if [ -n "$mode" ] || [ -e /app/` + node.Written + ` ]; then
` + writable + `fi
`
	buildPrograms = compile + `if [ "$mode" = init ]; then go mod init ` + madeModule + `; fi
if [ -n "$mode" ]; then mod=-mod=mod; fi
if [ -z "$CGO_ENABLED" ]; then
	cgo=$(CGO_ENABLED=1 go list $mod -deps -f '{{if not .Standard}}{{if .CgoFiles}}{{.ImportPath}}{{end}}{{end}}' "$@")
	if [ -n "$cgo" ]; then export CGO_ENABLED=1; else export CGO_ENABLED=0; fi
fi
mkdir -p ` + bin + `
compile $mod -trimpath -o ` + bin + `/ "$@"
if [ -n "$link" ]; then ln -s ` + source.OwnDir + `/bin /app/bin; fi
`
)

// compile is a function of the shell that is `go build`. Go compiles as many
// packages at once as there are cores, and two large ones may want more than a
// build has: what was killed is compiled again, one package at a time. What was
// compiled before is in the cache.
const compile = `compile() {
	status=0
	{ go build "$@" 2>&1 || echo $? >/tmp/compile.status; } | tee /tmp/compile.log
	if [ -e /tmp/compile.status ]; then status=$(cat /tmp/compile.status); rm /tmp/compile.status; fi
	if [ "$status" != 0 ] && grep -q 'signal: killed' /tmp/compile.log; then
		echo "warning: the build ran out of memory; trying again, one package at a time"
		GOGC=50 GOMAXPROCS=1 go build -p 1 "$@" || return
		status=0
	fi
	return $status
}
`

// goEnv is the environment of what runs Go.
func goEnv(goPath string) []string {
	return []string{
		"PATH=" + goRoot + "/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=/tmp",
		"GOPATH=" + goPath,
		"GOCACHE=" + goPath + "/build",
		"GOENV=off",
		"GOTOOLCHAIN=local",
		"GIT_TERMINAL_PROMPT=0",
	}
}

func (p *project) versionFailure(v version) *source.Problem {
	if v.known() {
		return source.Problemf(source.CodeToolchain, "Go %s could not be installed", v).
			Hint("it is downloaded as a module: check that this machine can reach its Go module proxy (GOPROXY)").
			Hint("then push the same commit again")
	}
	from := v.from
	if from == "" {
		from = "an earlier build"
	}
	var known []string
	for minor := newestMinor; minor > newestMinor-5; minor-- {
		known = append(known, version{minor: minor, patch: newestPatch[minor]}.String())
	}
	return source.Problemf(source.CodeNoVersion, "Go %s could not be downloaded", v).
		With(from+" asks for it").
		Hint("known versions: %s and older", strings.Join(known, ", "))
}

// test plans `go test`. Its layer has the modules; what they are compiled to is
// made anew, from the standard library up.
func (p *project) test(out *plan.Plan, c *plan.Chain, builder string) (err error) {
	const own = "/app/" + source.OwnDir + "/go"
	var inputs []string
	dirs := []string{p.base}
	if p.work != nil {
		dirs = append(dirs, source.SortedKeys(p.members)...)
	}
	for _, dir := range dirs {
		for _, name := range moduleFiles {
			if name = path.Join(dir, name); p.tree.Has(name) {
				inputs = append(inputs, name)
			}
		}
	}
	l := plan.Layer{
		Name: "test dependencies", Build: true, Inputs: inputs, Env: goEnv(own), Passes: netPasses, Config: plan.ConfigPasses,
		Commands: []plan.Command{{Args: []string{"sh", "-c", testModules, "sh"}}},
		Failure: source.Problemf(source.CodeInstall, "the modules that the tests need could not be downloaded").
			Hint("run go mod tidy and commit go.mod and go.sum"),
	}
	if len(inputs) > 0 && !p.tree.IsDir(path.Join(p.base, "vendor")) {
		l.Commands[0].Args = append(l.Commands[0].Args, "download")
		l.Commands[0].Dir = path.Join("/src", p.base)
	}
	if builder, err = p.frontend.Files(c, builder, true); err != nil {
		return err
	}
	key, err := c.Add(l, builder)
	if err != nil {
		return err
	}
	env := map[string]string{}
	for _, kv := range goEnv(own) {
		name, value, _ := strings.Cut(kv, "=")
		env[name] = value
	}
	out.Test = &plan.Test{Command: "go test ./...", Layer: key, Env: env}
	if p.base != "." {
		out.Test.Command = "cd " + source.ShellWord(p.base) + " && " + out.Test.Command
	}
	return nil
}

// testModules downloads the modules of go.mod, when $1 says so.
const testModules = `set -e
mkdir -p "$GOCACHE"
cp -r ` + stdCache + `/. "$GOCACHE"
if [ -n "$1" ]; then go mod download; fi
`
