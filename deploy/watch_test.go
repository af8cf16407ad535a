package deploy

import (
	"context"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berthd/berth/build/progress"
	"github.com/berthd/berth/fleet"
	"github.com/berthd/berth/fleet/fleettest"
	"github.com/berthd/berth/store"
)

// falls makes every program with the color blue end after so long.
func falls(after time.Duration) func(fleet.Spec, fleet.Command) fleettest.Program {
	return func(_ fleet.Spec, cmd fleet.Command) fleettest.Program {
		p := fleettest.Program{Listens: 50 * time.Millisecond}
		if slices.Contains(cmd.Env, "COLOR=blue") {
			p.Ends, p.Exit = after, fleet.Exit{Code: 3}
		}
		return p
	}
}

// liveNow returns the release that is live, and the app's config.
func liveNow(t *testing.T, d *Deployer, app string) (r store.Release, config map[string]string) {
	t.Helper()
	err := d.db.View(func(tx *store.Tx) error {
		record, err := tx.App(app)
		if err != nil {
			return err
		}
		if r, err = tx.Release(app, record.Release); err != nil {
			return err
		}
		config, err = tx.Config(app)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return r, config
}

func happenings(t *testing.T, d *Deployer, kind string) (texts []string) {
	t.Helper()
	d.db.View(func(tx *store.Tx) error {
		events, err := tx.Events("shop", 0)
		for _, e := range events {
			if e.By == "berth" && e.Kind == kind {
				texts = append(texts, e.Text)
			}
		}
		return err
	})
	return texts
}

// A change of config that makes the app fall over is undone, in the record and on
// the machine, whatever the moment at which berth ends.
func TestWatch_EveryMomentCanBeTheCrash(t *testing.T) {
	for _, rollout := range []store.Rollout{store.StartFirst, store.StopFirst} {
		t.Run(string(rollout), func(t *testing.T) {
			steps := watchCrash(t, rollout, fleettest.Trap{})
			seen := map[string]int{}
			tried := 0
			for n, step := range steps {
				if seen[step]++; seen[step] > 2 {
					continue
				}
				watchCrash(t, rollout, fleettest.Trap{End: n + 1, After: n%2 == 0})
				tried++
			}
			t.Logf("crashes at %d of %d steps", tried, len(steps))
		})
	}
}

func watchCrash(t *testing.T, rollout store.Rollout, trap fleettest.Trap) (steps []string) {
	synctest.Test(t, func(t *testing.T) {
		d, m := newDeployer(t), new(fleettest.Machine)
		m.SetProgram(falls(2 * time.Second))
		machineApp(t, d, "shop", rollout)
		now, l := another(t, d, m)
		now.Releases.layers = everyLayer{}
		if err := now.boot(now.life); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if _, err := now.SetConfig(l.Context, "shop", map[string]string{"COLOR": "blue"}, nil, false, store.Root, io.Discard); err != nil {
			t.Fatal(err)
		}
		l.Set(trap)
		select {
		case <-time.After(40 * time.Second):
		case <-l.Context.Done():
		}
		if trap.End == 0 {
			steps = l.Steps()
		}
		over(now, l)
		next, l2 := another(t, now, m)
		next.Releases.layers = everyLayer{}
		if err := next.boot(next.life); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Minute)
		if wrong := differs(t, next, m); len(wrong) > 0 {
			t.Errorf("after a crash at step %d, %s:\n%s", trap.End, l.Sprung(), strings.Join(wrong, "\n"))
		}
		r, config := liveNow(t, next, "shop")
		if len(config) > 0 || r.Fallen != 2 || r.CreatedBy != "berth" {
			t.Errorf("after a crash at step %d, %s: v%d is live (in the place of v%d, by %s), the config is %v", trap.End, l.Sprung(), r.Number, r.Fallen, r.CreatedBy, config)
		}
		over(next, l2)
		m.Reboot()
	})
	return steps
}

// everyLayer is a machine that has every layer.
type everyLayer struct{}

func (everyLayer) HasLayer(context.Context, string) (bool, error) { return true, nil }

// noLayer is one that has none.
type noLayer struct{}

func (noLayer) HasLayer(context.Context, string) (bool, error) { return false, nil }

func TestWatch_WhatIsNotUndone(t *testing.T) {
	for name, tt := range map[string]struct {
		after  time.Duration // when it falls over
		layers layers
		do     func(t *testing.T, d *Deployer, l *fleettest.Life)
		live   int
		said   string // in an event
		config map[string]string
	}{
		"falls over after the watch": {after: 70 * time.Second, layers: everyLayer{}, live: 2, config: map[string]string{"COLOR": "blue"}},
		"the release before is gone": {after: 2 * time.Second, layers: noLayer{}, live: 2, config: map[string]string{"COLOR": "blue"}, said: "the release before does not come back"},
		"it is a rollback itself": {after: 2 * time.Second, layers: everyLayer{}, live: 3, config: map[string]string{"COLOR": "blue"},
			do: func(t *testing.T, d *Deployer, l *fleettest.Life) {
				// back to the release that fell over, while the machine has memory again, say
				time.Sleep(time.Second)
				update(t, d, func(tx *store.Tx) error { return tx.MarkRelease("shop", 1, store.ReleaseRetired, "") })
				if _, err := d.rollback(l.Context, "shop", 2, 0, "alice", "", progress.New()); err != nil {
					t.Fatal(err)
				}
			}},
		"what was set since stays": {after: 20 * time.Second, layers: everyLayer{}, live: 3, config: map[string]string{"SIZE": "2"}, said: "v3: rolled back to v1",
			do: func(t *testing.T, d *Deployer, l *fleettest.Life) {
				if _, err := d.SetConfig(l.Context, "shop", map[string]string{"SIZE": "2"}, nil, true, store.Root, io.Discard); err != nil {
					t.Fatal(err)
				}
			}},
		"stopped meanwhile": {after: 20 * time.Second, layers: everyLayer{}, live: 2, config: map[string]string{"COLOR": "blue"},
			do: func(t *testing.T, d *Deployer, l *fleettest.Life) {
				if err := d.Stop(l.Context, "shop", "", store.Root, io.Discard); err != nil {
					t.Fatal(err)
				}
			}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				first, m := newDeployer(t), new(fleettest.Machine)
				m.SetProgram(falls(tt.after))
				machineApp(t, first, "shop", store.StartFirst)
				d, l := another(t, first, m)
				d.Releases.layers = tt.layers
				if err := d.boot(d.life); err != nil {
					t.Fatal(err)
				}
				if _, err := d.SetConfig(l.Context, "shop", map[string]string{"COLOR": "blue"}, nil, false, store.Root, io.Discard); err != nil {
					t.Fatal(err)
				}
				if tt.do != nil {
					tt.do(t, d, l)
				}
				time.Sleep(5 * time.Minute)
				r, config := liveNow(t, d, "shop")
				if r.Number != tt.live || !maps.Equal(config, tt.config) {
					t.Errorf("v%d is live and the config is %v, want v%d and %v", r.Number, config, tt.live, tt.config)
				}
				events := strings.Join(happenings(t, d, "rollback"), "\n")
				if (tt.said == "") != (events == "") || !strings.Contains(events, tt.said) {
					t.Errorf("the events are %q, want %q", events, tt.said)
				}
				over(d, l)
				m.Reboot()
			})
		})
	}
}

