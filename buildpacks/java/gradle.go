package java

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/berthd/berth/buildpacks/plan"
	"github.com/berthd/berth/buildpacks/source"
)

// gradleFiles are the files that make a tree Gradle's.
var gradleFiles = []string{"build.gradle", "build.gradle.kts", "settings.gradle", "settings.gradle.kts"}

// debianGradle is the Gradle that Debian has: of 2017, kept able to run on the
// Java of today. It knows no Kotlin in build files.
const (
	debianGradle       = "4.4.1"
	debianGradleRunsOn = 21
)

// maxProjects bounds the projects of a build whose files are read.
const maxProjects = 200

// script is what a build file says, as far as it says it plainly.
type script struct {
	file    string
	plugins []string // their ids
	tasks   []string // that it makes
	groups  []string // of dependencies, in the order in which they stand
	main    bool     // it names a main class
	java    *release
}

// gradle reads the tree as Gradle's.
func (p *project) gradle(infer bool) error {
	scripts, err := p.scripts()
	if err != nil {
		return err
	}
	for _, s := range scripts {
		if s.java != nil && (p.asks == nil || s.java.major > p.asks.major) {
			p.asks = s.java
		}
	}
	i := slices.IndexFunc(gradleFiles, p.tree.Has)
	p.app.file = gradleFiles[i]
	p.tool = &tool{name: "Gradle", script: gradleScript, cache: "gradle"}
	const properties, launcher = "gradle/wrapper/gradle-wrapper.properties", "gradle/wrapper/gradle-wrapper.jar"
	program := "sh ./gradlew"
	switch {
	case p.wrapper("gradlew", properties, launcher):
		content, err := p.tree.Text(properties, source.MaxManifest)
		if err != nil {
			return err
		}
		p.newest = gradleRunsOn(content)
		a, err := p.distribution("gradle", p.gradles, properties)
		if err != nil {
			return err
		}
		if a != nil {
			program, p.tool.mirrored = gradleProgram, unpackDistribution("Gradle", gradleHome, *a)
		}
	case slices.ContainsFunc(gradleFiles, func(name string) bool { return path.Ext(name) == ".kts" && p.tree.Has(name) }):
		if len(p.gradles) > 0 {
			program, p.newest = gradleProgram, gradleRunsOn(p.gradles[0].Name)
			p.tool.mirrored = unpackDistribution("Gradle", gradleHome, p.gradles[0])
			p.tree.Note("no Gradle wrapper: built with the mirror's Gradle %s; commit gradlew and gradle/wrapper", p.gradles[0].Version)
			break
		}
		return source.Problemf(source.CodeProject, "%s needs a specific Gradle, but there is no wrapper", p.app.file).
			With("looked for gradlew, gradle/wrapper/gradle-wrapper.properties and gradle-wrapper.jar").
			Hint("run gradle wrapper and commit the three files")
	default:
		program, p.newest = "/usr/bin/gradle", debianGradleRunsOn
		p.tool.packages = []string{"gradle"}
		p.tree.Note("no Gradle wrapper: built with Debian's Gradle %s, which is old; commit gradlew and gradle/wrapper", debianGradle)
	}
	for _, s := range scripts {
		p.runsNode = p.runsNode || slices.ContainsFunc(s.plugins, func(id string) bool {
			return slices.Contains(nodePlugins, id) || strings.HasPrefix(id, "org.siouan.frontend-")
		})
	}
	task, what := "assemble", []string{"nothing"}
	start, ok := startable(scripts)
	if ok {
		p.app = start.app
		task = start.task
		if !infer {
			task = start.also // whatever the Procfile names
		}
	}
	for _, s := range scripts {
		if slices.Contains(s.tasks, "stage") {
			task = "stage" // by Heroku's custom
		}
	}
	if infer {
		if !ok {
			return p.noGradleEntry(scripts)
		}
		what = append([]string{"jar"}, start.dirs...)
		switch start.app.kind.form {
		case formScript:
			what[0] = "script"
		case formWar:
			what[0] = "war"
			p.tool.container = p.containerOf(start)
		}
	}
	p.tool.args = slices.Concat([]string{program, task}, what)
	p.tool.test = []string{program, "", "test"}
	return nil
}

