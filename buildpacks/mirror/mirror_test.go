package mirror

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"strings"
	"testing"

	"github.com/berthd/berth/buildpacks/source"
)

func TestParse(t *testing.T) {
	for _, c := range []struct{ tool, name, amd64, arm64 string }{
		{"node", "node-v22.9.0-linux-x64.tar.xz", "22.9.0", ""},
		{"node", "node-v22.9.0-linux-arm64.tar.gz", "", "22.9.0"},
		{"node", "node-v22.9.0-linux-x64-musl.tar.xz", "", ""},
		{"node", "node-v22.9.0-linux-armv7l.tar.xz", "", ""},
		{"node", "node-v22.9.0-darwin-x64.tar.gz", "", ""},
		{"node", "node-v22.9.0.tar.gz", "", ""},
		{"node", "node-v22.9-linux-x64.tar.xz", "", ""},
		{"node", "node-v22.9.0-linux-x64.tar.xz.asc", "", ""},
		{"node", " node-v22.9.0-linux-x64.tar.xz", "", ""},
		{"node", "node-v22.9.0-linux-x64.tar.xz\n", "", ""},
		{"node", "node-v9999.9.0-linux-x64.tar.xz", "", ""},
		{"python", "cpython-3.12.7+20241016-x86_64-unknown-linux-gnu-install_only.tar.gz", "3.12.7", ""},
		{"python", "cpython-3.12.7%2B20241016-x86_64-unknown-linux-gnu-install_only.tar.gz", "3.12.7", ""},
		{"python", "cpython-3.12.7+20241016-aarch64-unknown-linux-gnu-install_only_stripped.tar.gz", "", "3.12.7"},
		{"python", "cpython-3.12.7+20241016-x86_64_v3-unknown-linux-gnu-install_only.tar.gz", "", ""},
		{"python", "cpython-3.12.7+20241016-x86_64-unknown-linux-musl-install_only.tar.gz", "", ""},
		{"python", "cpython-3.12.7+20241016-x86_64-unknown-linux-gnu-pgo+lto-full.tar.zst", "", ""},
		{"go", "go1.23.4.linux-amd64.tar.gz", "1.23.4", ""},
		{"go", "go1.24rc1.linux-arm64.tar.gz", "", "1.24rc1"},
		{"go", "go1.20.linux-amd64.tar.gz", "1.20", ""},
		{"go", "go1.23.4.src.tar.gz", "", ""},
		{"java", "OpenJDK21U-jdk_x64_linux_hotspot_21.0.5_11.tar.gz", "21.0.5_11", ""},
		{"java", "OpenJDK8U-jdk_aarch64_linux_hotspot_8u432b06.tar.gz", "", "8u432b06"},
		{"java", "OpenJDK23U-jdk_x64_linux_hotspot_23_37.tar.gz", "23_37", ""},
		{"java", "OpenJDK21U-jre_x64_linux_hotspot_21.0.5_11.tar.gz", "", ""},
		{"java", "OpenJDK21U-jdk_x64_alpine-linux_hotspot_21.0.5_11.tar.gz", "", ""},
		{"rust", "rust-1.83.0-x86_64-unknown-linux-gnu.tar.xz", "1.83.0", ""},
		{"rust", "rust-1.83.0-aarch64-unknown-linux-gnu.tar.gz", "", "1.83.0"},
		{"rust", "rust-std-1.83.0-x86_64-unknown-linux-gnu.tar.xz", "", ""},
		{"gradle", "gradle-8.10-bin.zip", "8.10", "8.10"},
		{"gradle", "gradle-8.10.2-all.zip", "8.10.2", "8.10.2"},
		{"gradle", "gradle-8.10-src.zip", "", ""},
		{"maven", "apache-maven-3.9.9-bin.zip", "3.9.9", "3.9.9"},
		{"maven", "apache-maven-3.9.9-bin.tar.gz", "3.9.9", "3.9.9"},
		{"go", "node-v22.9.0-linux-x64.tar.xz", "", ""},
		{"cobol", "cobol-1.0.tar.gz", "", ""},
		{"", "", "", ""},
	} {
		for arch, want := range map[string]string{"amd64": c.amd64, "arm64": c.arm64} {
			got, ok := parse(c.tool, c.name, arch)
			if got != want || ok != (want != "") {
				t.Errorf("%s %q on %s: got %q, %t; want %q", c.tool, c.name, arch, got, ok, want)
			}
		}
	}
}

