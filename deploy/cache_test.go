package deploy

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/berthd/berth/build/progress"

	"github.com/berthd/berth/buildpacks/plan"
	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store"
)

// fillCache writes a file into a cache of the app.
func fillCache(t *testing.T, d *Deployer, record store.App, cache string, size int) {
	t.Helper()
	dir := filepath.Join(d.cacheDir(record), cache, "deep")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), bytes.Repeat([]byte("x"), size), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestSurplus_TheOneUsedLongestAgoGoesFirst(t *testing.T) {
	day := func(n int) time.Time { return time.Date(2026, 1, n, 0, 0, 0, 0, time.UTC) }
	all := Caches{Bytes: 60, Caches: []Cache{{"npm", 30, day(2)}, {"uv", 20, day(3)}, {"go", 10, day(1)}}}
	for limit, want := range map[int64]string{60: "", 55: "go", 49: "go npm", 20: "go npm", 19: "go npm uv"} {
		var got []string
		for _, c := range surplus(all, limit) {
			got = append(got, c.Name)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("with a limit of %d: got %v, want %s", limit, got, want)
		}
	}
}

func TestClearCaches_RemovesTheAppsOwn(t *testing.T) {
	d := newDeployer(t)
	record, a := shop(t, d)
	var other store.App
	update(t, d, func(tx *store.Tx) (err error) { other, err = tx.CreateApp(store.App{Name: "blog"}); return err })
	if all, err := d.Caches(t.Context(), "shop"); err != nil || all.Bytes != 0 || all.Caches == nil {
		t.Errorf("without any: got %+v, %v", all, err)
	}
	fillCache(t, d, record, "npm", 100_000)
	fillCache(t, d, record, "uv", 300_000)
	fillCache(t, d, other, "uv", 100_000)
	all, err := d.Caches(t.Context(), "shop")
	if err != nil || len(all.Caches) != 2 || all.Caches[0].Name != "uv" || all.Bytes < 400_000 || all.Bytes > 500_000 {
		t.Errorf("got %+v, %v", all, err)
	}

	// A build goes on: it keeps its caches until it has ended.
	leave, err := a.builds.enter(t.Context(), ticket{what: "the push of 4f1c9ab by alice"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	told := make(writes, 1)
	done := make(chan error, 1)
	go func() {
		_, err := d.ClearCaches(t.Context(), "shop", store.User{Name: "bob"}, told)
		done <- err
	}()
	if text := <-told; text != "-----> waiting for the push of 4f1c9ab by alice\n" {
		t.Errorf("who waits is told %q", text)
	}
	if now, _ := d.Caches(t.Context(), "shop"); now.Bytes != all.Bytes {
		t.Error("a cache was removed under a build")
	}
	leave()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if now, err := d.Caches(t.Context(), "shop"); err != nil || now.Bytes != 0 {
		t.Errorf("after it: got %+v, %v", now, err)
	}
	if now, err := d.Caches(t.Context(), "blog"); err != nil || now.Bytes == 0 {
		t.Errorf("another app's: got %+v, %v", now, err)
	}
}

// writes is a writer whose reader gets each write.
type writes chan string

func (w writes) Write(p []byte) (int, error) { w <- string(p); return len(p), nil }

func TestDestroyApp_TakesItsCachesAlong(t *testing.T) {
	d := newDeployer(t)
	record, _ := shop(t, d)
	fillCache(t, d, record, "uv", 1000)
	if err := d.DestroyApp(t.Context(), "shop", store.User{Name: "alice"}, io.Discard); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(d.cacheDir(record)); !os.IsNotExist(err) {
		t.Errorf("got %v, want nothing there", err)
	}
}

func TestOutgrown_SaysWhatWasWrittenAndDropsTheCacheThatWas(t *testing.T) {
	d := newDeployer(t)
	record, _ := shop(t, d)
	for _, name := range []string{"uv", "npm"} {
		fillCache(t, d, record, name, 1000)
	}
	layer := plan.Layer{Name: "dependencies", Caches: []plan.Cache{{Name: "uv", Target: "/cache/uv"}, {Name: "npm", Target: "/cache/npm"}}}
	err := d.outgrown(layer, record, &runtime.DiskError{Written: 11 << 30, Budget: 10 << 30, Uses: []runtime.DiskUse{{Place: "/cache/uv", Bytes: 10 << 30}, {Place: "/app", Bytes: 1 << 30}, {Place: "/cache/npm"}}})
	var text bytes.Buffer
	progress.New(&text).Fail(err, d.refer, "")
	want := `
error: the build was stopped at dependencies: it wrote 11.0 GiB, and may
       write 10.0 GiB [E242]
        10.0 GiB written to /cache/uv
         1.0 GiB written to /app
hint:  what the build wrote is removed
`
	if text.String() != want {
		t.Errorf("got\n%swant\n%s", &text, want)
	}
	all, err := d.caches(t.Context(), record)
	if err != nil || len(all.Caches) != 1 || all.Caches[0].Name != "npm" {
		t.Errorf("caches: got %+v, %v; want npm alone", all, err)
	}
}