// nodePlugins run Node within a build, in a version that they download.
var nodePlugins = []string{"com.github.node-gradle.node", "com.moowork.node"}

// ownNode has such plugins run the Node that is in PATH: Gradle reads it with
// every build, after the project's own settings.
const ownNode = `allprojects {
	afterEvaluate { project ->
		def node = project.extensions.findByName("node")
		if (node != null && node.hasProperty("download")) {
			if (node.download instanceof Boolean) { node.download = false } else { node.download.set(false) }
		}
		def frontend = project.extensions.findByName("frontend")
		if (frontend != null && frontend.hasProperty("nodeDistributionProvided")) { frontend.nodeDistributionProvided.set(true) }
	}
}
`

// withOwnNode is the command that writes it where Gradle looks.
func withOwnNode() plan.Command {
	return plan.Run("sh", "-ec", `mkdir -p "$GRADLE_USER_HOME/init.d" && printf %s "$1" >"$GRADLE_USER_HOME/init.d/berth-node.gradle"`, "sh", ownNode)
}

// startableScript is the project of a build that leaves something to be
// started.
type startableScript struct {
	app  app
	task string
	also string   // the task that leaves everything else that can be started too
	dirs []string // where the task leaves it

	jakarta bool // a war is for the newer servlets
}

// containerOf returns the servlet container of a war, which Maven fetches.
func (p *project) containerOf(s startableScript) *tool {
	artifact := servletJavax
	if s.jakarta {
		artifact = servletJakarta
		if p.asks == nil || p.asks.major < jakartaLeast {
			p.asks = &release{major: jakartaLeast, from: s.app.file, least: true}
		}
	}
	t := mavenTool()
	t.args = []string{mavenProgram, "container:" + artifact}
	return t
}

// startable returns what can be started: what a framework packs comes before
// what the plugins of Gradle do.
func startable(scripts []script) (startableScript, bool) {
	const everything = "assemble installDist"
	for _, way := range []struct {
		plugin, task, also, dir string
		kind                    kind
	}{
		{"org.springframework.boot", "assemble", "assemble", "libs", springBoot},
		{"io.quarkus", "assemble", "assemble", ".", quarkus},
		{"com.gradleup.shadow", "shadowJar", "assemble shadowJar", "libs", plainJar},
		{"com.github.johnrengelman.shadow", "shadowJar", "assemble shadowJar", "libs", plainJar},
		{"io.micronaut.application", "installDist", everything, "install", installed},
		{"io.ktor.plugin", "installDist", everything, "install", installed},
		{"application", "installDist", everything, "install", installed},
		{"war", "war", "assemble", "libs", war},
		{"", "assemble", "assemble", "libs", plainJar}, // a Main-Class in the manifest
	} {
		for _, s := range scripts {
			if way.plugin != "" && !slices.Contains(s.plugins, way.plugin) || way.plugin == "" && !s.main {
				continue
			}
			return startableScript{
				jakarta: slices.Contains(s.groups, "jakarta.servlet") || slices.Contains(s.groups, "jakarta.platform"),
				app:     app{kind: way.kind.of(s), file: s.file}, task: way.task, also: way.also,
				dirs: []string{path.Join(path.Dir(s.file), "build", way.dir)},
			}, true
		}
	}
	return startableScript{}, false
}

// of returns the kind with the name and the port of the framework that a build
// file uses besides.
func (k kind) of(s script) kind {
	for _, f := range []struct {
		name string // of the plugin, or of the group of its dependencies
		kind kind
	}{
		{"org.springframework.boot", springBoot}, {"io.quarkus", quarkus},
		{"io.micronaut.application", micronaut}, {"io.micronaut", micronaut},
	} {
		if slices.Contains(s.plugins, f.name) || slices.Contains(s.groups, f.name) {
			k.title, k.port = f.kind.title, f.kind.port
			return k
		}
	}
	return k
}

