package git

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// extract reads a commit straight from the work tree's own repository.
func extract(t *testing.T, l local, commit string, limits TreeLimits) (dir string, notes []string, err error) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "out")
	os.Mkdir(dir, 0o755)
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	notes, err = Repository{Path: filepath.Join(l.dir, ".git")}.Extract(t.Context(), commit, root, limits)
	return dir, notes, err
}

func TestExtract_KeepsContentBitsTimesAndOddNames(t *testing.T) {
	l := newLocal(t)
	odd := []string{"-rf", "new\nline", "esc\x1b[31m", "é\"<script>", "deep/er/$(id)", " "}
	for _, name := range odd {
		l.write(name, "content of "+name)
	}
	l.write("empty", "")
	l.write("run.sh", "#!/bin/sh\n")
	os.Chmod(filepath.Join(l.dir, "run.sh"), 0o755)
	os.Symlink("/etc", filepath.Join(l.dir, "etc"))
	os.Symlink("../../..", filepath.Join(l.dir, "up"))
	id := l.commit("odd")
	dir, notes, err := extract(t, l, id, DefaultTreeLimits)
	if err != nil {
		t.Fatal(err)
	}
	if len(notes) > 0 {
		t.Errorf("notes %q", notes)
	}
	for _, name := range odd {
		if got, err := os.ReadFile(filepath.Join(dir, name)); string(got) != "content of "+name {
			t.Errorf("%q: %q, %v", name, got, err)
		}
	}
	info, err := os.Stat(filepath.Join(dir, "run.sh"))
	if err != nil || info.Mode()&0o100 == 0 {
		t.Errorf("run.sh: %v, %v", info, err)
	}
	var seconds int64
	fmt.Sscan(l.git("show", "-s", "--format=%ct"), &seconds)
	want := time.Unix(seconds, 0)
	if !info.ModTime().Equal(want) {
		t.Errorf("mtime %v, want the commit's %v", info.ModTime(), want)
	}
	if info, _ := os.Stat(filepath.Join(dir, "empty")); info == nil || info.Mode()&0o111 != 0 || info.Size() != 0 {
		t.Errorf("empty: %v", info)
	}
	for name, target := range map[string]string{"etc": "/etc", "up": "../../.."} {
		if got, err := os.Readlink(filepath.Join(dir, name)); got != target {
			t.Errorf("link %s: %q, %v", name, got, err)
		}
	}
}

func TestExtract_SaysWhatDidNotComeAlong(t *testing.T) {
	l := newLocal(t)
	l.write("model.bin", lfsPointer+"oid sha256:4d7a\nsize 12345\n")
	l.git("update-index", "--add", "--cacheinfo", "160000,"+strings.Repeat("1", 40)+",vendor/lib")
	l.git("add", "model.bin")
	l.git("commit", "-q", "-m", "x")
	_, notes, err := extract(t, l, l.git("rev-parse", "HEAD"), DefaultTreeLimits)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"model.bin is a Git LFS pointer, not the file itself", "vendor/lib is a submodule and is not included"}
	if !slices.Equal(notes, want) {
		t.Errorf("notes %q, want %q", notes, want)
	}
}

// rawTree writes a tree object that git mktree would refuse.
func (l local) rawTree(lines ...[3]string) string {
	l.t.Helper()
	var b strings.Builder
	for _, line := range lines {
		id, err := hex.DecodeString(line[2])
		if err != nil {
			l.t.Fatal(err)
		}
		b.WriteString(line[0] + " " + line[1] + "\x00" + string(id))
	}
	return l.input(b.String(), "hash-object", "-t", "tree", "-w", "--stdin", "--literally")
}

