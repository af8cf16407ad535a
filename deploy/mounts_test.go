package deploy

import (
	"io"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berthd/berth/buildpacks/plan"
	"github.com/berthd/berth/fleet"
	"github.com/berthd/berth/fleet/fleettest"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
)

// needRoot skips on a laptop: the files of volumes are given to users.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
}

// withVolume is a deployer with an app of one web instance, and a volume.
func withVolume(t *testing.T, m *fleettest.Machine) (*Deployer, *fleettest.Life, store.Volume) {
	t.Helper()
	d := newDeployer(t)
	record := machineApp(t, d, "shop", store.StartFirst)
	record.Formation = map[string]int{"web": 1, "worker": 0}
	update(t, d, func(tx *store.Tx) error { return tx.PutApp(record) })
	now, l := another(t, d, m)
	v, err := now.volumes.Create(t.Context(), store.Volume{Name: "data"}, store.Root)
	if err != nil {
		t.Fatal(err)
	}
	if err := now.boot(now.life); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Minute)
	return now, l, v
}

// mounted says what the instances that run of an app have mounted, and what the
// store says of it.
func mounted(t *testing.T, d *Deployer, m *fleettest.Machine) (boxes [][]fleet.Mount, live, next []store.Mount) {
	t.Helper()
	for _, b := range m.Boxes() {
		if b.Runs() {
			boxes = append(boxes, b.Spec.Mounts)
		}
	}
	err := d.db.View(func(tx *store.Tx) error {
		app, err := tx.App("shop")
		if err != nil {
			return err
		}
		release, err := tx.Release("shop", app.Release)
		if err != nil {
			return err
		}
		live = release.Mounts
		next, err = tx.Volumes.Mounts("shop")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return boxes, live, next
}

// A mount is recorded, rolled out and swapped; the store and the machine say the
// same after a crash at any step of it.
func TestMount_EveryMomentCanBeTheCrash(t *testing.T) {
	needRoot(t)
	tried := 0
	steps := mountCrash(t, fleettest.Trap{})
	seen := map[string]int{}
	for n, step := range steps {
		if seen[step]++; seen[step] > 2 {
			continue
		}
		mountCrash(t, fleettest.Trap{End: n + 1, After: n%2 == 0})
		tried++
	}
	t.Logf("crashes at %d of %d steps", tried, len(steps))
}

func mountCrash(t *testing.T, trap fleettest.Trap) (steps []string) {
	synctest.Test(t, func(t *testing.T) {
		m := new(fleettest.Machine)
		now, l, v := withVolume(t, m)
		next, l2, taken := crashDuring(t, now, l, m, trap, func(d *Deployer, l *fleettest.Life) error {
			_, err := d.Mounts.Mount(l.Context, "shop", store.Mount{Volume: v.ID, Path: "/app/data"}, false, store.Root, io.Discard)
			return err
		})
		steps = taken
		boxes, live, mounts := mounted(t, next, m)
		if len(boxes) != 1 || len(boxes[0]) != len(live) || !slices.Equal(live, mounts) || trap.End == 0 && len(live) != 1 {
			t.Errorf("after a crash at step %d, %s: what runs has %v, the release %v, the app %v", trap.End, l.Sprung(), boxes, live, mounts)
		}
		over(next, l2)
		m.Reboot()
	})
	return steps
}

func TestMount_IsForOneWriterUnlessItSaysOtherwise(t *testing.T) {
	needRoot(t)
	synctest.Test(t, func(t *testing.T) {
		m := new(fleettest.Machine)
		d, l, v := withVolume(t, m)
		ctx := t.Context()
		var most atomic.Int64 // instances that run with the volume at once
		m.SetProgram(func(spec fleet.Spec, cmd fleet.Command) fleettest.Program {
			n := int64(0)
			for _, b := range m.Boxes() {
				if b.Runs() && len(b.Spec.Mounts) > 0 {
					n++
				}
			}
			if len(spec.Mounts) > 0 {
				most.Store(max(most.Load(), n+1))
			}
			return fleettest.Program{}
		})
		mount := func(app string, mount store.Mount) string {
			_, err := d.Mounts.Mount(ctx, app, mount, false, store.Root, io.Discard)
			return fault.CodeOf(err)
		}
		scale := func(n int) string {
			return fault.CodeOf(d.Scale(ctx, "shop", map[string]int{"web": n}, store.Root, io.Discard))
		}
		one := store.Mount{Volume: v.ID, Path: "/app/data"}
		if got := scale(2); got != "" {
			t.Fatal(got)
		}
		if got := mount("shop", one); got != "E615" {
			t.Errorf("with two instances: %q", got)
		}
		if boxes, live, mounts := mounted(t, d, m); len(boxes) != 2 || len(live)+len(mounts) != 0 {
			t.Errorf("what was refused is kept: %v %v %v", boxes, live, mounts)
		}
		if got := scale(1); got != "" {
			t.Fatal(got)
		}
		if got := mount("shop", one); got != "" {
			t.Fatal(got)
		}
		if got := scale(2); got != "E615" {
			t.Errorf("a second instance: %q", got)
		}
		most.Store(0)
		if _, err := d.SetConfig(ctx, "shop", map[string]string{"COLOR": "blue"}, nil, false, store.Root, io.Discard); err != nil {
			t.Fatal(err)
		}
		if err := d.Restart(ctx, "shop", "", store.Root, io.Discard); err != nil {
			t.Fatal(err)
		}
		if n := most.Load(); n != 1 {
			t.Errorf("%d instances ran with it at once", n)
		}
		for path, want := range map[string]string{
			"/app": "E611", "/": "E611", "/proc/x": "E611", "app/x": "E611", "/app/../etc": "E611", "/app/x:y": "E611", "/etc/passwd": "E611",
			"/app/data/in": "E611", "/app/other": "E612", "/run/berth": "E611", "/app/a\nb": "E611",
		} {
			if got := mount("shop", store.Mount{Volume: v.ID, Path: path}); got != want && !(path == "/app/data/in" && got == "E612") {
				t.Errorf("at %q: got %q, want %s", path, got, want)
			}
		}
		many := one
		many.Access = store.AccessMany
		if got := mount("shop", many); got != "" {
			t.Fatal(got)
		}
		if got := scale(2); got != "" {
			t.Errorf("as many as run: %q", got)
		}
		if boxes, live, _ := mounted(t, d, m); len(boxes) != 2 || len(boxes[0]) != 1 || len(live) != 1 || live[0].Access != store.AccessMany {
			t.Errorf("%v %v", boxes, live)
		}
		web := one
		web.Process = "worker"
		if got := mount("shop", web); got != "" {
			t.Errorf("for one type of which none runs: %q", got)
		}
		if boxes, _, _ := mounted(t, d, m); len(boxes) != 2 || len(boxes[0]) != 0 {
			t.Errorf("%v", boxes)
		}

		// It is shop's now, and nobody else's.
		update(t, d, func(tx *store.Tx) error { _, err := tx.CreateApp(store.App{Name: "blog"}); return err })
		if got := mount("blog", one); got != "E605" {
			t.Errorf("of another app: %q", got)
		}
		if _, err := d.Mounts.Unmount(ctx, "blog", "data", "", false, store.Root, io.Discard); fault.CodeOf(err) != "E613" {
			t.Errorf("unmounted from another app: %v", err)
		}
		if _, err := d.Mounts.Unmount(ctx, "shop", "data", "/app/other", false, store.Root, io.Discard); fault.CodeOf(err) != "E613" {
			t.Errorf("unmounted from another place: %v", err)
		}
		if _, err := d.Mounts.Unmount(ctx, "shop", "data", "", false, store.Root, io.Discard); err != nil {
			t.Error(err)
		}
		if boxes, live, mounts := mounted(t, d, m); len(boxes[0])+len(live)+len(mounts) != 0 {
			t.Errorf("unmounted: %v %v %v", boxes, live, mounts)
		}
		over(d, l)
		m.Reboot()
	})
}

func TestUnkept_NamesTheCommands(t *testing.T) {
	keep := []plan.Keep{{What: "store.py keeps data in SQLite", Dir: "/app/data", Guess: true}}
	image := store.Release{App: "shop", Image: &store.Image{Volumes: []string{"/var/lib/x", "/proc", "/"}}}
	for name, tt := range map[string]struct {
		release store.Release
		keeps   []plan.Keep
		want    string // in the last line
	}{
		"SQLite":                 {store.Release{App: "shop"}, keep, "storage:mount shop data --container-dir /app/data"},
		"SQLite and some volume": {store.Release{App: "shop", Mounts: []store.Mount{{Path: "/app/db"}}}, keep, ""},
		"VOLUME":                 {image, nil, "storage:mount shop x --container-dir /var/lib/x"},
		"VOLUME that is mounted": {store.Release{App: "shop", Image: image.Image, Mounts: []store.Mount{{Path: "/var/lib/x"}}}, nil, ""},
		"nothing":                {store.Release{App: "shop"}, nil, ""},
	} {
		got := unkept("ssh berth@host", tt.release, tt.keeps)
		if tt.want == "" && len(got) > 0 || tt.want != "" && (len(got) != 1 || !strings.HasSuffix(got[0][len(got[0])-1], tt.want)) {
			t.Errorf("%s: got %q, want %q", name, got, tt.want)
		}
	}
}