// noGradleEntry says what was looked for, and found wanting.
func (p *project) noGradleEntry(scripts []script) error {
	e := source.Problemf(source.CodeNoProcess, "found no process to start").
		With("looked for a Procfile, and for the plugins of Spring Boot, Quarkus and Micronaut, shadow, application or war")
	var files []string
	for _, s := range scripts[:min(len(scripts), 8)] {
		files = append(files, source.Printable(s.file))
	}
	return e.With("read " + strings.Join(files, ", ")).
		Hint("apply the plugin application and name the mainClass, or write a file named Procfile with the line:").
		Hint("web: java -jar build/libs/app.jar")
}

// scripts reads the build files: the root's and those of the projects that the
// settings include.
func (p *project) scripts() ([]script, error) {
	catalogue := p.catalogue()
	dirs := []string{"."}
	for _, name := range gradleFiles[2:] {
		tokens, err := p.tokens(name)
		if err != nil {
			return nil, err
		}
		for _, included := range includes(tokens) {
			if dir := within(".", strings.ReplaceAll(strings.Trim(included, ":"), ":", "/")); dir != "" && len(dirs) < maxProjects {
				dirs = append(dirs, dir)
			}
		}
	}
	var all []script
	for _, dir := range dirs {
		for _, name := range gradleFiles[:2] {
			file := path.Join(dir, name)
			tokens, err := p.tokens(file)
			if err != nil {
				return nil, err
			}
			if tokens != nil {
				all = append(all, readScript(file, tokens, catalogue))
			}
		}
	}
	return all, nil
}

func (p *project) tokens(file string) ([]token, error) {
	text, err := p.tree.Text(file, source.MaxManifest)
	if source.Missing(err) {
		return nil, nil
	}
	return tokenize(text), err
}

// catalogue reads the ids of the plugins that a version catalogue names, by
// their accessors: "spring.boot" → "org.springframework.boot".
func (p *project) catalogue() map[string]string {
	var file struct {
		Plugins map[string]any `toml:"plugins"`
	}
	if err := p.tree.TOML(source.CodeProject, "gradle/libs.versions.toml", source.MaxManifest, &file); err != nil {
		if !source.Missing(err) {
			p.tree.Note("gradle/libs.versions.toml is ignored: %v", err)
		}
		return nil
	}
	ids := map[string]string{}
	for name, v := range file.Plugins {
		id := ""
		switch v := v.(type) {
		case string:
			id, _, _ = strings.Cut(v, ":")
		case map[string]any:
			id, _ = v["id"].(string)
		}
		ids[strings.NewReplacer("-", ".", "_", ".").Replace(name)] = id
	}
	return ids
}

// includes returns the projects that a settings file includes.
func includes(tokens []token) (names []string) {
	for i, t := range tokens {
		if t.kind != word || t.text != "include" {
			continue
		}
		for _, next := range tokens[i+1:] {
			if next.kind == text {
				names = append(names, next.text)
			} else if next.text != "," && next.text != "(" {
				break
			}
		}
	}
	return names
}

