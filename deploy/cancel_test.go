package deploy

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
)

func TestCancelBuild_NothingIsBuilt(t *testing.T) {
	d := newDeployer(t)
	shop(t, d)
	update(t, d, func(tx *store.Tx) error {
		return tx.Builds.Put(store.Build{App: "shop", Number: 3, Status: store.BuildSucceeded})
	})
	for number, want := range map[int]string{0: "has no running build", 3: "build 3 of shop has ended: it succeeded", 4: "no build 4"} {
		_, err := d.CancelBuild(t.Context(), "shop", number, store.User{Name: "bob"})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("build %d: got %v, want %q", number, err, want)
		}
	}
}

func TestCancelBuild_APushThatWaitsIsSentAwayAndRemembered(t *testing.T) {
	d := newDeployer(t)
	_, a := shop(t, d)
	push := emptyCommit(t, d, "shop")
	var out bytes.Buffer
	push.Out = &out
	leave, err := a.builds.enter(t.Context(), &ticket{what: "the deploy of an image by carol"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	pushed := make(chan error, 1)
	go func() { pushed <- d.Push(t.Context(), push) }()
	for waiting := ""; waiting == ""; {
		_, waiting = a.builds.state()
	}
	if _, err := d.CancelBuild(t.Context(), "shop", 0, store.User{Name: "bob"}); err != nil {
		t.Fatal(err)
	}
	if err := <-pushed; !errors.Is(err, ErrReported) {
		t.Errorf("the push ended with %v", err)
	}
	if want := "error: the push was cancelled by bob [E403]\n"; !strings.Contains(out.String(), want) {
		t.Errorf("the pusher was told %q, want %q in it", &out, want)
	}
	leave()
	err = d.db.View(func(tx *store.Tx) error {
		build, err := tx.Builds.Get("shop", 1)
		if err == nil && (build.Status != store.BuildCancelled || build.FinishedAt.IsZero() || build.By != "alice") {
			t.Errorf("the record is %+v, want a cancelled build", build)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestCancelBuild_TheOneUnderWay(t *testing.T) {
	d := newDeployer(t)
	_, a := shop(t, d)
	update(t, d, func(tx *store.Tx) error {
		return tx.Builds.Put(store.Build{App: "shop", Number: 5, Status: store.BuildRunning})
	})
	ctx, end := a.begin(t.Context(), 5)
	go func() { // what Push does of it
		<-ctx.Done()
		d.endBuild(store.Build{App: "shop", Number: 5, Status: store.BuildCancelled, Error: cancelled(ctx).Error()})
		end()
	}()
	build, err := d.CancelBuild(t.Context(), "shop", 5, store.User{Name: "bob"})
	if err != nil || build.Status != store.BuildCancelled || build.Error != "build 5 was cancelled by bob [E403]" {
		t.Errorf("got %+v, %v", build, err)
	}
	if a.building(0) != nil {
		t.Error("the app is still at it")
	}
}

func TestCancelBuild_TooLate(t *testing.T) {
	d := newDeployer(t)
	_, a := shop(t, d)
	ctx, end := a.begin(t.Context(), 5)
	defer end()
	if err := a.building(5).seal(ctx); err != nil {
		t.Fatal(err)
	}
	_, err := d.CancelBuild(t.Context(), "shop", 0, store.User{Name: "bob"})
	if f := fault.From(err); f == nil || f.Code != "E162" || ctx.Err() != nil {
		t.Errorf("got %v, want E162 and nothing cancelled", err)
	}
}

func TestUnderway_CancelledOrSealedNeverBoth(t *testing.T) {
	a := &app{}
	ctx, end := a.begin(t.Context(), 7)
	if a.building(6) != nil || a.building(0) != a.building(7) {
		t.Fatal("the build is not found by its number")
	}
	u := a.building(0)
	if !u.stop(errCancelled("build 7", store.User{Name: "bob"})) {
		t.Fatal("a build that runs cannot be cancelled")
	}
	if err := u.seal(ctx); err == nil || !strings.Contains(err.Error(), "cancelled by bob") {
		t.Errorf("a cancelled build was sealed: %v", err)
	}
	end()
	ctx, end = a.begin(t.Context(), 8)
	defer end()
	u = a.building(0)
	if err := u.seal(ctx); err != nil {
		t.Fatal(err)
	}
	if u.stop(errCancelled("build 8", store.User{Name: "bob"})) || cancelled(ctx) != nil {
		t.Error("a build whose release goes live was cancelled")
	}
	if err := (*underway)(nil).seal(ctx); err != nil {
		t.Errorf("a release that was not built: %v", err)
	}
}
