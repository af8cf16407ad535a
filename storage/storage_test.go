package storage

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/berthd/berth/fleet"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
)

// needRoot skips on a laptop: files are given to users here.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
}

type machine struct{ containers []fleet.Container }

func (m *machine) list(context.Context) ([]fleet.Container, error) { return m.containers, nil }

// container is one that runs, and stands still when it is told.
type container struct {
	fleet.Container
	volume string
	frozen int
	thawed int
	done   chan struct{}
}

func (c *container) About() fleet.About {
	return fleet.About{ID: "c", Labels: map[string]string{fleet.LabelVolumes: "x " + c.volume}}
}
func (c *container) Done() <-chan struct{}        { return c.done }
func (c *container) Freeze(context.Context) error { c.frozen++; return nil }
func (c *container) Thaw() error                  { c.thawed++; return nil }

func newRoom(t *testing.T) (*Room, *machine) {
	t.Helper()
	needRoot(t)
	dir := t.TempDir()
	db, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	m := &machine{}
	r := New(Config{
		Store: db, Dir: filepath.Join(dir, "volumes"), Own: []string{dir}, Log: slog.New(slog.DiscardHandler),
		Restart: func(context.Context, string, bool) error { return nil },
	})
	r.patience = 10 * time.Millisecond
	r.Watch(m.list)
	return r, m
}