// fill makes a mirror of files and contents.
func fill(t testing.TB, files ...string) (*Dir, string) {
	t.Helper()
	dir := t.TempDir()
	for i := 0; i < len(files); i += 2 {
		name := filepath.Join(dir, files[i])
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(files[i+1]), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return Open(dir), dir
}

// here returns a name with the word for this machine in it.
func here(format string, words ...string) string {
	return fmt.Sprintf(format, map[string]string{"amd64": words[0], "arm64": words[1]}[goruntime.GOARCH])
}

func goName(version string) string { return here("go"+version+".linux-%s.tar.gz", "amd64", "arm64") }
func nodeName(version string) string {
	return here("node-v"+version+"-linux-%s.tar.xz", "x64", "arm64")
}

func versions(list Archives) (all []string) {
	for _, a := range list {
		all = append(all, a.Version)
	}
	return all
}

func TestList_NewestFirst(t *testing.T) {
	python := func(version string) string {
		return "python/" + here("cpython-"+version+"-%s-unknown-linux-gnu-install_only.tar.gz", "x86_64", "aarch64")
	}
	java := func(version string) string {
		return "java/" + here("OpenJDK21U-jdk_%s_linux_hotspot_"+version+".tar.gz", "x64", "aarch64")
	}
	d, _ := fill(t, "go/"+goName("1.9"), "", "go/"+goName("1.24rc1"), "", "go/"+goName("1.24.0"), "", "go/"+goName("1.24beta2"), "", "go/"+goName("1.23.10"), "",
		"go/README", "", "go/"+goName("1.23.9")+".sha256", "",
		python("3.12.7+20241016"), "", python("3.12.7%%2B20250101"), "", python("3.13.0+20240101"), "",
		java("21_35"), "", java("21.0.5_11"), "", java("21.0.5_9"), "")
	for tool, want := range map[string][]string{
		"go":     {"1.24.0", "1.24rc1", "1.24beta2", "1.23.10", "1.9"},
		"python": {"3.13.0", "3.12.7", "3.12.7"},
		"java":   {"21.0.5_11", "21.0.5_9", "21_35"},
		"node":   nil,
	} {
		got, err := d.List(tool)
		if err != nil || !slices.Equal(versions(got), want) {
			t.Errorf("%s: got %q, %v; want %q", tool, versions(got), err, want)
		}
	}
	if list, _ := d.List("python"); !strings.Contains(list[1].Name, "2025") {
		t.Errorf("the older build of 3.12.7 comes first: %v", list)
	}
}

func TestList_OnlyPlainFilesOfItsOwn(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	d, dir := fill(t, "node/"+nodeName("1.0.0"), "", "go/"+goName("1.25.0")+"/x", "")
	for link, to := range map[string]string{
		"node/" + nodeName("2.0.0"): secret,
		"node/" + nodeName("3.0.0"): nodeName("1.0.0"),
		"node/" + nodeName("4.0.0"): "nowhere",
		"rust":                      filepath.Dir(secret),
	} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	if list, err := d.List("node"); err != nil || !slices.Equal(versions(list), []string{"1.0.0"}) {
		t.Errorf("got %v, %v", list, err)
	}
	if list, err := d.List("go"); err != nil || len(list) > 0 {
		t.Errorf("a directory of an archive's name: got %v, %v", list, err)
	}
	if list, err := d.List("rust"); err == nil || len(list) > 0 {
		t.Errorf("a folder that leads out: got %v, %v", list, err)
	}
	if _, err := d.Sum(Archive{Tool: "node", Name: nodeName("2.0.0")}); err == nil {
		t.Error("a link was digested")
	}
}

func TestList_Bounded(t *testing.T) {
	var files []string
	for i := range maxEntries + 100 {
		files = append(files, fmt.Sprintf("node/%d", i), "")
	}
	d, _ := fill(t, files...)
	if entries, err := d.entries("node"); err != nil || len(entries) != maxEntries {
		t.Errorf("got %d entries, %v", len(entries), err)
	}
}

func TestNoMirror(t *testing.T) {
	for _, d := range []*Dir{nil, Open(""), Open(filepath.Join(t.TempDir(), "none"))} {
		if list, err := d.List("node"); list != nil || err != nil {
			t.Errorf("list: %v, %v", list, err)
		}
		if r, err := d.Report(); len(r.Entries) > 0 || err != nil {
			t.Errorf("report: %v, %v", r, err)
		}
		_, err := d.Path(Archive{Tool: "node", Name: nodeName("1.0.0"), Sum: "x"})
		if p, ok := errors.AsType[*source.Problem](err); !ok || p.Code != source.CodeMirror || !strings.Contains(p.Message, nodeName("1.0.0")) {
			t.Errorf("path: %v", err)
		}
	}
}

func sumOf(content string) string {
	sum := sha256.Sum256([]byte(content))
	return hex.EncodeToString(sum[:])
}

func TestSum_ReadAnewWhenItChanges(t *testing.T) {
	name := goName("1.99.0")
	d, dir := fill(t, "go/"+name, "first")
	a := Archive{Tool: "go", Version: "1.99.0", Name: name}
	for _, content := range []string{"first", "first", "the second"} {
		if err := os.WriteFile(filepath.Join(dir, "go", name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		if got, err := d.Sum(a); err != nil || got != sumOf(content) {
			t.Errorf("%s: got %s, %v", content, got, err)
		}
	}
	a.Sum = sumOf("first")
	if file, err := d.Path(a); err == nil {
		t.Errorf("another file than was planned with: got %s", file)
	}
	a.Sum = sumOf("the second")
	if file, err := d.Path(a); err != nil || file != filepath.Join(dir, "go", name) {
		t.Errorf("got %s, %v", file, err)
	}
}

func TestSum_ChecksumsCount(t *testing.T) {
	name := goName("1.99.0")
	for title, c := range map[string]struct {
		sums string
		ok   bool
	}{
		"right":             {sumOf("x") + "  " + name, true},
		"binary":            {sumOf("x") + " *./" + name + "\r\n", true},
		"capitals":          {strings.ToUpper(sumOf("x")) + "  " + name, true},
		"of others":         {sumOf("y") + "  go1.0.tar.gz", true},
		"what is no line":   {"hello\n\n" + sumOf("y"), true},
		"wrong":             {sumOf("y") + "  " + name, false},
		"too large":         {strings.Repeat("x", maxSums+1), false},
		"wrong, among many": {sumOf("y") + "  a\n" + sumOf("y") + "  " + name + "\n", false},
	} {
		d, _ := fill(t, "go/"+name, "x", "go/"+SumsFile, c.sums)
		_, err := d.Sum(Archive{Tool: "go", Name: name})
		p, isProblem := errors.AsType[*source.Problem](err)
		if (err == nil) != c.ok || err != nil && (!isProblem || title != "too large" && (p.Code != source.CodeMirror || len(p.Hints) == 0)) {
			t.Errorf("%s: got %v", title, err)
		}
	}
}

func TestRemembered(t *testing.T) {
	a := Archive{Tool: "go", Version: "1.99.0", Name: goName("1.99.0"), Sum: sumOf("x"), Kept: true}
	if got, ok := Remembered("go", a.String()); !ok || got != a {
		t.Errorf("got %+v, %t", got, ok)
	}
	for _, text := range []string{"", "x", a.Name, a.Name + "@sha256:12", "../" + a.String(), "b" + a.String()} {
		if got, ok := Remembered("go", text); ok {
			t.Errorf("%q: got %+v", text, got)
		}
	}
}

func TestReport(t *testing.T) {
	name := goName("1.99.0")
	d, dir := fill(t, "go/"+name, "x", "go/notes.txt", "", "go/"+SumsFile, sumOf("x")+"  "+name, "cobol/x", "")
	r, err := d.Report()
	want := []Entry{{"go", name, "1.99.0", true, ""}, {"go", "notes.txt", "", false, "not an upstream file name for this machine"}}
	if err != nil || r.Dir != dir || !slices.Equal(r.Entries, want) {
		t.Errorf("got %+v, %v", r, err)
	}
}

func TestTell(t *testing.T) {
	var many Archives
	for i := range 13 {
		many = append(many, Archive{Version: fmt.Sprint(i)}, Archive{Version: fmt.Sprint(i)})
	}
	if e := many.Tell(source.Problemf("E", "x")); !strings.HasSuffix(e.Hints[0], "8, 9 and 3 more") {
		t.Errorf("got %q", e.Hints)
	}
	if e := (Archives)(nil).Tell(source.Problemf("E", "x")); len(e.Hints) > 0 {
		t.Errorf("got %q", e.Hints)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("node", "node-v22.9.0-linux-x64.tar.xz")
	f.Add("python", "cpython-3.12.7%2B20241016-x86_64-unknown-linux-gnu-install_only.tar.gz")
	f.Add("java", "OpenJDK8U-jdk_x64_linux_hotspot_8u432b06.tar.gz")
	f.Fuzz(func(t *testing.T, tool, name string) {
		version, ok := parse(tool, name, "amd64")
		if !ok {
			return
		}
		// It stands in commands and in what is shown.
		if strings.ContainsFunc(version, func(r rune) bool { return !strings.ContainsRune("0123456789._bceatru", r) }) || strings.ContainsAny(name, "/\n \x1b") {
			t.Errorf("%q of %q is no version", version, name)
		}
		numbers(Archive{Tool: tool, Name: name, Version: version})
	})
}

func FuzzSums(f *testing.F) {
	f.Add(sumOf("x") + "  go1.23.4.linux-amd64.tar.gz\n")
	f.Fuzz(func(t *testing.T, text string) {
		for name, sum := range parseSums(text) {
			if name == "" || len(sum) != 64 {
				t.Errorf("got %q for %q", sum, name)
			}
		}
	})
}