// A rollback runs with the config of all apps that its release had, and leaves what
// is set for all of them alone: the next restart has that again.
func TestRollback_HasTheConfigOfAllAppsOfItsRelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, m := newDeployer(t), new(fleettest.Machine)
		machineApp(t, d, "shop", store.StartFirst)
		now, l := another(t, d, m)
		now.Releases.layers = everyLayer{}
		if err := now.boot(now.life); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		global := func(value string) {
			update(t, now, func(tx *store.Tx) error { return tx.Global.Put(map[string]string{"TZ": value}) })
		}
		restart := func(what string) {
			t.Helper()
			if err := now.Restart(l.Context, "shop", what, store.Root, io.Discard); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Minute)
		}
		expect := func(when string, number int, tz string) {
			t.Helper()
			if live := liveOf(t, now); live.Number != number || live.Variables()["TZ"] != tz || len(live.Config) > 0 {
				t.Errorf("%s: v%d is live with %v, own %v; want v%d with TZ %q and nothing of its own", when, live.Number, live.Variables(), live.Config, number, tz)
			}
			if config := configOf(t, now, "shop"); len(config) > 0 {
				t.Errorf("%s: the app's own config is %v", when, config)
			}
		}
		global("UTC")
		restart("web")
		expect("after a restart of one type", 1, "")
		restart("")
		expect("after a restart", 2, "UTC")
		global("CET")
		restart("")
		expect("after a change", 3, "CET")
		if _, err := now.Rollback(l.Context, "shop", 2, store.Root, io.Discard); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		expect("after a rollback", 4, "UTC")
		restart("")
		expect("after another restart", 5, "CET")
		if wrong := differs(t, now, m); len(wrong) > 0 {
			t.Error(strings.Join(wrong, "\n"))
		}
		over(now, l)
		m.Reboot()
	})
}