// hostileTrees are trees that mean harm, by what they try.
func hostileTrees(l local) map[string]string {
	blob := l.input("harmless\n", "hash-object", "-w", "--stdin")
	passwd := l.input("/etc", "hash-object", "-w", "--stdin")
	inner := l.rawTree([3]string{"100644", "passwd", blob})
	return map[string]string{
		"dot dot":             l.rawTree([3]string{"40000", "..", inner}),
		"dot":                 l.rawTree([3]string{"100644", ".", blob}),
		"slash":               l.rawTree([3]string{"100644", "../../x", blob}),
		"absolute":            l.rawTree([3]string{"100644", "/tmp/x", blob}),
		"dot git":             l.rawTree([3]string{"40000", ".git", inner}),
		"dot GIT":             l.rawTree([3]string{"40000", ".GiT", inner}),
		"empty name":          l.rawTree([3]string{"100644", "", blob}),
		"link then directory": l.rawTree([3]string{"120000", "a", passwd}, [3]string{"40000", "a", inner}),
		"twice":               l.rawTree([3]string{"100644", "a", blob}, [3]string{"100644", "a", blob}),
		"unknown mode":        l.rawTree([3]string{"10777", "a", blob}),
		"blob as tree":        l.rawTree([3]string{"40000", "a", blob}),
		"tree as blob":        l.rawTree([3]string{"100644", "a", inner}),
		"name too long":       l.rawTree([3]string{"100644", strings.Repeat("n", 300), blob}),
	}
}

func TestExtract_RefusesHostileTreesAndWritesNothing(t *testing.T) {
	l := newLocal(t)
	for name, tree := range hostileTrees(l) {
		t.Run(name, func(t *testing.T) {
			dir, _, err := extract(t, l, l.commitTree(tree), DefaultTreeLimits)
			if err == nil {
				t.Fatal("extracted")
			}
			if entries, _ := os.ReadDir(dir); len(entries) > 0 {
				t.Errorf("written: %v", entries)
			}
			t.Log(err)
		})
	}
}

func TestReceive_RefusesHostileTrees(t *testing.T) {
	l := newLocal(t)
	repo := open(t)
	for name, tree := range hostileTrees(l) {
		switch name {
		case "name too long", "blob as tree", "tree as blob", "unknown mode":
			continue // fsck lets these pass (with a warning, or by version); they are Extract's to refuse
		}
		t.Run(name, func(t *testing.T) {
			l.git("update-ref", "refs/heads/hostile", l.commitTree(tree))
			said, _ := push(t, l, repo, "refs/heads/hostile", accept)
			if _, err := os.Stat(filepath.Join(repo.Path, "refs/heads/hostile")); !os.IsNotExist(err) {
				t.Errorf("accepted: %s", said)
			}
		})
	}
}

func TestExtract_Limits(t *testing.T) {
	l := newLocal(t)
	for i := range 20 {
		l.write(fmt.Sprintf("f%d", i), "the same ten")
	}
	l.write("a/b/c/d/e", "deep")
	id := l.commit("x")
	for name, limits := range map[string]TreeLimits{
		"bytes": {Bytes: 200, Files: 1000, Depth: 64},
		"files": {Bytes: 1 << 20, Files: 10, Depth: 64},
		"depth": {Bytes: 1 << 20, Files: 1000, Depth: 3},
	} {
		dir, _, err := extract(t, l, id, limits)
		if _, ok := errors.AsType[*TreeError](err); !ok {
			t.Errorf("%s: %v, want a TreeError", name, err)
		}
		if entries, _ := os.ReadDir(dir); len(entries) > 0 {
			t.Errorf("%s: written: %v", name, entries)
		}
	}
	if _, _, err := extract(t, l, id, TreeLimits{Bytes: 244, Files: 25, Depth: 4}); err != nil {
		t.Errorf("just within the limits: %v", err)
	}
}

