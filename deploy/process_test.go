package deploy

import (
	"fmt"
	"io"
	"testing"

	"github.com/berthd/berth/buildpacks/appjson"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
)

func TestSettle_AppJSONWinsOverAScalingByHand(t *testing.T) {
	made, _ := processes("web", "worker", "clock")
	made.Manifest = appjson.Manifest{Formation: map[string]int{"web": 2, "worker": 0}}
	app := store.App{Formation: map[string]int{"web": 5, "worker": 1, "clock": 3}}
	lines := rescaled(app, made)
	settle(&app, app, made)
	if got := fmt.Sprint(app.Instances("web"), app.Instances("worker"), app.Instances("clock")); got != "2 0 3" {
		t.Errorf("web, worker and clock are %s, want 2 0 3", got)
	}
	if got := fmt.Sprint(lines); got != "[app.json scales web from 5 to 2 app.json scales worker from 1 to 0]" {
		t.Errorf("it says %s", got)
	}
}

func TestUnscale_GoesBackToWhatAppJSONSays(t *testing.T) {
	d := newDeployer(t)
	shop(t, d)
	types(t, d, "shop", "web", "worker")
	update(t, d, func(tx *store.Tx) error {
		r, err := tx.Release("shop", 1)
		if err != nil {
			return err
		}
		r.Formation = map[string]int{"worker": 2}
		return tx.PutRelease(r)
	})
	if err := d.Scale(t.Context(), "shop", map[string]int{"web": 3, "worker": 7}, operator, io.Discard); err != nil {
		t.Fatal(err)
	}
	if err := d.Unscale(t.Context(), "shop", operator, io.Discard); err != nil {
		t.Fatal(err)
	}
	record, _, _ := d.find("shop")
	record.Stopped = false
	if got := fmt.Sprint(record.Instances("web"), record.Instances("worker")); got != "1 2" {
		t.Errorf("web and worker are %s, want 1 2", got)
	}
}

func TestStop_OfOneType(t *testing.T) {
	d := newDeployer(t)
	shop(t, d)
	types(t, d, "shop", "web", "worker", "release")
	runs := func() string {
		record, _, _ := d.find("shop")
		record.Stopped = false
		return fmt.Sprint(record.Instances("web"), record.Instances("worker"))
	}
	for n, step := range []struct {
		do   func() error
		code string
		want string
	}{
		{func() error {
			return d.Scale(t.Context(), "shop", map[string]int{"worker": 2}, operator, io.Discard)
		}, "", "1 2"},
		{func() error { return d.Stop(t.Context(), "shop", "worker", operator, io.Discard) }, "", "1 0"},
		{func() error { return d.Stop(t.Context(), "shop", "worker", operator, io.Discard) }, "", "1 0"},
		{func() error { return d.Stop(t.Context(), "shop", "clock", operator, io.Discard) }, "E115", "1 0"},
		{func() error { return d.Stop(t.Context(), "shop", "release", operator, io.Discard) }, "E115", "1 0"},
		{func() error {
			return d.Scale(t.Context(), "shop", map[string]int{"worker": 3}, operator, io.Discard)
		}, "", "1 3"}, // to scale is to want it
	} {
		if err := step.do(); fault.CodeOf(err) != step.code || runs() != step.want {
			t.Errorf("step %d: web and worker are %s, %v; want %s, %q", n, runs(), err, step.want, step.code)
		}
	}
}

func TestMask_HidesAllButWhatBerthGives(t *testing.T) {
	got := mask([]string{"PORT=5000", "BERTH_APP=shop", "BERTH_TOKEN=secret", "DATABASE_URL=postgres://a:b@c", "EMPTY=", "DYNO=mine"},
		map[string]string{"PORT": "5000", "DYNO": "mine"})
	for name, want := range map[string]string{"PORT": "5000", "BERTH_APP": "shop", "BERTH_TOKEN": masked, "DATABASE_URL": masked, "EMPTY": masked, "DYNO": masked} {
		if got[name] != want {
			t.Errorf("%s is shown as %q, want %q", name, got[name], want)
		}
	}
}
