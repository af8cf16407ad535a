// Package java plans apps of the Java virtual machine: Maven, Gradle, and jars
// that are built already.
package java

import (
	_ "embed"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/berthd/berth/buildpacks/mirror"
	"github.com/berthd/berth/buildpacks/node"
	"github.com/berthd/berth/buildpacks/plan"
	"github.com/berthd/berth/buildpacks/source"
)

var (
	// runtimePackages are what runs besides the JRE: the fonts that even a
	// headless one wants as soon as an app draws a chart or writes a PDF.
	runtimePackages = []string{"ca-certificates", "fontconfig", "fonts-dejavu-core", "libfreetype6", "openssl"}

	// buildPackages are for the wrappers, which fetch and unpack, and for us,
	// who look into what was built.
	buildPackages = []string{"curl", "unzip"}
)

// Where the toolchain puts Debian's Java under a name that has no version in
// it, with a launcher that tells the JVM of the machine's certificates and
// proxies. Tools find it by JAVA_HOME, commands by PATH.
const javaHome = "/opt/java"

const searchPath = javaHome + "/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

var (
	//go:embed install.sh
	installScript string
	//go:embed flags.sh
	flagsScript string
	//go:embed maven.sh
	mavenScript string
	//go:embed gradle.sh
	gradleScript string
	//go:embed pick.sh
	pickScript string
)

// tool is what builds a tree; a tree of nothing but a jar has none.
type tool struct {
	name     string // "Maven"
	packages []string
	commands []plan.Command // that complete the toolchain, as root
	mirrored *plan.Tool     // the program itself, out of the mirror; nil is none
	script   string         // run by sh in /app
	args     []string       // of the script: the program, and what of the build's to start
	test     []string       // of the script, when the tree is to be tested; nil when it cannot be
	cache    string         // its name, and its place below /cache
	passes   []string

	// container fetches the servlet container of a war that another tool has
	// built; nil is none.
	container *tool
}

// app is what starts, as the tree shows it.
type app struct {
	kind kind
	file string // that says so: "pom.xml"
	jar  string // that is built already; "" is one that the build leaves
}

// kind is how a JVM's app is packed and told its port.
type kind struct {
	title string // "Spring Boot"
	port  string // the system property that is the port; "" when the app itself reads PORT
	form  form
}

// form is what a build leaves to be started.
type form byte

const (
	formJar    form = iota // with a Main-Class
	formWar                // for a servlet container
	formScript             // of Gradle's installDist
)

var (
	springBoot = kind{"Spring Boot", "server.port", formJar}
	quarkus    = kind{"Quarkus", "quarkus.http.port", formJar}
	micronaut  = kind{"Micronaut", "micronaut.server.port", formJar}
	plainJar   = kind{"executable jar", "", formJar}
	war        = kind{"servlet container", "", formWar}
	installed  = kind{"application", "", formScript}
)

// project is a tree of the JVM's.
type project struct {
	tree *source.Tree
	// What the mirror has.
	jdks, gradles, mavens mirror.Archives
	sum                   func(mirror.Archive) (string, error)

	asks *release // the pin or the compiler's level; nil is none
	tool *tool    // nil when there is nothing to build
	app  app

	frontend *node.Frontend // what Node builds; nil is nothing
	runsNode bool           // the build itself does
	node     *node.Frontend // with this; nil is nothing
	// newest is the latest Java that the tool runs on; 0 is any.
	newest int
}

// Evidence names the file by which a tree says how it is built for the JVM; ""
// is none.
func Evidence(t *source.Tree) string {
	names := slices.Concat([]string{pomFile}, gradleFiles)
	if i := slices.IndexFunc(names, t.Has); i >= 0 {
		return names[i]
	}
	return ""
}

// Plan fills in the plan of a tree of the JVM's.
func Plan(out *plan.Plan, c *plan.Chain) error {
	p := &project{tree: c.Tree, sum: c.Mirror.Sum, jdks: c.Mirrored("java"), gradles: c.Mirrored("gradle"), mavens: c.Mirrored("maven")}
	var err error
	infer := len(out.Processes) == 0
	switch {
	case c.Tree.Has(pomFile):
		err = p.maven(infer)
	case slices.ContainsFunc(gradleFiles, c.Tree.Has):
		err = p.gradle(infer)
	default:
		err = p.archive(infer)
	}
	if err != nil {
		return err
	}
	v, err := p.version(c.Versions)
	if err != nil {
		return err
	}
	out.Versions["java"] = fmt.Sprint(v.major)
	out.Summary = p.summary(v)
	if infer {
		out.Infer("web", p.app.command())
	}
	out.Env["PATH"], out.Env["JAVA_HOME"] = searchPath, javaHome
	if p.runsNode {
		if p.node, err = node.FindTools(c); err != nil {
			return err
		}
	}
	switch {
	case p.node != nil:
		p.node.Announce(out, c)
		c.Tree.Note("the build runs this Node, where the plugin would download one of its own")
	case p.tool != nil:
		if p.frontend, err = node.FindFrontend(c); err != nil {
			return err
		}
		p.frontend.Announce(out, c)
		if p.frontend != nil && p.tool.name == "Maven" {
			p.tool.args[0] += skipFrontend
			p.tool.test[0] += skipFrontend
		}
	}
	return p.layers(out, c, v)
}

