package java

import (
	"path"
	"slices"
	"strings"

	"github.com/berthd/berth/buildpacks/plan"
	"github.com/berthd/berth/buildpacks/source"
)

// What of Maven is taken, and where the toolchain puts it. A wrapper in the
// repository takes its own.
const (
	mavenItself  = "org.apache.maven:apache-maven:3.9.16:tar.gz:bin"
	mavenHome    = "/opt/maven"
	mavenProgram = mavenHome + "/bin/mvn"
)

// The servlet containers that a plain war is run in, each one jar. Their
// versions are parts of keys.
const (
	servletJavax   = "com.heroku:webapp-runner:9.0.89.0:jar"                // Tomcat 9: javax.servlet
	servletJakarta = "org.eclipse.jetty.ee10:jetty-ee10-runner:12.0.31:jar" // Jetty 12: jakarta.servlet
	jakartaLeast   = 17                                                     // the Java that it runs on
	mavenPlugins   = "org.apache.maven.plugins"
	starterParent  = "org.springframework.boot:spring-boot-starter-parent" // packs nothing by itself
)

// mavenPasses are the operator's variables that say where Maven and what it
// needs come from: the wrapper's own, which Maven is told of too.
var mavenPasses = []string{"MVNW_REPOURL", "MVNW_USERNAME", "MVNW_PASSWORD"}

// skipFrontend has frontend-maven-plugin, which would download a Node of its own,
// leave the frontend as it was built before.
const skipFrontend = " -Dskip.installnodenpm -Dskip.installnodepnpm -Dskip.installyarn -Dskip.installcorepack -Dskip.installbun" +
	" -Dskip.npm -Dskip.npx -Dskip.pnpm -Dskip.yarn -Dskip.corepack -Dskip.bun"

// module is a pom that leaves something to be started.
type module struct {
	pom     *pom
	kind    kind
	rank    int // the lower, the likelier
	jakarta bool
}

func (m module) target() string { return path.Join(path.Dir(m.pom.file), "target") }

// maven reads the tree as Maven's.
func (p *project) maven(infer bool) error {
	all, err := p.modules()
	if err != nil {
		return err
	}
	for _, m := range all {
		if l := m.level(); l != nil && (p.asks == nil || l.major > p.asks.major) {
			p.asks = l
		}
	}
	program := mavenProgram
	p.tool = mavenTool()
	const properties = ".mvn/wrapper/maven-wrapper.properties"
	if p.wrapper("mvnw", properties) {
		a, err := p.distribution("maven", p.mavens, properties)
		if err != nil {
			return err
		}
		if a != nil {
			// In the place of the one that Debian's would fetch.
			p.tool.packages, p.tool.commands, p.tool.mirrored = nil, nil, unpackDistribution("Maven", mavenHome, *a)
		} else {
			program = "sh ./mvnw"
		}
	}
	p.app.file = pomFile
	found := runnable(all)
	if len(found) > 0 {
		p.app = app{kind: found[0].kind, file: found[0].pom.file}
	}
	what := []string{"nothing"}
	if infer {
		if what, err = p.starts(all, found); err != nil {
			return err
		}
	}
	p.tool.args = slices.Concat([]string{program}, what)
	p.tool.test = []string{program, "test"}
	return nil
}

// mavenTool returns Maven without what it is to do. Debian's fetches the one
// that builds.
func mavenTool() *tool {
	t := &tool{name: "Maven", script: mavenScript, packages: []string{"maven"}, cache: "maven", passes: mavenPasses}
	fetch := t.run([]string{"/usr/bin/mvn", "itself:" + mavenItself, mavenHome, javaHome})
	fetch.Dir = "/"
	t.commands = []plan.Command{fetch}
	return t
}

// modules returns the poms of the build: the root's, those it names, and so on.
func (p *project) modules() ([]*pom, error) {
	reader := &poms{tree: p.tree, read: map[string]*pom{}}
	var all []*pom
	next := []string{pomFile}
	for len(next) > 0 {
		file := next[0]
		next = next[1:]
		m, err := reader.open(file, 0)
		if source.Missing(err) {
			p.tree.Note("%s is named as a module and does not exist", source.Printable(file))
			continue
		}
		if err != nil {
			return nil, err
		}
		if slices.Contains(all, m) {
			continue
		}
		all = append(all, m)
		for _, e := range m.root.all("modules", "module") {
			name := m.expand(e.text)
			if !strings.HasSuffix(name, ".xml") {
				name = path.Join(name, pomFile)
			}
			if below := within(path.Dir(file), name); below != "" {
				next = append(next, below)
			}
		}
		if len(next) > maxPoms {
			return nil, source.Problemf(source.CodeProject, "%s names more than %d modules", source.Printable(file), maxPoms)
		}
	}
	return all, nil
}