func app(t *testing.T, r *Room, name string) (record store.App) {
	t.Helper()
	err := r.db.Update(func(tx *store.Tx) (err error) {
		record, err = tx.CreateApp(store.App{Name: name})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return record
}

func volume(t *testing.T, r *Room, v store.Volume) store.Volume {
	t.Helper()
	v, err := r.Create(t.Context(), v, store.Root)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func write(t *testing.T, r *Room, v store.Volume, name, text string) {
	t.Helper()
	file := filepath.Join(r.files(v.ID), name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o640)); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, r *Room, v store.Volume, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(r.files(v.ID), name))
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func wantCode(t *testing.T, err error, want string) {
	t.Helper()
	if got := fault.CodeOf(err); got != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// archive is a tar of entries.
func archive(t *testing.T, entries ...tar.Header) *bytes.Buffer {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, head := range entries {
		text := head.Name
		if head.Typeflag == tar.TypeReg {
			head.Size = int64(len(text))
		}
		if head.Mode == 0 {
			head.Mode = 0o644
		}
		if err := w.WriteHeader(&head); err != nil {
			t.Fatal(err)
		}
		if head.Typeflag == tar.TypeReg {
			io.WriteString(w, text)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &b
}

func TestImport_WhatWasExportedIsThereAgain(t *testing.T) {
	r, _ := newRoom(t)
	shop := app(t, r, "shop")
	v := volume(t, r, store.Volume{Name: "data", App: "shop"})
	write(t, r, v, "a", "one")
	write(t, r, v, "dir/ü\n\x1b", "two")
	dir := r.files(v.ID)
	err := errors.Join(
		os.Symlink("../outside", filepath.Join(dir, "link")), os.Link(filepath.Join(dir, "a"), filepath.Join(dir, "b")),
		syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600), os.Chmod(filepath.Join(dir, "a"), 0o750),
	)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := r.Export(t.Context(), v.ID, &out); err != nil {
		t.Fatal(err)
	}
	w := volume(t, r, store.Volume{Name: "other", App: "shop"})
	write(t, r, w, "before", "old")
	if _, err := r.Import(t.Context(), w.ID, &out, store.Root); err != nil {
		t.Fatal(err)
	}
	if a, two, before := read(t, r, w, "a"), read(t, r, w, "dir/ü\n\x1b"), read(t, r, w, "before"); a != "one" || two != "two" || before == "old" {
		t.Errorf("got %q, %q, %q", a, two, before)
	}
	a, err := os.Stat(filepath.Join(r.files(w.ID), "a"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.Stat(filepath.Join(r.files(w.ID), "b"))
	if err != nil || !os.SameFile(a, b) {
		t.Errorf("two names of a file are two files: %v", err)
	}
	if to, _ := os.Readlink(filepath.Join(r.files(w.ID), "link")); to != "../outside" {
		t.Errorf("the link leads to %q", to)
	}
	if _, err := os.Lstat(filepath.Join(r.files(w.ID), "pipe")); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a pipe was taken along")
	}
	if st := a.Sys().(*syscall.Stat_t); st.Uid != uint32(shop.UID) || st.Gid != uint32(shop.UID) || a.Mode().Perm() != 0o750 {
		t.Errorf("it is %d:%d's, %v", st.Uid, st.Gid, a.Mode())
	}
	trash, _ := filepath.Glob(filepath.Join(r.cfg.Dir, trashDir, w.ID+"-*", filesDir, "before"))
	if len(trash) != 1 {
		t.Errorf("the files of before are in %q", trash)
	}
}

func TestImport_RefusesWhatLeadsOut(t *testing.T) {
	r, m := newRoom(t)
	v := volume(t, r, store.Volume{Name: "data", Size: 1 << 20})
	write(t, r, v, "old", "old")
	reg := func(name string) tar.Header { return tar.Header{Name: name, Typeflag: tar.TypeReg} }
	big := archive(t, reg("x"))
	many := make([]tar.Header, 300)
	for n := range many {
		many[n] = reg("f" + strings.Repeat("x", n))
	}
	whole := archive(t, reg("one"), reg("two"))
	for name, tt := range map[string]struct {
		in   io.Reader
		code string
	}{
		"a path above":          {archive(t, reg("../x")), "E619"},
		"one in the middle":     {archive(t, reg("a/../../x")), "E619"},
		"an absolute one":       {archive(t, reg("/etc/x")), "E619"},
		"a link that leads out": {archive(t, tar.Header{Name: "a", Typeflag: tar.TypeSymlink, Linkname: "/tmp"}, reg("a/x")), "E619"},
		"one to the directory above": {
			archive(t, tar.Header{Name: "a", Typeflag: tar.TypeSymlink, Linkname: ".."}, reg("a/x")), "E619",
		},
		"a name for another's file": {archive(t, tar.Header{Name: "a", Typeflag: tar.TypeLink, Linkname: "../../../berth.db"}), "E619"},
		"a device":                  {archive(t, tar.Header{Name: "a", Typeflag: tar.TypeBlock}), "E619"},
		"a pipe":                    {archive(t, tar.Header{Name: "a", Typeflag: tar.TypeFifo}), "E619"},
		"too deep":                  {archive(t, reg(strings.Repeat("d/", 600)+"x")), "E619"},
		"no tar":                    {strings.NewReader(strings.Repeat("no tar at all ", 100)), "E619"},
		"a compressed one":          {strings.NewReader("\x1f\x8b\x08 short"), "E619"},
		"nothing":                   {strings.NewReader(""), "E620"},
		"cut in a file":             {bytes.NewReader(whole.Bytes()[:513]), "E620"},
		"cut between files":         {bytes.NewReader(whole.Bytes()[:1024]), "E620"},
		"a bomb of files":           {archive(t, many...), "E610"},
		"a bomb of zeros":           {io.MultiReader(bigFile(t, 64<<20), big), "E610"},
	} {
		_, err := r.Import(t.Context(), v.ID, tt.in, store.Root)
		if got := fault.CodeOf(err); got != tt.code {
			t.Errorf("%s: got %v, want %s", name, err, tt.code)
		}
	}
	m.containers = []fleet.Container{&container{volume: v.ID}}
	_, err := r.Import(t.Context(), v.ID, whole, store.Root)
	wantCode(t, err, "E608")
	if got := read(t, r, v, "old"); got != "old" {
		t.Errorf("got %q", got)
	}
	if entries, err := os.ReadDir(r.place(v.ID)); err != nil || len(entries) != 1 {
		t.Errorf("left: %v %v", entries, err)
	}
}

// bigFile is a tar of one file of zeros, without its end.
func bigFile(t *testing.T, size int64) io.Reader {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: "zeros", Typeflag: tar.TypeReg, Size: size}); err != nil {
		t.Fatal(err)
	}
	return io.MultiReader(&b, io.LimitReader(zeros{}, size))
}

func TestFiles_StayInTheVolume(t *testing.T) {
	r, _ := newRoom(t)
	shop := app(t, r, "shop")
	v := volume(t, r, store.Volume{Name: "data", App: "shop", Size: 1 << 20})
	outside := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(outside, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	dir := r.files(v.ID)
	write(t, r, v, "dir/file", "text")
	err := errors.Join(
		os.Symlink(filepath.Dir(outside), filepath.Join(dir, "out")), os.Symlink(outside, filepath.Join(dir, "file")),
		os.Symlink("dir", filepath.Join(dir, "in")), os.Symlink("loop", filepath.Join(dir, "loop")),
		syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600), syscall.Mknod(filepath.Join(dir, "null"), syscall.S_IFCHR|0o600, 1<<8|3),
	)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"": "E616", "/etc/passwd": "E616", "../x": "E616", "dir/../../x": "E616", "a\nb": "E616", "out/secret": "E616", "file": "E616",
		"loop": "E616", strings.Repeat("x", 300): "E616", strings.Repeat("x/", 3000): "E616",
		"none": "E617", "dir/file/x": "E617", "pipe": "E618", "null": "E618", "dir": "E618",
		"dir/file": "", "in/file": "",
	} {
		var out bytes.Buffer
		err := r.Cat(t.Context(), v.ID, name, &out)
		if got := fault.CodeOf(err); got != want || want == "" && out.String() != "text" {
			t.Errorf("cat %.40q: got %v %q, want %s", name, err, out.String(), want)
		}
	}
	for name, want := range map[string]string{
		"../x": "E616", "out/x": "E616", "out/secret": "E616", ".": "E616", "dir": "E618", "pipe": "E618", "dir/file/x": "E617",
		"deep/er/file": "", "in/new": "", "file": "", // in place of the link
	} {
		_, err := r.Put(t.Context(), v.ID, name, strings.NewReader("new"), store.Root)
		if got := fault.CodeOf(err); got != want || want == "" && read(t, r, v, name) != "new" {
			t.Errorf("put %q: got %v, want %s", name, err, want)
		}
	}
	if text, _ := os.ReadFile(outside); string(text) != "secret" {
		t.Errorf("the file outside is %q", text)
	}
	for _, made := range []string{"deep", "deep/er", "deep/er/file", "dir/new"} {
		info, err := os.Lstat(filepath.Join(dir, made))
		if err != nil || info.Sys().(*syscall.Stat_t).Uid != uint32(shop.UID) {
			t.Errorf("%s is not the app's: %v", made, err)
		}
	}
	_, err = r.Put(t.Context(), v.ID, "large", io.LimitReader(zeros{}, 2<<20), store.Root)
	wantCode(t, err, "E610")
	ctx, cancel := context.WithCancel(t.Context())
	_, err = r.Put(ctx, v.ID, "half", io.MultiReader(strings.NewReader("half"), leaving{cancel}), store.Root)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("of who has left: %v", err)
	}
	for _, name := range []string{"large", "half"} {
		if _, err := os.Lstat(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is there", name)
		}
	}
	for name, want := range map[string]string{"../x": "E616", "out/secret": "E616", ".": "E616", "none": "E617", "dir": "E618", "pipe": ""} {
		wantCode(t, r.Remove(t.Context(), v.ID, name, false, store.Root), want)
	}
	wantCode(t, r.Remove(t.Context(), v.ID, "out", false, store.Root), "")
	wantCode(t, r.Remove(t.Context(), v.ID, "dir", true, store.Root), "")
	if entries, err := os.ReadDir(r.place(v.ID)); err != nil || len(entries) != 1 {
		t.Errorf("left: %v %v", entries, err)
	}
	if _, err := os.Stat(outside); err != nil {
		t.Error(err)
	}
}

// leaving ends what it is read for.
type leaving struct{ cancel func() }

func (l leaving) Read([]byte) (int, error) {
	l.cancel()
	return 0, io.EOF
}

func TestList_IsBounded(t *testing.T) {
	r, _ := newRoom(t)
	v := volume(t, r, store.Volume{Name: "data"})
	for n := range mostListed + 5 {
		write(t, r, v, "f"+strings.Repeat("x", n%100)+strings.Repeat("y", n/100), "")
	}
	files, more, err := r.List(t.Context(), v.ID, "")
	if err != nil || !more || len(files) != mostListed {
		t.Errorf("got %d, more is %v: %v", len(files), more, err)
	}
}

func TestDestroy_KeepsTheFiles(t *testing.T) {
	r, m := newRoom(t)
	app(t, r, "shop")
	v := volume(t, r, store.Volume{Name: "data", App: "shop"})
	write(t, r, v, "a", "text")
	mounts := func(list ...store.Mount) {
		t.Helper()
		if err := r.db.Update(func(tx *store.Tx) error { return tx.Volumes.PutMounts("shop", list) }); err != nil {
			t.Fatal(err)
		}
	}
	mounts(store.Mount{Volume: v.ID, Path: "/app/data"})
	_, err := r.Destroy(t.Context(), v.ID, store.Root)
	wantCode(t, err, "E604")
	mounts()
	_, release, err := r.Hold([]fleet.Mount{{Volume: v.ID, Path: "/x"}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.Destroy(t.Context(), v.ID, store.Root)
	wantCode(t, err, "E608")
	release()
	r.patience = 10 * time.Millisecond
	m.containers = []fleet.Container{&container{volume: v.ID, done: make(chan struct{})}} // a one-off of before the unmount
	_, err = r.Destroy(t.Context(), v.ID, store.Root)
	wantCode(t, err, "E608")
	m.containers = nil
	if _, err = r.Destroy(t.Context(), v.ID, store.Root); err != nil {
		t.Fatal(err)
	}
	_ = m
	kept, _ := filepath.Glob(filepath.Join(r.cfg.Dir, trashDir, v.ID+"-*", filesDir, "a"))
	if len(kept) != 1 {
		t.Fatalf("kept: %q", kept)
	}
	for after, want := range map[time.Duration]int{Kept - time.Hour: 1, Kept + time.Hour: 0} {
		if want == 0 {
			continue
		}
		if err := r.Sweep(time.Now().Add(after)); err != nil {
			t.Fatal(err)
		}
		if kept, _ := filepath.Glob(filepath.Join(r.cfg.Dir, trashDir, "*")); len(kept) != want {
			t.Errorf("after %v: %q", after, kept)
		}
	}
	if err := r.Sweep(time.Now().Add(Kept + time.Hour)); err != nil {
		t.Fatal(err)
	}
	if kept, _ := filepath.Glob(filepath.Join(r.cfg.Dir, trashDir, "*")); len(kept) != 0 {
		t.Errorf("in the end: %q", kept)
	}
}

// What a crash can leave, and what the sweep makes of it.
func TestSweep_EndsWhatACrashBrokeOff(t *testing.T) {
	r, _ := newRoom(t)
	v := volume(t, r, store.Volume{Name: "data"})
	swapped := volume(t, r, store.Volume{Name: "swapped"})
	write(t, r, v, "a", "old")
	write(t, r, swapped, "a", "new")
	at := func(parts ...string) string { return filepath.Join(append([]string{r.cfg.Dir}, parts...)...) }
	err := errors.Join(
		os.Rename(r.files(v.ID), at(v.ID, oldDir)), // between the two renames
		os.Mkdir(at(v.ID, "import-1"), 0o700), os.WriteFile(at(v.ID, "import-1", "a"), nil, 0o600),
		os.Mkdir(at(v.ID, "put-1"), 0o700),
		os.Mkdir(at(swapped.ID, oldDir), 0o700), os.WriteFile(at(swapped.ID, oldDir, "a"), []byte("old"), 0o600), // after them
		os.Mkdir(at("young"), 0o700),
		os.Mkdir(at("orphan"), 0o700), os.WriteFile(at("orphan", "a"), []byte("somebody's"), 0o600),
		os.Chtimes(at("orphan"), time.Now().Add(-2*orphanAge), time.Now().Add(-2*orphanAge)),
	)
	if err != nil {
		t.Fatal(err)
	}
	under, done, err := r.begin(swapped.ID, "import-")
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	for range 2 {
		if err := r.Sweep(time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	if got := read(t, r, v, "a"); got != "old" {
		t.Errorf("got %q", got)
	}
	if got := read(t, r, swapped, "a"); got != "new" {
		t.Errorf("got %q", got)
	}
	if _, err := os.Stat(under); err != nil {
		t.Errorf("an import that goes on: %v", err)
	}
	if _, err := os.Stat(at("young")); err != nil {
		t.Errorf("a volume that is being made: %v", err)
	}
	if entries, _ := os.ReadDir(r.place(v.ID)); len(entries) != 1 {
		t.Errorf("left: %v", entries)
	}
	for _, one := range []string{"orphan-*/files/a", swapped.ID + "-*/files/a"} {
		if kept, _ := filepath.Glob(at(trashDir, one)); len(kept) != 1 {
			t.Errorf("%s: %q", one, kept)
		}
	}
	if _, err := os.Stat(at("orphan")); err == nil {
		t.Error("the orphan is still there")
	}
}

func TestGive_MakesTheFilesTheApps(t *testing.T) {
	r, _ := newRoom(t)
	shop, blog := app(t, r, "shop"), app(t, r, "blog")
	v := volume(t, r, store.Volume{Name: "data"})
	write(t, r, v, "dir/a", "text")
	outside := filepath.Join(t.TempDir(), "a")
	if err := errors.Join(os.WriteFile(outside, nil, 0o600), os.Symlink(outside, filepath.Join(r.files(v.ID), "link"))); err != nil {
		t.Fatal(err)
	}
	if err := r.Give(t.Context(), v, shop); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{".", "dir", "dir/a", "link"} {
		info, err := os.Lstat(filepath.Join(r.files(v.ID), name))
		if err != nil || info.Sys().(*syscall.Stat_t).Uid != uint32(shop.UID) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if info, err := os.Stat(outside); err != nil || info.Sys().(*syscall.Stat_t).Uid != 0 {
		t.Errorf("what the link leads to was given too: %v", err)
	}
	v.App = "shop"
	wantCode(t, r.Give(t.Context(), v, blog), "E605")
}

func TestHostPath_LeavesTheSystemAndBerthAlone(t *testing.T) {
	r, _ := newRoom(t)
	dir := t.TempDir()
	link := filepath.Join(dir, "link")
	if err := errors.Join(os.Symlink("/etc", link), os.Mkdir(filepath.Join(dir, "data"), 0o755), os.MkdirAll(r.cfg.Dir, 0o700)); err != nil {
		t.Fatal(err)
	}
	for _, no := range []string{
		"/", "/etc", "/etc/ssl", "/proc/1", "/sys", "/dev", "/run", "/var/run", "/root", "/var", "/var/lib", "/usr/lib", "/home", "relative", "/srv/../etc",
		"/none/such", link, r.cfg.Dir, r.cfg.Own[0], filepath.Dir(r.cfg.Own[0]), filepath.Join(dir, "data") + "/", "/etc/hostname",
	} {
		if _, err := r.HostPath(no); fault.CodeOf(err) != "E614" {
			t.Errorf("%s: %v", no, err)
		}
	}
	if got, err := r.HostPath(filepath.Join(dir, "data")); err != nil || got == "" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestSnapshot_StandsStillAndGoesOn(t *testing.T) {
	r, m := newRoom(t)
	app(t, r, "shop")
	blog := app(t, r, "blog")
	v := volume(t, r, store.Volume{Name: "data", App: "shop", Size: 5 << 20})
	write(t, r, v, "dir/a", "text")
	if err := syscall.Mkfifo(filepath.Join(r.files(v.ID), "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, other := &container{volume: v.ID}, &container{volume: "other"}
	m.containers = []fleet.Container{c, other}
	clone, err := r.CloneVolume(t.Context(), v.ID, "blog", store.Root)
	if err != nil {
		t.Fatal(err)
	}
	if got := read(t, r, clone, "dir/a"); got != "text" || clone.App != "blog" || clone.Size != v.Size {
		t.Errorf("got %q of %+v", got, clone)
	}
	info, err := os.Lstat(filepath.Join(r.files(clone.ID), "dir/a"))
	if err != nil || info.Sys().(*syscall.Stat_t).Uid != uint32(blog.UID) {
		t.Errorf("it is not the clone's: %v", err)
	}
	if c.frozen != 1 || c.thawed != 1 || other.frozen != 0 {
		t.Errorf("frozen %d, thawed %d, another one %d", c.frozen, c.thawed, other.frozen)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.CloneVolume(ctx, v.ID, "blog", store.Root); err == nil || c.thawed != 2 {
		t.Errorf("broken off: %v, thawed %d", err, c.thawed)
	}
	if entries, _ := os.ReadDir(r.cfg.Dir); len(entries) != 2 {
		t.Errorf("left: %v", entries)
	}
}

func TestMeasure_CountsAFileOnce(t *testing.T) {
	r, _ := newRoom(t)
	v := volume(t, r, store.Volume{Name: "data"})
	before, err := Measure(t.Context(), r.files(v.ID), 0)
	if err != nil {
		t.Fatal(err)
	}
	write(t, r, v, "a", strings.Repeat("x", 1<<20))
	if err := os.Link(filepath.Join(r.files(v.ID), "a"), filepath.Join(r.files(v.ID), "b")); err != nil {
		t.Fatal(err)
	}
	after, err := Measure(t.Context(), r.files(v.ID), 0)
	if took := after - before; err != nil || took < 1<<20 || took > 1<<20+64<<10 {
		t.Errorf("it takes %d: %v", took, err)
	}
}

func TestMeasure_EndsWhenItIsEnough(t *testing.T) {
	r, _ := newRoom(t)
	v := volume(t, r, store.Volume{Name: "data"})
	for n := range 100 {
		write(t, r, v, strings.Repeat("x", n+1), "")
	}
	all, err := Measure(t.Context(), r.files(v.ID), 0)
	if err != nil || all < 100*inodeSize {
		t.Errorf("files of nothing take %d: %v", all, err)
	}
	some, err := Measure(t.Context(), r.files(v.ID), 10*inodeSize)
	if err != nil || some <= 10*inodeSize || some > 20*inodeSize {
		t.Errorf("up to what is enough they take %d: %v", some, err)
	}
}

func TestMeasure_ATreeThatIsTooDeepIsOverEveryLimit(t *testing.T) {
	r, _ := newRoom(t)
	v := volume(t, r, store.Volume{Name: "data"})
	root, err := os.OpenRoot(r.files(v.ID))
	if err != nil {
		t.Fatal(err)
	}
	for range deepest + 2 {
		if err := root.Mkdir("d", 0o700); err != nil {
			t.Fatal(err)
		}
		below, err := root.OpenRoot("d")
		root.Close()
		if err != nil {
			t.Fatal(err)
		}
		root = below
	}
	root.Close()
	if used, err := Measure(t.Context(), r.files(v.ID), 0); err != nil || used != math.MaxInt64 {
		t.Errorf("got %d, %v", used, err)
	}
}

func TestJudge(t *testing.T) {
	for _, tt := range []struct {
		v    store.Volume
		used int64
		want verdict
	}{
		{store.Volume{}, 1 << 40, leave},
		{store.Volume{Size: 100}, 100, leave},
		{store.Volume{Size: 100}, 101, shut},
		{store.Volume{Size: 100, Full: true}, 200, leave},
		{store.Volume{Size: 100, Full: true}, 96, leave},
		{store.Volume{Size: 100, Full: true}, 95, reopen},
		{store.Volume{Full: true}, 200, reopen},
	} {
		if got := judge(tt.v, tt.used); got != tt.want {
			t.Errorf("%+v with %d: got %d, want %d", tt.v, tt.used, got, tt.want)
		}
	}
}

// A volume fills, is shut within the interval, and is opened when there is room.
func TestWatchdog_HoldsTheLimit(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	db, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	synctest.Test(t, func(t *testing.T) {
		type restart struct {
			app  string
			stop bool
		}
		var mu sync.Mutex // guards restarts
		var restarts []restart
		done := func() []restart {
			mu.Lock()
			defer mu.Unlock()
			return slices.Clone(restarts)
		}
		r := New(Config{
			Store: db, Dir: filepath.Join(dir, "volumes"), Log: slog.New(slog.DiscardHandler),
			Restart: func(_ context.Context, app string, stop bool) error {
				mu.Lock()
				defer mu.Unlock()
				restarts = append(restarts, restart{app, stop})
				return nil
			},
		})
		app(t, r, "shop")
		v := volume(t, r, store.Volume{Name: "data", App: "shop", Size: 1 << 30})
		idle := volume(t, r, store.Volume{Name: "idle", App: "shop", Size: 1 << 30})
		if err := db.Update(func(tx *store.Tx) error {
			return tx.Volumes.PutMounts("shop", []store.Mount{{Volume: v.ID, Path: "/app/data"}})
		}); err != nil {
			t.Fatal(err)
		}
		var used, measured atomic.Int64
		r.measure = func(_ context.Context, dir string, _ int64) (int64, error) {
			if dir == r.files(idle.ID) {
				return 2 << 30, nil
			}
			measured.Add(1)
			return used.Load(), nil
		}
		writable := func() bool {
			bound, release, err := r.Hold([]fleet.Mount{{Volume: v.ID, Path: "/app/data"}})
			if err != nil {
				t.Fatal(err)
			}
			release()
			return bound[0].Writable
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { r.Run(ctx); close(ended) }()
		time.Sleep(10 * measureEvery)
		if n := measured.Load(); n < 9 || n > 12 || len(done()) != 0 || !writable() {
			t.Errorf("at rest: measured %d times, restarts %v", n, done())
		}
		used.Store(1<<30 + 1)
		time.Sleep(measureEvery + time.Second)
		if len(done()) != 1 || done()[0] != (restart{"shop", true}) || writable() {
			t.Errorf("over the limit: restarts %v", done())
		}
		used.Store(1 << 30) // not far enough below
		time.Sleep(10 * measureEvery)
		if len(done()) != 1 || writable() {
			t.Errorf("at the limit: restarts %v", done())
		}
		used.Store(900 << 20)
		time.Sleep(measureEvery + time.Second)
		if len(done()) != 2 || done()[1] != (restart{"shop", false}) || !writable() {
			t.Errorf("below the limit: restarts %v", done())
		}
		if _, err := r.SetSize(ctx, v.ID, 500<<20, store.Root); err != nil || len(done()) != 3 || writable() {
			t.Errorf("a lower limit: %v, restarts %v", err, done())
		}
		if _, err := r.SetSize(ctx, v.ID, 0, store.Root); err != nil || len(done()) != 4 || !writable() {
			t.Errorf("no limit: %v, restarts %v", err, done())
		}
		cancel()
		<-ended
	})
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{"none": 0, "500m": 500 << 20, "10G": 10 << 30, "1TiB": 1 << 40, "1.5g": 3 << 29} {
		if got, err := ParseSize(text); err != nil || got != want {
			t.Errorf("%s: got %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "0", "10", "-1g", "0m", "9999999999999g", "99999t", "1k", "g"} {
		if _, err := ParseSize(text); fault.CodeOf(err) != "E609" {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// A key that is bound to apps does not fill the disk with what is kept.
func TestDiscard_IsBoundedForBoundKeys(t *testing.T) {
	r, _ := newRoom(t)
	app(t, r, "shop")
	app(t, r, "blog")
	dora := store.User{Name: "dora", Role: store.RoleDeploy, Apps: []string{"shop", "blog"}}
	destroy := func(app string, by store.User) error {
		v := volume(t, r, store.Volume{Name: "data", App: app})
		_, err := r.Destroy(t.Context(), v.ID, by)
		if err != nil {
			_, again := r.Destroy(t.Context(), v.ID, store.Root)
			if again != nil {
				t.Error(again)
			}
		}
		return err
	}
	for range mostDiscarded {
		if err := destroy("shop", dora); err != nil {
			t.Fatal(err)
		}
	}
	wantCode(t, destroy("shop", dora), "E603")
	wantCode(t, destroy("shop", store.Root), "")
	wantCode(t, destroy("blog", dora), "")
	v := volume(t, r, store.Volume{Name: "data", App: "shop"})
	_, err := r.Import(t.Context(), v.ID, archive(t), dora)
	wantCode(t, err, "E603")
	if err := r.Sweep(time.Now().Add(Kept + time.Hour)); err != nil {
		t.Fatal(err)
	}
	wantCode(t, destroy("blog", dora), "")
}

// Where the filesystem can, a snapshot shares the blocks of the files.
func TestSnapshot_SharesBlocks(t *testing.T) {
	r, _ := newRoom(t)
	app(t, r, "shop")
	if _, err := exec.LookPath("mkfs.btrfs"); err != nil {
		t.Log("NOT TRIED: files that share blocks: there is no mkfs.btrfs (Debian: btrfs-progs)")
		return
	}
	image := filepath.Join(t.TempDir(), "image")
	if err := os.MkdirAll(r.cfg.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"truncate", "-s", "256M", image}, {"mkfs.btrfs", "-q", image}, {"mount", "-o", "loop", image, r.cfg.Dir},
	} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Logf("NOT TRIED: files that share blocks: %s: %v: %s", args[0], err, out)
			return
		}
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", r.cfg.Dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	v := volume(t, r, store.Volume{Name: "data", App: "shop"})
	text := strings.Repeat("0123456789abcdef", 4<<20) // 64 MB, more than half of what is free
	write(t, r, v, "large", text+text)
	before := free(t, r.cfg.Dir)
	clone := volume(t, r, store.Volume{Name: "clone", App: "shop"})
	if err := r.Snapshot(t.Context(), v.ID, r.files(clone.ID)); err != nil {
		t.Fatal(err)
	}
	if took := before - free(t, r.cfg.Dir); took > 8<<20 {
		t.Errorf("the copy of %d bytes takes %d", 2*len(text), took)
	}
	if read(t, r, clone, "large") != text+text {
		t.Error("the copy is another one")
	}
}

func free(t *testing.T, dir string) int64 {
	t.Helper()
	unix.Sync()
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	return int64(st.Bavail) * st.Bsize
}

// An app that was just stopped is waited for, and one that runs is not.
func TestImport_WaitsForWhatStops(t *testing.T) {
	r, m := newRoom(t)
	shop := app(t, r, "shop")
	v := volume(t, r, store.Volume{Name: "data", App: "shop"})
	c := &container{volume: v.ID, done: make(chan struct{})}
	m.containers = []fleet.Container{c}
	stop := func(stopped bool) {
		t.Helper()
		shop.Stopped = stopped
		err := r.db.Update(func(tx *store.Tx) error {
			return errors.Join(tx.PutApp(shop), tx.Volumes.PutMounts("shop", []store.Mount{{Volume: v.ID, Path: "/app/data"}}))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	r.patience = time.Hour
	stop(false)
	_, err := r.Import(t.Context(), v.ID, archive(t), store.Root)
	wantCode(t, err, "E608")
	stop(true)
	time.AfterFunc(20*time.Millisecond, func() { close(c.done) })
	_, err = r.Import(t.Context(), v.ID, archive(t), store.Root)
	wantCode(t, err, "")
	c.done, r.patience = make(chan struct{}), 10*time.Millisecond
	_, err = r.Import(t.Context(), v.ID, archive(t), store.Root)
	wantCode(t, err, "E608")
}

// A volume passes through, and is not held in memory.
func TestImportAndExport_TakeNoMemory(t *testing.T) {
	r, _ := newRoom(t)
	v := volume(t, r, store.Volume{Name: "data"})
	const size = 64 << 20
	var end bytes.Buffer
	if err := tar.NewWriter(&end).Close(); err != nil {
		t.Fatal(err)
	}
	allocated := func(what string, do func() error) {
		t.Helper()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if err := do(); err != nil {
			t.Error(err)
		}
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; took > 4<<20 {
			t.Errorf("the %s of %d bytes allocates %d", what, size, took)
		}
	}
	allocated("import", func() error {
		_, err := r.Import(t.Context(), v.ID, io.MultiReader(bigFile(t, size), &end), store.Root)
		return err
	})
	allocated("export", func() error { return r.Export(t.Context(), v.ID, io.Discard) })
	if info, err := os.Stat(filepath.Join(r.files(v.ID), "zeros")); err != nil || info.Size() != size {
		t.Error(err)
	}
}
