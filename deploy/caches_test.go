package deploy

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/berthd/berth/store"
)

func TestClearCaches_RemovesTheAppsOwn(t *testing.T) {
	d := newDeployer(t)
	record, a := shop(t, d)
	var other store.App
	update(t, d, func(tx *store.Tx) (err error) { other, err = tx.CreateApp(store.App{Name: "blog"}); return err })
	if all, err := d.build.Caches(t.Context(), "shop"); err != nil || all.Bytes != 0 || all.Caches == nil {
		t.Errorf("without any: got %+v, %v", all, err)
	}
	fillCache(t, d, record, "npm", 100_000)
	fillCache(t, d, record, "uv", 300_000)
	fillCache(t, d, other, "uv", 100_000)
	all, err := d.build.Caches(t.Context(), "shop")
	if err != nil || len(all.Caches) != 2 || all.Caches[0].Name != "uv" || all.Bytes < 400_000 || all.Bytes > 500_000 {
		t.Errorf("got %+v, %v", all, err)
	}

	// A build goes on: it keeps its caches until it has ended.
	leave, err := a.builds.enter(t.Context(), &ticket{what: "the push of 4f1c9ab by alice"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	told := make(writes, 1)
	done := make(chan error, 1)
	go func() {
		_, err := d.build.ClearCaches(t.Context(), "shop", store.User{Name: "bob"}, told)
		done <- err
	}()
	if text := <-told; text != "-----> waiting for the push of 4f1c9ab by alice\n" {
		t.Errorf("who waits is told %q", text)
	}
	if now, _ := d.build.Caches(t.Context(), "shop"); now.Bytes != all.Bytes {
		t.Error("a cache was removed under a build")
	}
	leave()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if now, err := d.build.Caches(t.Context(), "shop"); err != nil || now.Bytes != 0 {
		t.Errorf("after it: got %+v, %v", now, err)
	}
	if now, err := d.build.Caches(t.Context(), "blog"); err != nil || now.Bytes == 0 {
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
	if _, err := os.Stat(filepath.Join(d.cfg.Caches, strconv.Itoa(record.UID))); !os.IsNotExist(err) {
		t.Errorf("got %v, want nothing there", err)
	}
}

// fillCache writes a file into a cache of the app.
func fillCache(t *testing.T, d *Deployer, record store.App, cache string, size int) {
	t.Helper()
	dir := filepath.Join(d.cfg.Caches, strconv.Itoa(record.UID), cache, "deep")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), bytes.Repeat([]byte("x"), size), 0o600); err != nil {
		t.Fatal(err)
	}
}
