package build

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/berthd/berth/buildpacks/plan"
	"github.com/berthd/berth/git"
	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/storetest"
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
	read := 0
	kept, err := Keep(store.App{Release: 6}, func(yield func(store.Release, error) bool) {
		for _, r := range releases {
			if read++; !yield(r, nil) {
				return
			}
		}
	}, 5)
	if err != nil || read != 8 {
		t.Errorf("read %d releases, %v; want 8: what is older is not needed", read, err)
	}
	for _, r := range kept {
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

// What a rollout reads of the releases of all apps is what can be rolled back
// to, whatever there has been.
func TestReferred_ReadsNoMoreOfTenThousandReleasesThanOfTen(t *testing.T) {
	read := func(releases int) (allocs float64, wanted map[string]bool) {
		d := newBuilder(t)
		storetest.History(t, d.db, releases)
		allocs = testing.AllocsPerRun(5, func() {
			wanted = map[string]bool{}
			if err := d.db.View(func(tx *store.Tx) error { return referred(tx, 5, wanted) }); err != nil {
				t.Fatal(err)
			}
		})
		return allocs, wanted
	}
	few, _ := read(10)
	many, wanted := read(10_000)
	if many > 1.5*few {
		t.Errorf("%.0f allocations for 10,000 releases, %.0f for 10", many, few)
	}
	for _, key := range []string{"layer 10000", "layer 9999", "layer 9993"} {
		if !wanted[key] {
			t.Errorf("%s may go, and was live or can be rolled back to", key)
		}
	}
}

func BenchmarkReferred(b *testing.B) {
	for _, releases := range []int{10, 10_000} {
		b.Run(fmt.Sprint(releases), func(b *testing.B) {
			d := newBuilder(b)
			storetest.History(b, d.db, releases)
			for b.Loop() {
				if err := d.db.View(func(tx *store.Tx) error { return referred(tx, 5, map[string]bool{}) }); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// What a build has finished before it failed, or was cut off, is there for the
// next push, whatever other apps roll out meanwhile.
func TestUnfinished_KeepsTheLayersOfTheLastBuildAlone(t *testing.T) {
	d := newBuilder(t)
	record := shop(t, d)
	wanted := func() map[string]bool {
		keys := map[string]bool{}
		if err := d.db.View(func(tx *store.Tx) error { return unfinished(tx, keys) }); err != nil {
			t.Fatal(err)
		}
		return keys
	}
	made := &plan.Plan{Layers: []plan.Layer{{Key: "toolchain", Root: true}, {Key: "dependencies"}, {Key: "output"}}}
	end := func(build store.Build) { update(t, d, func(tx *store.Tx) error { return tx.Builds.Put(build) }) }
	build := begin(t, d, record.Name)
	err := d.noteLayers(&build, made)
	if got := wanted(); err != nil || len(got) != 2 || !got["dependencies"] || !got["output"] {
		t.Errorf("while it runs: got %v, %v", got, err)
	}
	build.Status = store.BuildFailed
	end(build)
	if got := wanted(); len(got) != 2 {
		t.Errorf("after it failed: got %v", got)
	}
	next := begin(t, d, record.Name)
	if got := wanted(); len(got) != 2 {
		t.Errorf("while the next finds out what it wants: got %v", got)
	}
	next.Status, next.Layers = store.BuildSucceeded, nil
	end(next)
	if got := wanted(); len(got) != 0 {
		t.Errorf("after one that succeeded: got %v", got)
	}
}

// begin records a build that starts now.
func begin(t *testing.T, b *Builder, app string) (build store.Build) {
	t.Helper()
	update(t, b, func(tx *store.Tx) (err error) {
		_, build, err = Begin(tx, app, "main", "alice", git.Commit{})
		return err
	})
	return build
}
