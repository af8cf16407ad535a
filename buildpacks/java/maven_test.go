package java

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The wrapper of the tree is one that tells how it would start its JVM.
func TestMavenScript_SmallBuildsSpareTheirCompiler(t *testing.T) {
	const brief = "-XX:TieredStopAtLevel=1"
	for name, c := range map[string]struct {
		sources int
		file    string // of the tree, besides
		env     string
		want    string
	}{
		"small":                {sources: 299, want: brief},
		"none at all":          {want: brief},
		"large":                {sources: 300},
		"config says":          {sources: 1, env: "MAVEN_OPTS=-Xmx1g", want: "-Xmx1g"},
		"the repository says":  {sources: 1, file: ".mvn/jvm.config"},
		"others do not count":  {sources: 299, file: "b/README.md", want: brief},
		"other languages do":   {sources: 299, file: "b/App.kt"},
		"what git keeps won't": {sources: 299, file: ".git/C.java", want: brief},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write := func(file, content string) {
				t.Helper()
				file = filepath.Join(dir, file)
				if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			write("mvnw", `printf %s "${MAVEN_OPTS-}"`)
			for n := range c.sources {
				write(fmt.Sprintf("src/p%d/C%d.java", n%10, n), "")
			}
			if c.file != "" {
				write(c.file, "")
			}
			cmd := exec.Command("sh", "-c", mavenScript+pickScript, "sh", "sh ./mvnw", "nothing")
			cmd.Dir = dir
			for _, v := range os.Environ() {
				if !strings.HasPrefix(v, "MAVEN_") && !strings.HasPrefix(v, "MVNW_") {
					cmd.Env = append(cmd.Env, v)
				}
			}
			cmd.Env = append(cmd.Env, c.env)
			got, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, got)
			}
			if string(got) != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