// A few objects can stand for billions of files.
func TestExtract_TreeBombStopsAtTheLimit(t *testing.T) {
	l := newLocal(t)
	id, mode := l.input("boom", "hash-object", "-w", "--stdin"), "100644"
	for range 12 {
		var lines [][3]string
		for i := range 10 {
			lines = append(lines, [3]string{mode, fmt.Sprint(i), id})
		}
		id, mode = l.rawTree(lines...), "40000"
	}
	start := time.Now()
	_, _, err := extract(t, l, l.commitTree(id), DefaultTreeLimits)
	if tree, ok := errors.AsType[*TreeError](err); !ok || !strings.Contains(tree.Reason, "more than 100000 files") {
		t.Errorf("bomb: %v", err)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
}

func BenchmarkExtract_100SmallFiles(b *testing.B) {
	dir := b.TempDir()
	l := local{dir: dir, t: &testing.T{}}
	l.git("init", "-q", "-b", "main")
	for i := range 100 {
		l.write(fmt.Sprintf("d%d/f%d", i%10, i), strings.Repeat("x\n", 400))
	}
	id := l.commit("x")
	repo := Repository{Path: filepath.Join(dir, ".git")}
	b.Run("Extract", func(b *testing.B) {
		for b.Loop() {
			out := b.TempDir()
			root, _ := os.OpenRoot(out)
			if _, err := repo.Extract(b.Context(), id, root, DefaultTreeLimits); err != nil {
				b.Fatal(err)
			}
			root.Close()
		}
	})
	b.Run("ReadCommit", func(b *testing.B) {
		for b.Loop() {
			if _, err := repo.ReadCommit(b.Context(), id); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func TestExtractDir_IsOneDirectoryAndItsDigest(t *testing.T) {
	l := newLocal(t)
	l.write("README", "root")
	l.write("apps/api/main.py", "1")
	l.write("apps/web/index.html", "2")
	os.Symlink("apps", filepath.Join(l.dir, "link"))
	first := l.commit("one")
	repo := Repository{Path: filepath.Join(l.dir, ".git")}
	dir := func(commit, name string) (string, []string, error) {
		out := t.TempDir()
		root, err := os.OpenRoot(out)
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		tree, _, err := repo.ExtractDir(t.Context(), commit, name, root, DefaultTreeLimits)
		entries, _ := os.ReadDir(out)
		var names []string
		for _, e := range entries {
			names = append(names, e.Name())
		}
		return tree, names, err
	}
	before, names, err := dir(first, "apps/api")
	if err != nil || !slices.Equal(names, []string{"main.py"}) || before != l.git("rev-parse", first+":apps/api") {
		t.Errorf("apps/api: %s %q, %v", before, names, err)
	}
	l.write("README", "changed")
	second := l.commit("two")
	if after, _, err := dir(second, "apps/api/"); err != nil || after != before {
		t.Errorf("a change elsewhere: %s, %v, want %s", after, err, before)
	}
	for name, want := range map[string]NoDirError{
		"api":          {Path: "api", In: ".", Have: []string{"apps"}},
		"apps/db":      {Path: "apps/db", In: "apps", Have: []string{"api", "web"}},
		"README":       {Path: "README", In: ".", Have: []string{"apps"}},
		"link/api":     {Path: "link/api", In: ".", Have: []string{"apps"}},
		"apps/api/x/y": {Path: "apps/api/x/y", In: "apps/api"},
		"../apps":      {Path: "../apps", In: ".", Have: []string{"apps"}},
	} {
		_, names, err := dir(first, name)
		missing, ok := errors.AsType[*NoDirError](err)
		if !ok || fmt.Sprint(*missing) != fmt.Sprint(want) || len(names) > 0 {
			t.Errorf("%s: %v %+v with %q written, want %+v", name, err, missing, names, want)
		}
	}
}

func TestResolve_TakesBranchesTagsAndIDsAlone(t *testing.T) {
	l := newLocal(t)
	l.write("a", "1")
	id := l.commit("one")
	l.git("tag", "v1")
	repo := Repository{Path: filepath.Join(l.dir, ".git")}
	for name, want := range map[string]string{"main": id, "v1": id, id: id, id[:8]: id,
		"nope": "", "": "", "--all": "", "-x": "", "main:a": "", strings.Repeat("0", 40): "", "a\nb": "", "main\x00": ""} {
		got, ok, err := repo.Resolve(t.Context(), name)
		if err != nil || got != want || ok != (want != "") {
			t.Errorf("%q: %q, %t, %v, want %q", name, got, ok, err, want)
		}
	}
}