// runnable returns the modules that leave something to be started, the likeliest
// first.
func runnable(all []*pom) (found []module) {
	for _, m := range all {
		if r, ok := m.runs(); ok {
			found = append(found, r)
		}
	}
	slices.SortStableFunc(found, func(a, b module) int { return a.rank - b.rank })
	return found
}

// runs tells what a module leaves to be started, by what its build uses.
func (m *pom) runs() (module, bool) {
	r := module{pom: m, kind: plainJar}
	packaging := m.text("packaging")
	switch {
	case m.dependsOn("org.springframework.boot"):
		r.kind = springBoot
	case m.dependsOn("io.quarkus"):
		r.kind = quarkus
	case m.dependsOn("io.micronaut"):
		r.kind = micronaut
	}
	switch {
	case packaging == "pom":
		return r, false
	case m.plugin("org.springframework.boot", "spring-boot-maven-plugin") != nil:
		r.kind = springBoot
		return r, true
	case m.plugin("io.quarkus", "quarkus-maven-plugin") != nil, m.plugin("io.quarkus.platform", "quarkus-maven-plugin") != nil,
		m.plugin("${quarkus.platform.group-id}", "quarkus-maven-plugin") != nil:
		r.kind = quarkus
		return r, true
	case m.plugin("io.micronaut.maven", "micronaut-maven-plugin") != nil, m.plugin("io.micronaut.build", "micronaut-maven-plugin") != nil:
		r.kind = micronaut
		return r, true
	case packaging == "war":
		r.kind, r.rank = war, 1
		r.jakarta = m.dependsOn("jakarta.servlet") || m.dependsOn("jakarta.platform")
		return r, true
	}
	for _, name := range []string{"maven-shade-plugin", "maven-assembly-plugin", "maven-jar-plugin"} {
		e := m.plugin(mavenPlugins, name)
		if e.find("mainClass") != "" || e.find("Main-Class") != "" {
			r.rank = 2
			return r, true
		}
	}
	return r, false
}

// starts returns what the build's script is told to look for.
func (p *project) starts(all []*pom, found []module) ([]string, error) {
	if len(found) == 0 {
		// A parent that is not here may have said it.
		for _, m := range all {
			if above := m.remoteParent(); m.text("packaging") != "pom" && above != "" && above != starterParent {
				r, _ := m.runs()
				found = append(found, r)
			}
		}
		if len(found) == 0 {
			return nil, p.noEntry(all)
		}
		p.app = app{kind: found[0].kind, file: found[0].pom.file}
	}
	first := found[0]
	if others := slices.DeleteFunc(slices.Clone(found), func(m module) bool { return m.rank != first.rank }); len(others) > 1 {
		p.tree.Note("%d modules can be started; using %s; a Procfile can name another", len(others), source.Printable(first.pom.file))
	}
	if first.kind.form == formWar {
		if first.jakarta {
			if p.asks == nil || p.asks.major < jakartaLeast {
				p.asks = &release{major: jakartaLeast, from: first.pom.file, least: true}
			}
			return []string{"war:" + servletJakarta, first.target()}, nil
		}
		return []string{"war:" + servletJavax, first.target()}, nil
	}
	what := []string{"jar"}
	for _, m := range found {
		if m.kind == first.kind {
			what = append(what, m.target())
		}
	}
	return what, nil
}

// noEntry says what was looked for, and found wanting.
func (p *project) noEntry(all []*pom) error {
	e := source.Problemf(source.CodeNoProcess, "found no process to start").
		With("looked for a Procfile, and in each pom.xml for Spring Boot's, Quarkus' or Micronaut's plugin,",
			"a war, or a mainClass of the jar, shade or assembly plugin")
	var files []string
	for _, m := range all[:min(len(all), 8)] {
		files = append(files, source.Printable(m.file))
	}
	e.With("read " + strings.Join(files, ", "))
	for _, m := range all {
		if m.dependsOn("org.springframework.boot") {
			return e.Hint("add the plugin spring-boot-maven-plugin to %s: it builds a runnable jar", m.file)
		}
	}
	return e.Hint("tell maven-jar-plugin the mainClass, or write a file named Procfile with the line:").
		Hint("web: java -cp target/classes:target/dependency/* org.example.Main")
}

// level returns the Java that the module is compiled for; nil when it does not
// say.
func (m *pom) level() *release {
	compiler := m.plugin(mavenPlugins, "maven-compiler-plugin").child("configuration")
	texts := []string{compiler.find("release")}
	names := []string{"maven.compiler.release", "maven.compiler.target", "java.version", "maven.compiler.source"}
	if m.dependsOn("io.micronaut") {
		names = append(names, "release.version", "jdk.version")
	}
	for _, name := range names {
		v, _ := m.property(name)
		texts = append(texts, v)
	}
	for _, s := range append(texts, compiler.find("target"), compiler.find("source")) {
		if l := level(m.expand(s), m.file); l != nil {
			return l
		}
	}
	return nil
}
