package java

import (
	"archive/zip"
	"bytes"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/berthd/berth/buildpacks/mirror"
	"github.com/berthd/berth/buildpacks/packtest"
	"github.com/berthd/berth/buildpacks/plan"
	"github.com/berthd/berth/buildpacks/source"
)

func detect(t *testing.T, fsys fs.FS) *plan.Plan {
	t.Helper()
	return packtest.Plan(t, Plan, fsys)
}

func problemOf(t *testing.T, fsys fs.FS) (*source.Problem, string) {
	t.Helper()
	return packtest.Problem(t, Plan, fsys)
}

func repo(files ...string) fstest.MapFS { return packtest.Repo(files...) }

func web(p *plan.Plan) string { return packtest.Command(p, "web") }

// looksFor returns what the build's script is told: program, and what to start.
func looksFor(t *testing.T, p *plan.Plan) string {
	t.Helper()
	var all []string
	for _, c := range packtest.Layer(t, p, "output").Commands {
		all = append(all, strings.Join(c.Args[4:], " "))
	}
	return strings.Join(all, ", ")
}

// jar makes an archive of names and contents.
func jar(t testing.TB, files ...string) string {
	t.Helper()
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for i := 0; i < len(files); i += 2 {
		w, err := z.Create(files[i])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(files[i+1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

const (
	startJar       = `java $JAVA_OPTS -jar "$(cat .berth/java/start)"`
	startWar       = `java $JAVA_OPTS -jar .berth/java/container.jar --port $PORT "$(cat .berth/java/start)"`
	startSpring    = `java $JAVA_OPTS -Dserver.port=$PORT -jar "$(cat .berth/java/start)"`
	startQuarkus   = `java $JAVA_OPTS -Dquarkus.http.port=$PORT -jar "$(cat .berth/java/start)"`
	startMicronaut = `java $JAVA_OPTS -Dmicronaut.server.port=$PORT -jar "$(cat .berth/java/start)"`
)

func TestPlan_Apps(t *testing.T) {
	for _, c := range []struct {
		app, summary, web, builds string
		layers                    []string
	}{
		{"java-jar", "Java 21, executable jar (hello.jar)", "java $JAVA_OPTS -jar hello.jar", "", []string{"Java 21 toolchain"}},
		{"java-maven", "Java 21, executable jar (pom.xml)", startJar, "/opt/maven/bin/mvn jar target",
			[]string{"Java 21 toolchain", "Java 21 build tools", "output"}},
		{"java17", "Java 17, executable jar (pom.xml)", startJar, "/opt/maven/bin/mvn jar target",
			[]string{"Java 17 toolchain", "Java 17 build tools", "output"}},
		{"java-multi", "Java 17, executable jar (web/pom.xml)", startJar, "/opt/maven/bin/mvn jar web/target",
			[]string{"Java 17 toolchain", "Java 17 build tools", "output"}},
		{"java-mvnw-spring", "Java 21, Spring Boot (pom.xml)", startSpring, "sh ./mvnw jar target",
			[]string{"Java 21 toolchain", "Java 21 build tools", "output"}},
		{"java-quarkus", "Java 21, Quarkus (pom.xml)", startQuarkus, "/opt/maven/bin/mvn jar target",
			[]string{"Java 21 toolchain", "Java 21 build tools", "output"}},
		{"java-micronaut", "Java 21, Micronaut (pom.xml)", startMicronaut, "/opt/maven/bin/mvn jar target",
			[]string{"Java 21 toolchain", "Java 21 build tools", "output"}},
		{"java-gradle", "Java 21, application (build.gradle)", `"$(cat .berth/java/start)"`, "/usr/bin/gradle installDist script build/install",
			[]string{"Java 21 toolchain", "Java 21 build tools", "output"}},
		{"java-gradle-spring", "Java 21, Spring Boot (build.gradle)", startSpring, "/usr/bin/gradle assemble jar build/libs",
			[]string{"Java 21 toolchain", "Java 21 build tools", "output"}},
	} {
		t.Run(c.app, func(t *testing.T) {
			made := detect(t, packtest.App(t, c.app))
			if made.Summary != c.summary {
				t.Errorf("summary: got %q, want %q", made.Summary, c.summary)
			}
			if got := web(made); got != c.web {
				t.Errorf("web: got %q, want %q", got, c.web)
			}
			if got := packtest.Names(made); !slices.Equal(got, c.layers) {
				t.Errorf("layers: got %q, want %q", got, c.layers)
			}
			if c.builds == "" {
				if made.Sealed {
					t.Error("sealed, and nothing holds the source")
				}
				return
			}
			if !made.Sealed {
				t.Error("not sealed: the source would be stacked on what was built of it")
			}
			if got := looksFor(t, made); got != c.builds {
				t.Errorf("builds: got %q, want %q", got, c.builds)
			}
		})
	}
}

// pomOf makes a pom of the elements in it.
func pomOf(inside string) string {
	return `<project xmlns="http://maven.apache.org/POM/4.0.0"><groupId>a</groupId><artifactId>b</artifactId><version>1</version>` + inside + `</project>`
}

func plugin(group, artifact string) string {
	return "<build><plugins><plugin><groupId>" + group + "</groupId><artifactId>" + artifact + "</artifactId></plugin></plugins></build>"
}

func dependency(group, artifact string) string {
	return "<dependencies><dependency><groupId>" + group + "</groupId><artifactId>" + artifact + "</artifactId></dependency></dependencies>"
}

func TestPlan_MavenFrameworks(t *testing.T) {
	main := "<configuration><transformers><transformer><mainClass>a.B</mainClass></transformer></transformers></configuration>"
	shade := "<build><plugins><plugin><artifactId>maven-shade-plugin</artifactId><executions><execution>" + main + "</execution></executions></plugin></plugins></build>"
	for name, c := range map[string]struct{ pom, summary, web, builds string }{
		"spring": {pomOf(plugin("org.springframework.boot", "spring-boot-maven-plugin")), "Java 21, Spring Boot (pom.xml)", startSpring, "/opt/maven/bin/mvn jar target"},
		"spring as a war": {pomOf("<packaging>war</packaging>" + plugin("org.springframework.boot", "spring-boot-maven-plugin")),
			"Java 21, Spring Boot (pom.xml)", startSpring, "/opt/maven/bin/mvn jar target"},
		"spring, shaded": {pomOf(dependency("org.springframework.boot", "spring-boot-starter-web") + shade), "Java 21, Spring Boot (pom.xml)", startSpring, "/opt/maven/bin/mvn jar target"},
		"quarkus": {pomOf("<properties><q.group>io.quarkus.platform</q.group></properties>" + plugin("${q.group}", "quarkus-maven-plugin")),
			"Java 21, Quarkus (pom.xml)", startQuarkus, "/opt/maven/bin/mvn jar target"},
		"micronaut": {pomOf("<packaging>${packaging}</packaging><properties><packaging>jar</packaging><release.version>25</release.version></properties>" +
			dependency("io.micronaut", "micronaut-http-server-netty") + plugin("io.micronaut.maven", "micronaut-maven-plugin")),
			"Java 25, Micronaut (pom.xml)", startMicronaut, "/opt/maven/bin/mvn jar target"},
		"shaded": {pomOf(shade), "Java 21, executable jar (pom.xml)", startJar, "/opt/maven/bin/mvn jar target"},
		"war": {pomOf("<packaging>war</packaging>"), "Java 21, servlet container (pom.xml)",
			`java $JAVA_OPTS -jar .berth/java/container.jar --port $PORT "$(cat .berth/java/start)"`, "/opt/maven/bin/mvn war:" + servletJavax + " target"},
		"newer war": {pomOf("<packaging>war</packaging>" + dependency("jakarta.servlet", "jakarta.servlet-api")), "Java 17, servlet container (pom.xml)",
			`java $JAVA_OPTS -jar .berth/java/container.jar --port $PORT "$(cat .berth/java/start)"`, "/opt/maven/bin/mvn war:" + servletJakarta + " target"},
		"a parent elsewhere may say it": {pomOf("<parent><groupId>com.acme</groupId><artifactId>acme-parent</artifactId></parent>"),
			"Java 21, executable jar (pom.xml)", startJar, "/opt/maven/bin/mvn jar target"},
	} {
		t.Run(name, func(t *testing.T) {
			made := detect(t, repo("pom.xml", c.pom))
			if made.Summary != c.summary {
				t.Errorf("summary: got %q, want %q", made.Summary, c.summary)
			}
			if got := web(made); got != c.web {
				t.Errorf("web: got %q, want %q", got, c.web)
			}
			if got := looksFor(t, made); got != c.builds {
				t.Errorf("builds: got %q, want %q", got, c.builds)
			}
		})
	}
}

func TestPlan_WhatIsNotUsedDoesNotCount(t *testing.T) {
	for name, pom := range map[string]string{
		"a comment":          pomOf("<!-- " + plugin("org.springframework.boot", "spring-boot-maven-plugin") + " -->"),
		"managed":            pomOf("<build><pluginManagement><plugins><plugin><groupId>org.springframework.boot</groupId><artifactId>spring-boot-maven-plugin</artifactId></plugin></plugins></pluginManagement></build>"),
		"another group":      pomOf(plugin("com.acme", "spring-boot-maven-plugin")),
		"jar without a main": pomOf(plugin("org.apache.maven.plugins", "maven-jar-plugin")),
		"aggregator alone":   pomOf("<packaging>pom</packaging>" + plugin("org.springframework.boot", "spring-boot-maven-plugin")),
	} {
		t.Run(name, func(t *testing.T) {
			p, text := problemOf(t, repo("pom.xml", pom))
			if p.Code != source.CodeNoProcess || !strings.Contains(text, "Procfile") {
				t.Errorf("got %s: %s", p.Code, text)
			}
			made := detect(t, repo("pom.xml", pom, "Procfile", "web: java -cp target/classes a.B"))
			if got := looksFor(t, made); got != "/opt/maven/bin/mvn nothing" {
				t.Errorf("with a Procfile it builds %q", got)
			}
		})
	}
}

func TestPlan_Modules(t *testing.T) {
	parent := func(inside string) string {
		return "<project><parent><groupId>a</groupId><artifactId>b</artifactId><version>1</version></parent>" + inside + "</project>"
	}
	spring := plugin("org.springframework.boot", "spring-boot-maven-plugin")
	made := detect(t, repo(
		"pom.xml", pomOf("<packaging>pom</packaging><properties><level>25</level></properties><modules><module>lib</module><module>apps</module><module>gone</module><module>../out</module></modules>"),
		"lib/pom.xml", parent("<artifactId>lib</artifactId>"),
		"apps/pom.xml", parent("<artifactId>apps</artifactId><packaging>pom</packaging><modules><module>shop</module><module>admin/pom.xml</module></modules>"),
		"apps/shop/pom.xml", "<project><parent><artifactId>apps</artifactId></parent><artifactId>shop</artifactId><properties><java.version>${level}</java.version></properties>"+spring+"</project>",
		"apps/admin/pom.xml", "<project><parent><artifactId>apps</artifactId></parent><artifactId>admin</artifactId>"+spring+"</project>",
	))
	if got, want := made.Summary, "Java 25, Spring Boot (apps/shop/pom.xml)"; got != want {
		t.Errorf("summary: got %q, want %q", got, want)
	}
	if got, want := looksFor(t, made), "/opt/maven/bin/mvn jar apps/shop/target apps/admin/target"; got != want {
		t.Errorf("builds: got %q, want %q", got, want)
	}
	if text := strings.Join(made.Notes, "\n"); !strings.Contains(text, "2 modules can be started; using apps/shop/pom.xml") || !strings.Contains(text, "gone/pom.xml is named") {
		t.Errorf("notes: got %q", text)
	}
}

func TestPlan_Versions(t *testing.T) {
	pom := pomOf(plugin("org.springframework.boot", "spring-boot-maven-plugin"))
	levelled := func(property, level string) string {
		return pomOf("<properties><" + property + ">" + level + "</" + property + "></properties>" + plugin("org.springframework.boot", "spring-boot-maven-plugin"))
	}
	for name, c := range map[string]struct {
		tree fstest.MapFS
		want string // the name of the first layer
		note string
	}{
		"nothing":                    {repo("pom.xml", pom), "Java 21", ""},
		"heroku":                     {repo("pom.xml", pom, "system.properties", "# x\njava.runtime.version=25\n"), "Java 25", ""},
		"heroku's old":               {repo("pom.xml", pom, "system.properties", "java.runtime.version = 1.8"), "Java 8", ""},
		"heroku's vendor":            {repo("pom.xml", pom, "system.properties", "java.runtime.version: openjdk-11"), "Java 11", "Debian's OpenJDK 11"},
		"a patch":                    {repo("pom.xml", pom, "system.properties", "java.runtime.version=21.0.4"), "Java 21", "asks for Java 21.0.4; it runs on Debian's OpenJDK 21"},
		"other properties":           {repo("pom.xml", pom, "system.properties", "java.runtime.versions=8\nmaven.version=3.9"), "Java 21", ""},
		"jenv":                       {repo("pom.xml", pom, ".java-version", "17.0\n"), "Java 17", ""},
		"sdkman":                     {repo("pom.xml", pom, ".sdkmanrc", "# sdk env\njava=25.0.1-tem\nmaven=3.9.9"), "Java 25", "25.0.1-tem"},
		"asdf":                       {repo("pom.xml", pom, ".tool-versions", "nodejs 24\njava temurin-17.0.9+9\n"), "Java 17", "temurin-17.0.9+9"},
		"mise":                       {repo("pom.xml", pom, "mise.toml", "[tools]\njava = \"corretto-21\"\n"), "Java 21", "corretto-21"},
		"the first of two":           {repo("pom.xml", pom, "system.properties", "java.runtime.version=17", ".java-version", "21"), "Java 17", "the first is used"},
		"release":                    {repo("pom.xml", levelled("maven.compiler.release", "25")), "Java 25", ""},
		"spring's":                   {repo("pom.xml", levelled("java.version", "17")), "Java 17", ""},
		"old sources":                {repo("pom.xml", levelled("maven.compiler.source", "1.8")), "Java 17", "pom.xml is for Java 8; 17 is used"},
		"between":                    {repo("pom.xml", levelled("maven.compiler.target", "22")), "Java 25", "22; 25 is used"},
		"newer than what stays":      {repo("pom.xml", levelled("java.version", "26")), "Java 26", ""},
		"no version at all":          {repo("pom.xml", levelled("java.version", "${elsewhere}")), "Java 21", ""},
		"a pin below the sources":    {repo("pom.xml", levelled("java.version", "25"), "system.properties", "java.runtime.version=17"), "Java 17", "pom.xml needs 25"},
		"the compiler plugin's":      {repo("pom.xml", pomOf("<packaging>war</packaging><build><plugins><plugin><artifactId>maven-compiler-plugin</artifactId><configuration><release>25</release></configuration></plugin></plugins></build>")), "Java 25", ""},
		"gradle's toolchain":         {repo("build.gradle", "plugins { id 'application' }\njava { toolchain { languageVersion = JavaLanguageVersion.of(17) } }"), "Java 17", ""},
		"gradle's level":             {repo("build.gradle", "plugins { id 'application' }\nsourceCompatibility = JavaVersion.VERSION_1_8"), "Java 17", "for Java 8"},
		"gradle's newer":             {repo("build.gradle", "apply plugin: 'application'\nsourceCompatibility = '21'"), "Java 21", ""},
		"a jar by its manifest":      {repo("a.jar", jar(t, "META-INF/MANIFEST.MF", "Build-Jdk-Spec: 25\r\nMain-Class: a.B\r\n")), "Java 25", ""},
		"a jar of an older compiler": {repo("a.jar", jar(t, "META-INF/MANIFEST.MF", "Main-Class: a.B\r\n")), "Java 21", ""},
	} {
		t.Run(name, func(t *testing.T) {
			made := detect(t, c.tree)
			if got := made.Layers[0].Name; got != c.want+" toolchain" {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if got := "Java " + made.Versions["java"]; got != c.want {
				t.Errorf("remembers %q, want %q", got, c.want)
			}
			text := strings.Join(made.Notes, "\n")
			if !strings.Contains(text, c.note) || c.note == "" && text != "" && strings.Contains(text, "Java") {
				t.Errorf("notes: got %q, want %q", text, c.note)
			}
		})
	}
}

func TestPlan_VersionsThatCannotBeHad(t *testing.T) {
	pom := pomOf(plugin("org.springframework.boot", "spring-boot-maven-plugin"))
	for name, c := range map[string]struct {
		tree fstest.MapFS
		code string
		says string
	}{
		"none":             {repo("pom.xml", pom, "system.properties", "\njava.runtime.version=19"), source.CodeNoVersion, "system.properties, line 2: Java 19 is not available"},
		"what there is":    {repo("pom.xml", pom, ".java-version", "6"), source.CodeNoVersion, "8, 11, 17, 21, 25, 26 and 27"},
		"no version":       {repo("pom.xml", pom, ".java-version", "latest greatest"), source.CodeVersion, ".java-version, line 1"},
		"sources too new":  {repo("pom.xml", pomOf("<properties><java.version>40</java.version></properties>"+plugin("org.springframework.boot", "spring-boot-maven-plugin"))), source.CodeNoVersion, "pom.xml: Java 40"},
		"gradle toolchain": {repo("build.gradle", "plugins { id 'application' }\njava.toolchain.languageVersion = JavaLanguageVersion.of(20)"), source.CodeNoVersion, "build.gradle: Java 20"},
	} {
		t.Run(name, func(t *testing.T) {
			p, text := problemOf(t, c.tree)
			if p.Code != c.code || !strings.Contains(text, c.says) {
				t.Errorf("got %s: %s", p.Code, text)
			}
		})
	}
}

func TestPlan_WhatWasChosenEarlierIsKept(t *testing.T) {
	pom := pomOf(plugin("org.springframework.boot", "spring-boot-maven-plugin"))
	for name, c := range map[string]struct{ earlier, level, want string }{
		"no wish":            {"25", "", "25"},
		"a wish it fits":     {"25", "17", "25"},
		"a wish it is below": {"17", "21", "21"},
		"gone since":         {"19", "", "21"},
		"nonsense":           {"x", "", "21"},
	} {
		t.Run(name, func(t *testing.T) {
			text := pom
			if c.level != "" {
				text = pomOf("<properties><java.version>" + c.level + "</java.version></properties>" + plugin("org.springframework.boot", "spring-boot-maven-plugin"))
			}
			r := packtest.Request(repo("pom.xml", text))
			r.Versions = map[string]string{"java": c.earlier}
			made, err := packtest.Make(Plan, r)
			if err != nil {
				t.Fatal(err)
			}
			if got := made.Versions["java"]; got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// gradleRepo is a tree with a wrapper of that version.
func gradleRepo(version string, files ...string) fstest.MapFS {
	return repo(append([]string{"gradlew", "#!/bin/sh\n", "gradle/wrapper/gradle-wrapper.jar", "PK",
		"gradle/wrapper/gradle-wrapper.properties", `distributionUrl=https\://example.org/gradle-` + version + "-bin.zip\n"}, files...)...)
}

func TestPlan_GradleWrapper(t *testing.T) {
	const script = `"$(cat .berth/java/start)"`
	for name, c := range map[string]struct {
		tree                 fstest.MapFS
		summary, web, builds string
	}{
		"spring in Kotlin": {gradleRepo("8.14", "build.gradle.kts", "plugins {\n\tjava\n\tid(\"org.springframework.boot\") version \"3.5.7\"\n}\njava { toolchain { languageVersion = JavaLanguageVersion.of(17) } }"),
			"Java 17, Spring Boot (build.gradle.kts)", startSpring, "sh ./gradlew assemble jar build/libs"},
		"spring by a catalogue": {gradleRepo("8.14", "build.gradle.kts", "plugins { alias(libs.plugins.spring.boot) }",
			"gradle/libs.versions.toml", "[plugins]\nspring-boot = { id = \"org.springframework.boot\", version = \"3.5.7\" }\n"),
			"Java 21, Spring Boot (build.gradle.kts)", startSpring, "sh ./gradlew assemble jar build/libs"},
		"quarkus": {gradleRepo("9.1.0", "build.gradle", "plugins { id 'java'; id 'io.quarkus' }\nsourceCompatibility = JavaVersion.VERSION_25"),
			"Java 25, Quarkus (build.gradle)", `java $JAVA_OPTS -Dquarkus.http.port=$PORT -jar "$(cat .berth/java/start)"`, "sh ./gradlew assemble jar build"},
		"micronaut": {gradleRepo("8.5", "build.gradle", "plugins { id(\"io.micronaut.application\") version \"4.4.0\" }"),
			"Java 21, Micronaut (build.gradle)", `JAVA_OPTS="$JAVA_OPTS -Dmicronaut.server.port=$PORT" ` + script, "sh ./gradlew installDist script build/install"},
		"application of a project": {gradleRepo("7.6", "settings.gradle", "rootProject.name = 'x'\ninclude ':lib', ':apps:web'", "build.gradle", "plugins { id 'org.springframework.boot' version '3' apply false }",
			"lib/build.gradle", "plugins { id 'java-library' }", "apps/web/build.gradle", "plugins { id 'application' }\napplication { mainClass = 'a.B' }"),
			"Java 17, application (apps/web/build.gradle)", script, "sh ./gradlew installDist script apps/web/build/install"},
		"bare words of Kotlin": {gradleRepo("8.5", "settings.gradle.kts", "include(\"app\")", "app/build.gradle.kts", "plugins {\n  kotlin(\"jvm\") version \"2.0\"\n  application\n}"),
			"Java 21, application (app/build.gradle.kts)", script, "sh ./gradlew installDist script app/build/install"},
		"shadow": {gradleRepo("8.5", "build.gradle", "plugins { id 'application'\n id 'com.gradleup.shadow' version '8' }"),
			"Java 21, executable jar (build.gradle)", startJar, "sh ./gradlew shadowJar jar build/libs"},
		"war": {gradleRepo("8.5", "build.gradle", "plugins { id 'war' }\ndependencies { compileOnly 'javax.servlet:javax.servlet-api:4.0.1' }"),
			"Java 21, servlet container (build.gradle)", startWar, "sh ./gradlew war war build/libs, /opt/maven/bin/mvn container:" + servletJavax},
		"newer war in Kotlin": {gradleRepo("8.5", "build.gradle.kts", "plugins {\n  java\n  war\n}\nwar { }\ndependencies { compileOnly(\"jakarta.servlet:jakarta.servlet-api:6.0.0\") }"),
			"Java 17, servlet container (build.gradle.kts)", startWar, "sh ./gradlew war war build/libs, /opt/maven/bin/mvn container:" + servletJakarta},
		"spring's war": {gradleRepo("8.14", "build.gradle", "plugins { id 'org.springframework.boot' version '3'\n id 'war' }"),
			"Java 21, Spring Boot (build.gradle)", startSpring, "sh ./gradlew assemble jar build/libs"},
		"a manifest": {gradleRepo("8.5", "build.gradle", "apply plugin: 'java'\njar { manifest { attributes 'Main-Class': 'a.B' } }"),
			"Java 21, executable jar (build.gradle)", startJar, "sh ./gradlew assemble jar build/libs"},
		"the task stage": {gradleRepo("8.5", "build.gradle", "plugins { id 'application' }\ntask stage(dependsOn: 'installDist')"),
			"Java 21, application (build.gradle)", script, "sh ./gradlew stage script build/install"},
		"a Procfile": {gradleRepo("8.5", "build.gradle", "plugins { id 'application' }", "Procfile", "web: build/install/x/bin/x"),
			"Java 21, application (build.gradle)", "build/install/x/bin/x", "sh ./gradlew assemble installDist nothing"},
		"an old Gradle": {gradleRepo("6.9", "build.gradle", "plugins { id 'application' }"),
			"Java 11, application (build.gradle)", script, "sh ./gradlew installDist script build/install"},
	} {
		t.Run(name, func(t *testing.T) {
			made := detect(t, c.tree)
			if made.Summary != c.summary {
				t.Errorf("summary: got %q, want %q", made.Summary, c.summary)
			}
			if got := web(made); got != c.web {
				t.Errorf("web: got %q, want %q", got, c.web)
			}
			if got := looksFor(t, made); strings.Join(strings.Fields(got), " ") != c.builds {
				t.Errorf("builds: got %q, want %q", got, c.builds)
			}
		})
	}
	t.Log("NOT TRIED: ./gradlew in a script, for the host that it fetches Gradle from is not reached everywhere")
}

func TestPlan_GradleWithoutItsWrapper(t *testing.T) {
	p, text := problemOf(t, repo("build.gradle.kts", "plugins { application }"))
	if p.Code != source.CodeProject || !strings.Contains(text, "run gradle wrapper and commit") {
		t.Errorf("Kotlin: got %s: %s", p.Code, text)
	}
	tree := gradleRepo("8.5", "build.gradle", "plugins { id 'application' }")
	delete(tree, "gradle/wrapper/gradle-wrapper.jar")
	made := detect(t, tree)
	if text := strings.Join(made.Notes, "\n"); !strings.Contains(text, "gradle-wrapper.jar is missing") || !strings.Contains(text, "Debian's Gradle") {
		t.Errorf("notes: got %q", text)
	}
	p, text = problemOf(t, repo("build.gradle", "// id 'application'\nplugins { id 'java' }"))
	if p.Code != source.CodeNoProcess || !strings.Contains(text, "plugin application") {
		t.Errorf("a library: got %s: %s", p.Code, text)
	}
}

func TestPlan_WrapperThatCannotBeUsedIsPassedOver(t *testing.T) {
	pom := pomOf("<packaging>war</packaging>")
	const properties = ".mvn/wrapper/maven-wrapper.properties"
	for name, c := range map[string]struct {
		tree fstest.MapFS
		note string
	}{
		"line ends":  {repo("pom.xml", pom, "mvnw", "#!/bin/sh\r\n", properties, "x"), "line ends of Windows"},
		"incomplete": {repo("pom.xml", pom, "mvnw", "#!/bin/sh\n"), "maven-wrapper.properties is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			made := detect(t, c.tree)
			if got := looksFor(t, made); !strings.HasPrefix(got, "/opt/maven/bin/mvn ") {
				t.Errorf("builds %q", got)
			}
			if text := strings.Join(made.Notes, "\n"); !strings.Contains(text, c.note) {
				t.Errorf("notes: got %q", text)
			}
		})
	}
}

func TestPlan_Archives(t *testing.T) {
	starts := "META-INF/MANIFEST.MF"
	for name, c := range map[string]struct {
		tree         fstest.MapFS
		summary, web string
	}{
		"spring": {repo("shop-1.0.jar", jar(t, starts, "Main-Class: org.springframework.boot.loader.launch.JarLaunch\r\n er\r\n")),
			"Java 21, Spring Boot (shop-1.0.jar)", "java $JAVA_OPTS -Dserver.port=$PORT -jar shop-1.0.jar"},
		"a blank in its name": {repo("my app.jar", jar(t, starts, "Main-Class: a.B\r\n")),
			"Java 21, executable jar (my app.jar)", "java $JAVA_OPTS -jar 'my app.jar'"},
		"beside a library": {repo("a.jar", jar(t), "b.jar", jar(t, starts, "Main-Class: a.B\r\n")),
			"Java 21, executable jar (b.jar)", "java $JAVA_OPTS -jar b.jar"},
		"a war": {repo("a.war", jar(t, "WEB-INF/web.xml", "<web-app/>")),
			"Java 21, servlet container (a.war)", "java $JAVA_OPTS -jar .berth/java/container.jar --port $PORT a.war"},
	} {
		t.Run(name, func(t *testing.T) {
			made := detect(t, c.tree)
			if made.Summary != c.summary {
				t.Errorf("summary: got %q, want %q", made.Summary, c.summary)
			}
			if got := web(made); got != c.web {
				t.Errorf("web: got %q, want %q", got, c.web)
			}
		})
	}
	for name, c := range map[string]struct {
		tree       fstest.MapFS
		code, says string
	}{
		"a library": {repo("a.jar", jar(t)), source.CodeNoProcess, "Main-Class"},
		"no jar":    {repo("a.jar", "version https://git-lfs"), source.CodeFile, "Git LFS"},
	} {
		t.Run(name, func(t *testing.T) {
			if p, text := problemOf(t, c.tree); p.Code != c.code || !strings.Contains(text, c.says) {
				t.Errorf("got %s: %s", p.Code, text)
			}
		})
	}
}

func TestPlan_MalformedPOM(t *testing.T) {
	for name, c := range map[string]struct{ pom, says string }{
		"cut":      {"<project>\n<build>\n</project>", "line 3"},
		"empty":    {"", "no element <project>"},
		"deep":     {strings.Repeat("<a>", 100_000), "deep"},
		"entities": {`<!DOCTYPE p [<!ENTITY a "x">]><project>&a;</project>`, "entity"},
		"encoding": {`<?xml version="1.0" encoding="ebcdic"?><project/>`, "encoding"},
	} {
		t.Run(name, func(t *testing.T) {
			if p, text := problemOf(t, repo("pom.xml", c.pom)); p.Code != source.CodeProject || !strings.Contains(text, c.says) {
				t.Errorf("got %s: %s", p.Code, text)
			}
		})
	}
	// An older encoding is read as far as it matters.
	made := detect(t, repo("pom.xml", `<?xml version="1.0" encoding="ISO-8859-1"?>`+pomOf("<name>Gr\xf6\xdfe</name><packaging>war</packaging>")))
	if made.Summary != "Java 21, servlet container (pom.xml)" {
		t.Errorf("summary: got %q", made.Summary)
	}
}

func TestPlan_CyclesEnd(t *testing.T) {
	module := func(name, parent string) string {
		return "<project><artifactId>" + name + "</artifactId><parent><artifactId>" + parent + "</artifactId><relativePath>../" + parent + "</relativePath></parent>" +
			"<properties><x>${y}${y}</x><y>${x}${x}</y></properties><packaging>${x}</packaging><modules><module>../a</module><module>../b</module></modules></project>"
	}
	made := detect(t, repo("pom.xml", pomOf("<packaging>pom</packaging><modules><module>a</module><module>.</module></modules>"),
		"a/pom.xml", module("a", "b"), "b/pom.xml", module("b", "a")))
	if got, want := looksFor(t, made), "/opt/maven/bin/mvn jar a/target b/target"; got != want {
		t.Errorf("builds: got %q, want %q", got, want)
	}
}

func TestEvidence(t *testing.T) {
	for name, c := range map[string]struct {
		tree             fstest.MapFS
		evidence, weaker string
	}{
		"maven":    {repo("pom.xml", "", "build.gradle", ""), "pom.xml", ""},
		"gradle":   {repo("settings.gradle.kts", ""), "settings.gradle.kts", ""},
		"jar":      {repo("a.war", "", "b.jar", "", "c.jar", ""), "", "b.jar"},
		"war":      {repo("a.war", ""), "", "a.war"},
		"a folder": {repo("gradle/wrapper/gradle-wrapper.jar", "", "pom.xml/x", ""), "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			tree := &source.Tree{FS: c.tree}
			if got := Evidence(tree); got != c.evidence {
				t.Errorf("evidence: got %q, want %q", got, c.evidence)
			}
			if got := Archive(tree); got != c.weaker {
				t.Errorf("archive: got %q, want %q", got, c.weaker)
			}
		})
	}
}

// keyed is a tree with everything that decides of a layer.
func keyed() fstest.MapFS {
	return repo("pom.xml", pomOf(plugin("org.springframework.boot", "spring-boot-maven-plugin")), "src/main/java/A.java", "class A {}",
		"README.md", "hi", "apt-packages", "ffmpeg\n", "system.properties", "java.runtime.version=21")
}

func TestKeys_EachInputChangesExactlyItsLayers(t *testing.T) {
	all := []string{"Java 21 toolchain", "Java 21 build tools", "apt-packages", "apt-packages (build)", "output"}
	set := func(name, content string) func(fstest.MapFS, *plan.Request) {
		return func(m fstest.MapFS, r *plan.Request) {
			m[name] = &fstest.MapFile{Data: []byte(content)}
			r.Digest = "other"
		}
	}
	for name, c := range map[string]struct {
		change func(fstest.MapFS, *plan.Request)
		want   []string
	}{
		"nothing": {func(fstest.MapFS, *plan.Request) {}, nil},
		// A build may take any file into what it makes: it reads the whole tree.
		"a source line": {set("src/main/java/A.java", "class A { int b; }"), all[4:]},
		"a readme":      {set("README.md", "ho"), all[4:]},
		"a dependency":  {set("pom.xml", pomOf(dependency("a", "b")+plugin("org.springframework.boot", "spring-boot-maven-plugin"))), all[4:]},
		"the packages":  {set("apt-packages", "imagemagick\n"), all[2:]},
		"the version": {set("system.properties", "java.runtime.version=25"),
			[]string{"Java 25 toolchain", "Java 25 build tools", "apt-packages", "apt-packages (build)", "output"}},
		"the same version": {set("system.properties", "java.runtime.version=21.0.4"), all[4:]},
		"the owner":        {func(_ fstest.MapFS, r *plan.Request) { r.Owner = "1001" }, all[4:]},
		"the stack":        {func(_ fstest.MapFS, r *plan.Request) { r.Stack = "other" }, all},
		"tests":            {func(_ fstest.MapFS, r *plan.Request) { r.Test = true }, []string{"test dependencies (build)"}},
	} {
		t.Run(name, func(t *testing.T) {
			before, tree := packtest.Request(keyed()), keyed()
			after := packtest.Request(tree)
			c.change(tree, &after)
			if got := packtest.Rebuilt(t, Plan, before, after); !slices.Equal(got, c.want) {
				t.Errorf("rebuilt: got %q, want %q", got, c.want)
			}
		})
	}
}

func TestPlan_TestsHaveALayerOfTheirOwn(t *testing.T) {
	r := packtest.Request(keyed())
	if made, err := packtest.Make(Plan, r); err != nil || made.Test != nil {
		t.Errorf("not asked for: %+v, %v", made.Test, err)
	}
	r.Test = true
	made, err := packtest.Make(Plan, r)
	if err != nil {
		t.Fatal(err)
	}
	l := packtest.Layer(t, made, "test dependencies")
	if made.Test == nil || made.Test.Layer != l.Key || !made.Test.Whole || !l.Build || l.Root {
		t.Errorf("got %+v on %+v", made.Test, l)
	}
	if made.Base() != packtest.Layer(t, made, "output").Key {
		t.Error("what runs does not stand on the output")
	}
}

func FuzzPOM(f *testing.F) {
	f.Add([]byte(pomOf(plugin("${g}", "x") + dependency("a", "b"))))
	f.Add([]byte("<project><parent><relativePath/></parent><modules><module>.</module></modules>"))
	f.Add([]byte("\xef\xbb\xbf<?xml version=\"1.0\" encoding=\"latin1\"?><project><properties><a>${a}</a></properties></project>"))
	f.Fuzz(func(t *testing.T, data []byte) {
		p := &project{tree: &source.Tree{FS: fstest.MapFS{"pom.xml": {Data: data}}}}
		if p.maven(true) == nil && p.app.file == "" {
			t.Error("an app without a file")
		}
	})
}

func FuzzGradle(f *testing.F) {
	f.Add("plugins { id('application'); alias(libs.plugins.x) apply false }\nsourceCompatibility = JavaVersion.VERSION_1_8", "include ':a', \"b\"")
	f.Add("/* ''' \"\"\" */ '''a''' \"b\\\"c\" `d` task x(", "include(")
	f.Fuzz(func(t *testing.T, build, settings string) {
		p := &project{tree: &source.Tree{FS: repo("build.gradle", build, "settings.gradle", settings)}}
		_ = p.gradle(true)
		tokenize(build)
	})
}

func FuzzRelease(f *testing.F) {
	for _, s := range []string{"21", "1.8", "8u402", "openjdk64-17.0.1", "temurin-21.0.4+7.0.LTS", "21.0.4-tem", "-", "999.1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if r, err := parseRelease(s, "x", 1); err == nil && r.major < 0 {
			t.Errorf("%q is Java %d", s, r.major)
		}
	})
}

func FuzzManifest(f *testing.F) {
	f.Add("Main-Class: a.\r\n B\r\n\r\nName: x\r\n")
	f.Add(" x\n: \n")
	f.Fuzz(func(_ *testing.T, s string) { parseManifest(strings.NewReader(s)) })
}

func FuzzDistribution(f *testing.F) {
	f.Add("distributionUrl=https\\://example.com/gradle-8.10-bin.zip\r\ndistributionSha256Sum=" + strings.Repeat("a", 64) + "\r\n")
	f.Add("distributionUrl : https://example.com/..\\/x")
	f.Fuzz(func(t *testing.T, properties string) {
		p := &project{tree: &source.Tree{FS: repo("wrapper.properties", properties)}, sum: func(mirror.Archive) (string, error) { return strings.Repeat("a", 64), nil }}
		all := mirror.Archives{{Tool: "gradle", Version: "8.10", Name: "gradle-8.10-bin.zip"}}
		a, err := p.distribution("gradle", all, "wrapper.properties")
		if a != nil && err == nil && a.Name != all[0].Name {
			t.Errorf("got %v", a)
		}
		gradleRunsOn(properties)
	})
}
