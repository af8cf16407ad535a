package deploy

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store"
)

func TestKeep_LiveAndTheLastThatServed(t *testing.T) {
	status := []store.ReleaseStatus{ // of v9, v8, … v1
		store.ReleasePending, store.ReleaseFailed, store.ReleaseRetired, store.ReleaseLive,
		store.ReleaseRetired, store.ReleaseFailed, store.ReleaseRetired, store.ReleaseRetired, store.ReleaseRetired,
	}
	var releases []store.Release
	for n, s := range status {
		releases = append(releases, store.Release{Number: 9 - n, Status: s})
	}
	var got []int
	for _, r := range keep(store.App{Release: 6}, releases, 5) {
		got = append(got, r.Number)
	}
	if want := []int{9, 7, 6, 5, 3, 2}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestDoomed_KeepsWhatIsStoodOnBuiltWithOrUsedLately(t *testing.T) {
	now := time.Now()
	long, lately := now.Add(-40*24*time.Hour), now.Add(-24*time.Hour)
	age := 0
	layer := func(key, parent, builder string, used time.Time, own bool) runtime.Layer {
		age++
		l := runtime.Layer{Key: key, Parent: parent, Builder: builder, LastUsed: used, Created: long.Add(time.Duration(age) * time.Second), Labels: map[string]string{}}
		if own {
			l.Labels[labelApp] = "70000"
		}
		return l
	}
	layers := []runtime.Layer{
		layer("stack", "", "", long, false),
		layer("python", "stack", "", long, false),
		layer("tools", "python", "", long, false),
		layer("dependencies", "python", "tools", long, true),
		layer("source", "dependencies", "", long, true),
		layer("old source", "dependencies", "", lately, true),
		layer("node", "stack", "", long, false), // nothing of it is kept
		layer("node tools", "node", "", long, false),
		layer("old dependencies", "node", "node tools", lately, true),
		layer("java", "stack", "", lately, false),
		layer("old stack", "", "", long, false),
	}
	var got []string
	for _, l := range doomed(layers, map[string]bool{"source": true}, now.Add(-keptUnused)) {
		got = append(got, l.Key)
	}
	if want := []string{"old stack", "old dependencies", "node tools", "node", "old source"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestPins_ALayerThatIsReliedOnIsNotRemoved(t *testing.T) {
	var p pins
	removed := 0
	remove := func() error { removed++; return nil }
	one, two := p.pin("a", "b"), p.pin("a")
	one()
	one() // does no more than once
	p.unlessPinned("a", remove)
	if removed != 0 {
		t.Error("a layer was removed that somebody relies on")
	}
	two()
	p.unlessPinned("a", remove)
	if removed != 1 || len(p.all()) != 0 {
		t.Errorf("removed %d, pinned %v; want 1 and none", removed, p.all())
	}
}

func TestTrimLogs_KeepsTheNewestOfASource(t *testing.T) {
	d := newDeployer(t)
	dir := d.releaseLogs("shop", 3)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	write := func(name string, age int) {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		at := time.Now().Add(-time.Duration(age) * time.Hour)
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	for n := range 4 {
		write(fmt.Sprintf("web.1.c%d.log", n), n)
	}
	write("web.1.c1.log.1", 50)
	write("web.1.c3.log.1", 60)
	write("web.10.c0.log", 70)
	d.trimLogs("shop", 3, "web.1", 2)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if want := []string{"web.1.c0.log", "web.1.c1.log", "web.1.c1.log.1", "web.10.c0.log"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestCollectLogs_TakesReleasesAndBuildsThatAreForgotten(t *testing.T) {
	d := newDeployer(t)
	for _, dir := range []string{"v8", "v9", "v10", "builds"} {
		if err := os.MkdirAll(filepath.Join(d.cfg.Logs, "shop", dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, build := range []string{"19.log", "20.log"} {
		if err := os.WriteFile(filepath.Join(d.cfg.Logs, "shop", "builds", build), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d.collectLogs("shop", 9, 20)
	got, err := filepath.Glob(filepath.Join(d.cfg.Logs, "shop", "*", "*"))
	if err != nil || len(got) != 1 || filepath.Base(got[0]) != "20.log" {
		t.Errorf("builds: got %v, %v; want 20.log", got, err)
	}
	got, err = filepath.Glob(filepath.Join(d.cfg.Logs, "shop", "v*"))
	if err != nil || len(got) != 2 {
		t.Errorf("releases: got %v, %v; want v9 and v10", got, err)
	}
}