// summary is one line: "Java 21, Spring Boot (pom.xml)".
func (p *project) summary(v release) string {
	s := "Java " + v.String()
	if v.archive != nil {
		s += " from the mirror"
	}
	if p.app.kind.title != "" {
		return fmt.Sprintf("%s, %s (%s)", s, p.app.kind.title, source.Printable(p.app.file))
	}
	return fmt.Sprintf("%s, %s (%s)", s, p.tool.name, source.Printable(p.app.file))
}

// ownDir is where a build writes down what it left to be started.
const ownDir = source.OwnDir + "/java"

// command returns what starts the app. A jar's name has its version in it, and
// a war's is its author's: the build writes down which it is.
func (a app) command() string {
	what := `"$(cat ` + ownDir + `/start)"`
	if a.jar != "" {
		what = source.ShellWord(a.jar)
	}
	java := "java $JAVA_OPTS"
	switch {
	case a.kind.form == formScript && a.kind.port != "":
		return `JAVA_OPTS="$JAVA_OPTS -D` + a.kind.port + `=$PORT" ` + what
	case a.kind.form == formScript:
		return what // which reads JAVA_OPTS by itself
	case a.kind.form == formWar:
		return java + " -jar " + ownDir + "/container.jar --port $PORT " + what
	case a.kind.port != "":
		java += " -D" + a.kind.port + "=$PORT"
	}
	return java + " -jar " + what
}

// layers stacks the toolchain and what is built. There is no layer of
// dependencies: what the JVM's tools download is in the app's cache, and what
// of it runs is in the jar. The tree is built in place and all of it stays, as
// Procfiles that name target/app.jar or build/install/app expect.
func (p *project) layers(out *plan.Plan, c *plan.Chain, v release) error {
	chain := plan.Toolchain{
		Title:   fmt.Sprintf("Java %d", v.major),
		Runtime: append(v.install("jre-headless", runtimePackages...), home(v)),
	}
	if p.tool != nil {
		p.tool.withContainer()
		chain.Build = slices.Concat(v.install("jdk-headless", slices.Concat(buildPackages, p.tool.packages)...),
			[]plan.Command{home(v)}, p.tool.commands)
		chain.Passes = p.tool.passes
		chain.Hints = []string{"the app is not the cause: check that this machine can reach Debian's archive and Maven's repository",
			"then push the same commit again"}
	}
	if v.archive != nil {
		p.unpack(&chain, v)
	}
	if p.tool != nil && p.tool.mirrored != nil {
		chain.Tools = append(chain.Tools, *p.tool.mirrored)
	}
	if v.suite() != "" {
		chain.Hints = []string{fmt.Sprintf("Java %d comes from Debian's %s: check that this machine can reach it", v.major, v.suite()),
			fmt.Sprintf("the stack itself has %s", had(true))}
	}
	top, builder, err := c.Toolchain(chain)
	if err != nil || p.tool == nil {
		return err
	}
	if top, err = p.frontend.Lay(out, c, top, node.Ground{}); err != nil {
		return err
	}
	if builder, err = p.node.Tools(c, builder); err != nil {
		return err
	}
	l := plan.Layer{
		Name: "output", Builder: builder, Source: !out.Sealed,
		Commands: p.tool.builds(),
		Env:      p.tool.env(),
		Caches:   []plan.Cache{{Name: p.tool.cache, Target: "/cache/" + p.tool.cache}},
		Config:   plan.ConfigBakes,
		Passes:   slices.Concat(plan.NetPasses, p.tool.passes),
		Failure:  source.Problemf(source.CodeOutput, "%s could not build this app (%s)", p.tool.name, source.Printable(p.app.file)),
	}
	if p.node != nil {
		p.node.Equip(&l)
		l.Commands = slices.Insert(l.Commands, 0, withOwnNode())
	}
	if _, err := c.Add(l, top); err != nil {
		return err
	}
	out.Sealed = true
	if !c.WantsTest() || p.tool.test == nil {
		return nil
	}
	// The tests need the compiler, the whole tree and the libraries, which are
	// copied out of the cache: a test has none.
	if builder, err = p.frontend.Files(c, builder, true); err != nil {
		return err
	}
	l.Name, l.Build, l.Source = "test dependencies", true, true
	l.Commands = []plan.Command{p.tool.run(p.tool.test)}
	l.Failure = source.Problemf(source.CodeOutput, "%s could not compile the tests (%s)", p.tool.name, source.Printable(p.app.file))
	key, err := c.Add(l, builder)
	out.Test = &plan.Test{Command: testCommand, Layer: key, Whole: true, Env: map[string]string{
		"HOME": "/app/" + ownDir,
		"PATH": mavenHome + "/bin:" + searchPath, // for an app.json that says: mvn verify
	}}
	return err
}