// readScript finds in a build file what decides how its app starts. It reads
// words and strings where they stand, and runs nothing: what a build file works
// out for itself stays unknown.
func readScript(file string, tokens []token, catalogue map[string]string) script {
	s := script{file: file}
	r := reading{tokens}
	plugins := 0 // brackets open within the block of plugins
	for i, t := range tokens {
		switch {
		case plugins == 0 && t.text == "plugins" && r.at(i+1).text == "{":
			plugins = 1
			continue
		case plugins > 0 && t.text == "{" && r.at(i-1).text != "plugins":
			plugins++
		case plugins > 0 && t.text == "}":
			plugins--
		}
		if t.kind == text {
			// "group:name:version", as dependencies are written.
			if group, _, ok := strings.Cut(t.text, ":"); ok && !slices.Contains(s.groups, group) {
				s.groups = append(s.groups, group)
			}
			s.main = s.main || t.text == "Main-Class"
			continue
		}
		name := strings.TrimSuffix(t.text, ".set")
		switch v := r.value(i + 1); name[strings.LastIndexByte(name, '.')+1:] {
		case "id", "plugin":
			if v.kind == text && !r.unapplied(i) {
				s.plugins = append(s.plugins, v.text)
			}
		case "alias":
			if name, ok := strings.CutPrefix(v.text, "libs.plugins."); ok && !r.unapplied(i) {
				s.plugins = append(s.plugins, catalogue[name])
			}
		case "application":
			if plugins > 0 || r.at(i+1).text == "{" {
				s.plugins = append(s.plugins, "application")
			}
		case "war":
			if plugins > 0 {
				s.plugins = append(s.plugins, "war")
			}
		case "task", "register", "create":
			if v.kind != other {
				s.tasks = append(s.tasks, v.text)
			}
		case "mainClass", "mainClassName":
			s.main = true
		case "of", "jvmToolchain":
			if strings.HasSuffix(name, "JavaLanguageVersion.of") || strings.HasSuffix(name, "jvmToolchain") {
				s.pin(v.text)
			}
		case "sourceCompatibility", "targetCompatibility":
			s.compiles(v.text)
		case "release":
			if strings.HasSuffix(name, "options.release") {
				s.compiles(v.text)
			}
		}
	}
	return s
}

// reading looks around in the tokens of a build file.
type reading struct{ tokens []token }

func (r reading) at(i int) token {
	if i >= 0 && i < len(r.tokens) {
		return r.tokens[i]
	}
	return token{}
}

// value returns the first token behind the signs that give or pass a value.
func (r reading) value(i int) token {
	for end := i + 3; i < end && (r.at(i).text == "(" || r.at(i).text == "=" || r.at(i).text == ":"); {
		i++
	}
	return r.at(i)
}

// unapplied tells whether the plugin that is named at i is for other projects
// alone: "apply false".
func (r reading) unapplied(i int) bool {
	for n := i + 1; n < i+10; n++ {
		switch t := r.at(n); t.text {
		case "id", "alias", "}", "plugin":
			return false
		case "apply":
			return r.value(n+1).text == "false"
		}
	}
	return false
}

// compiles notes the Java that the sources are compiled for.
func (s *script) compiles(v string) {
	v = strings.TrimPrefix(strings.TrimPrefix(v, "JavaVersion."), "VERSION_")
	if l := level(strings.ReplaceAll(v, "_", "."), s.file); l != nil && s.java == nil {
		s.java = l
	}
}

// pin notes the Java of a toolchain: no other is taken by Gradle.
func (s *script) pin(major string) {
	if l := level(major, s.file); l != nil {
		l.least = false
		s.java = l
	}
}

// gradleName is the version in the name or the address of a Gradle.
var gradleName = source.NewPattern(`gradle-(\d{1,2})\.(\d{1,2})(?:\.\d+)?-(?:bin|all)\.zip`)

// gradleRunsOn returns the latest Java that the Gradle of that name, or of the
// wrapper's properties, runs on, by the compatibility matrix of Gradle's
// documentation; 0 is unknown.
func gradleRunsOn(content string) int {
	m := gradleName.FindStringSubmatch(content)
	if m == nil {
		return 0
	}
	n, _ := strconv.Atoi(m[1])
	minor, _ := strconv.Atoi(m[2])
	n = n*100 + minor
	for _, since := range []struct{ gradle, java int }{
		{904, 26}, {901, 25}, {814, 24}, {810, 23}, {808, 22}, {805, 21}, {803, 20}, {706, 19}, {705, 18}, {703, 17},
		{700, 16}, {607, 15}, {603, 14}, {600, 13}, {504, 12}, {500, 11},
	} {
		if n >= since.gradle {
			return since.java
		}
	}
	return 8
}
