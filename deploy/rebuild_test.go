package deploy

import (
	"io"
	"testing"

	"github.com/berthd/berth/git"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

func TestLock_KeepsDeploysAway(t *testing.T) {
	d := newDeployer(t)
	record, _ := shop(t, d)
	record.Locked = &store.Lock{By: "alice"}
	update(t, d, func(tx *store.Tx) error { return tx.PutApp(record) })
	if got := fault.CodeOf(d.FromImage(t.Context(), "shop", "r.test/a:1", store.Root, io.Discard)); got != code.AppLocked {
		t.Errorf("an image: got %q, want %s", got, code.AppLocked)
	}
	p := Push{App: "shop", By: store.Root, Out: io.Discard, direct: true}
	err := d.attempt(t.Context(), p, git.Commit{ID: "abcdef0"}, ticket{what: "a push"}, nil)
	if got := fault.CodeOf(err); got != code.AppLocked {
		t.Errorf("a push: got %q, want %s", got, code.AppLocked)
	}
	err = d.db.View(func(tx *store.Tx) error {
		app, err := tx.App("shop")
		if app.LastBuild != 0 || app.Locked == nil {
			t.Errorf("a build was begun: %+v", app)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestRebuild_OfWhatCannotBe(t *testing.T) {
	d := newDeployer(t)
	r := Rebuilds{Deployer: d}
	if got := fault.CodeOf(r.Rebuild(t.Context(), "none", store.Root, io.Discard)); got != code.AppUnknown {
		t.Errorf("no app: got %q", got)
	}
	update(t, d, func(tx *store.Tx) error { _, err := tx.CreateApp(store.App{Name: "empty"}); return err })
	if got := fault.CodeOf(r.Rebuild(t.Context(), "empty", store.Root, io.Discard)); got != code.AppNotDeployed {
		t.Errorf("nothing live: got %q", got)
	}
	_, a := shop(t, d) // its release names a commit that the repository has not
	if got := fault.CodeOf(r.Rebuild(t.Context(), "shop", store.Root, io.Discard)); got != code.ReleaseNotKept {
		t.Errorf("a commit that is gone: got %q", got)
	}
	if leave, free := a.builds.try(&ticket{what: "a look"}); !free {
		t.Error("a rebuild that came to nothing holds the app's builds")
	} else {
		leave()
	}
}

func TestPlanFormation_CountsLater(t *testing.T) {
	d := newDeployer(t)
	record, _ := shop(t, d)
	plan := func(formation map[string]int) error {
		return d.db.Update(func(tx *store.Tx) error { return PlanFormation(tx, "shop", formation, store.Root) })
	}
	if got := fault.CodeOf(plan(map[string]int{"web": 101})); got != code.ScaleInvalid {
		t.Errorf("too many: got %q", got)
	}
	if got := fault.CodeOf(plan(map[string]int{"worker": 1})); got != code.ProcessUnknown {
		t.Errorf("a type that the release has not: got %q", got)
	}
	update(t, d, func(tx *store.Tx) error {
		return tx.PutRelease(store.Release{App: "shop", Number: record.Release, Status: store.ReleaseLive, Config: map[string]string{}, Processes: []store.Process{{Type: "web"}}})
	})
	if err := plan(map[string]int{"web": 3}); err != nil {
		t.Fatal(err)
	}
	err := d.db.View(func(tx *store.Tx) error {
		app, err := tx.App("shop")
		if app.Formation["web"] != 3 {
			t.Errorf("got %v", app.Formation)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