// unpack has a toolchain take its Java from the mirror: the whole of it to
// build, and all but the parts that only link images to run.
func (p *project) unpack(chain *plan.Toolchain, v release) {
	place := fmt.Sprintf("/usr/lib/jvm/java-%d-openjdk-mirror", v.major)
	java := plan.FromMirror("Java "+v.String(), *v.archive, plan.Unpack(place),
		plan.Command{Args: []string{"rm", "-rf", place + "/jmods", place + "/lib/src.zip", place + "/man", place + "/demo", place + "/sample"}}, home(v))
	java.Keep = []string{place[1:], javaHome[1:]}
	chain.Runtime, chain.Tools = plan.AptInstall(runtimePackages...), []plan.Tool{java}
	if p.tool == nil {
		return
	}
	chain.Build = plan.AptInstall(slices.Concat(buildPackages, p.tool.packages)...)
	if len(p.tool.commands) > 0 {
		chain.Tools = append(chain.Tools, plan.Tool{Name: p.tool.name, Commands: p.tool.commands,
			Failure: source.Problemf(source.CodeToolchain, "%s could not be installed", p.tool.name).
				Hint("the app is not the cause: check that this machine can reach Maven's repository")})
	}
}

// testCommand is what the layer of the tests has left to be run.
const testCommand = "sh " + ownDir + "/test"

// run returns the command that runs the tool's script.
func (t *tool) run(args []string) plan.Command {
	return plan.Run(slices.Concat([]string{"sh", "-c", t.script + pickScript, "sh"}, args)...)
}

// withContainer has the toolchain hold what fetches a servlet container.
func (t *tool) withContainer() {
	if c := t.container; c != nil {
		t.packages, t.commands, t.passes = slices.Concat(t.packages, c.packages), slices.Concat(t.commands, c.commands), slices.Concat(t.passes, c.passes)
	}
}

// builds returns the commands that build the app.
func (t *tool) builds() []plan.Command {
	commands := []plan.Command{t.run(t.args)}
	if t.container != nil {
		commands = append(commands, t.container.run(t.container.args))
	}
	return commands
}

// env is a build's. The home is the cache: that is where every tool of the JVM
// keeps what it has downloaded, its wrapper included.
func (t *tool) env() []string {
	return []string{"HOME=/cache/" + t.cache, "GRADLE_USER_HOME=/cache/" + t.cache, "JAVA_HOME=" + javaHome, "PATH=" + searchPath}
}

// home is the command that makes javaHome.
func home(v release) plan.Command {
	return plan.Command{Args: []string{"sh", "-c", installScript, "sh", fmt.Sprint(v.major), javaHome, flagsScript}}
}

// wrapper tells whether the tree has a build tool's wrapper that can be used:
// the script and the files that it needs.
func (p *project) wrapper(script string, needs ...string) bool {
	text, err := p.tree.Text(script, source.MaxManifest)
	switch {
	case source.Missing(err):
		return false
	case err != nil, strings.Contains(text, "\r\n"):
		p.tree.Note("%s has the line ends of Windows and is ignored", script)
		p.tree.Note(`"%s text eol=lf" in .gitattributes keeps it usable`, script)
		return false
	}
	for _, file := range needs {
		if !p.tree.Has(file) {
			p.tree.Note("%s is ignored: %s is missing (is it ignored by git?)", script, file)
			return false
		}
	}
	return true
}

// within returns a path of the tree that is named relative to a directory of
// it; "" when it leads out.
func within(dir, name string) string {
	p := path.Join(dir, strings.ReplaceAll(name, `\`, "/"))
	if strings.HasPrefix(p, "../") || p == ".." || path.IsAbs(p) {
		return ""
	}
	return p
}
