package build

import (
	"bytes"
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
func fillCache(t *testing.T, d *Builder, record store.App, cache string, size int) {
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

func TestOutgrown_SaysWhatWasWrittenAndDropsTheCacheThatWas(t *testing.T) {
	d := newBuilder(t)
	record := shop(t, d)
	for _, name := range []string{"uv", "npm"} {
		fillCache(t, d, record, name, 1000)
	}
	layer := plan.Layer{Name: "dependencies", Caches: []plan.Cache{{Name: "uv", Target: "/cache/uv"}, {Name: "npm", Target: "/cache/npm"}}}
	err := d.outgrown(layer, record, &runtime.DiskError{Written: 11 << 30, Budget: 10 << 30, Uses: []runtime.DiskUse{{Place: "/cache/uv", Bytes: 10 << 30}, {Place: "/app", Bytes: 1 << 30}, {Place: "/cache/npm"}}})
	var text bytes.Buffer
	progress.New(&text).Fail(err, nil, "")
	want := `
error: the build was stopped at dependencies: it wrote 11 GiB, the limit
       is 10 GiB [E242]
          10 GiB written to /cache/uv
           1 GiB written to /app
hint:  the files that the build wrote are removed
`
	if text.String() != want {
		t.Errorf("got\n%swant\n%s", &text, want)
	}
	all, err := d.caches(t.Context(), record)
	if err != nil || len(all.Caches) != 1 || all.Caches[0].Name != "npm" {
		t.Errorf("caches: got %+v, %v; want npm alone", all, err)
	}
}
