package deploy

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berthd/berth/fleet"
	"github.com/berthd/berth/fleet/fleettest"
	"github.com/berthd/berth/fleet/formation"
	"github.com/berthd/berth/router"
	"github.com/berthd/berth/store"
)

// onMachine gives a deployer a machine to run instances on, in a life.
func onMachine(d *Deployer, l *fleettest.Life) {
	d.boxes = l.Host()
	d.fleet = d.newFleet(d.boxes, d.edge.Routes())
	d.jobs = d.newJobs(nil)
	d.join()
	d.adopted, d.routed = make(chan struct{}), make(chan struct{})
}

// another returns the deployer of the next life, which has the state file of d
// and nothing else. With the life ends what it can write.
func another(t *testing.T, d *Deployer, m *fleettest.Machine) (*Deployer, *fleettest.Life) {
	t.Helper()
	d.db.Close()
	db, err := store.Open(filepath.Dir(d.cfg.Logs))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	l := fleettest.NewLife(m)
	l.Ended = func() { db.Close() }
	next := New(d.cfg, db, nil, router.New(router.Config{}, d.log), noHosts{}, d.log)
	rebuild(next)
	onMachine(next, l)
	return next, l
}

// over ends a life and what it has under way.
func over(d *Deployer, l *fleettest.Life) {
	l.End()
	d.end()
	d.rest()
}

// machineApp puts an app with a live release and two web instances into the store.
func machineApp(t *testing.T, d *Deployer, name string, rollout store.Rollout) (record store.App) {
	t.Helper()
	update(t, d, func(tx *store.Tx) (err error) {
		record, err = tx.CreateApp(store.App{
			Name: name, Release: 1, LastRelease: 1, Rollout: rollout, Formation: map[string]int{"web": 2, "worker": 1},
		})
		if err != nil {
			return err
		}
		return tx.PutRelease(store.Release{
			App: name, Number: 1, Status: store.ReleaseLive, Layer: "l", Base: "b", Config: map[string]string{},
			Processes: []store.Process{{Type: "web", Command: "serve"}, {Type: "worker", Command: "work"}},
		})
	})
	return record
}

// differs says in what the machine differs from the store.
func differs(t *testing.T, d *Deployer, m *fleettest.Machine) (wrong []string) {
	t.Helper()
	var want, got []string
	err := d.db.View(func(tx *store.Tx) error {
		apps, err := tx.Apps()
		if err != nil {
			return err
		}
		for _, app := range apps {
			release, err := tx.Release(app.Name, app.Release)
			if err != nil {
				return err
			}
			if release.Status != store.ReleaseLive {
				wrong = append(wrong, fmt.Sprintf("the live release of %s is %s", app.Name, release.Status))
			}
			for _, s := range formation.Slots(app, release) {
				want = append(want, fmt.Sprintf("%s %s v%d COLOR=%s", app.Name, s, app.Release, release.Variables()["COLOR"]))
			}
			for r, err := range tx.EachRelease(app.Name) {
				if err != nil {
					return err
				}
				if r.Status == store.ReleasePending {
					wrong = append(wrong, fmt.Sprintf("v%d of %s is still pending", r.Number, app.Name))
				}
			}
			if config, err := tx.Config(app.Name); err != nil || config["COLOR"] != release.Config["COLOR"] {
				wrong = append(wrong, fmt.Sprintf("the config of %s is %v, and its release has %v (%v)", app.Name, config, release.Config, err))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range m.Boxes() {
		state := ""
		if !b.Runs() {
			state = " (does not run)"
		}
		color := ""
		for _, kv := range b.Command().Env {
			if value, is := strings.CutPrefix(kv, "COLOR="); is {
				color = value
			}
		}
		got = append(got, fmt.Sprintf("%s %s COLOR=%s%s", b.Spec.Hostname, b.Name(), color, state))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		wrong = append(wrong, fmt.Sprintf("what runs is %q, want %q", got, want))
	}
	statuses, err := d.Statuses(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range statuses {
		if s.State != StateRunning {
			wrong = append(wrong, fmt.Sprintf("%s is %s", s.Name, s.State))
		}
	}
	return wrong
}

// A change of config is recorded, rolled out and swapped; the store and the
// machine say the same after a crash at any step of it.
func TestSetConfig_EveryMomentCanBeTheCrash(t *testing.T) {
	everyConfigCrash(t, func(d *Deployer, l *fleettest.Life) error {
		_, err := d.SetConfig(l.Context, "shop", map[string]string{"COLOR": "blue"}, nil, false, store.Root, io.Discard)
		return err
	})
}

// A restart that takes up what was set for all apps is a release like any other.
func TestRestart_EveryMomentCanBeTheCrash(t *testing.T) {
	everyConfigCrash(t, func(d *Deployer, l *fleettest.Life) error {
		if err := d.db.Update(func(tx *store.Tx) error { return tx.Global.Put(map[string]string{"COLOR": "blue"}) }); err != nil {
			return err
		}
		return d.Restart(l.Context, "shop", "", store.Root, io.Discard)
	})
}

func everyConfigCrash(t *testing.T, change func(*Deployer, *fleettest.Life) error) {
	for _, rollout := range []store.Rollout{store.StartFirst, store.StopFirst} {
		t.Run(string(rollout), func(t *testing.T) {
			tried := 0
			steps := configCrash(t, rollout, fleettest.Trap{}, change)
			seen := map[string]int{}
			for n, step := range steps {
				if seen[step]++; seen[step] > 2 {
					continue // looks at a container, which are alike
				}
				configCrash(t, rollout, fleettest.Trap{End: n + 1, After: n%2 == 0}, change)
				tried++
			}
			t.Logf("crashes at %d of %d steps", tried, len(steps))
		})
	}
}

func configCrash(t *testing.T, rollout store.Rollout, trap fleettest.Trap, change func(*Deployer, *fleettest.Life) error) (steps []string) {
	synctest.Test(t, func(t *testing.T) {
		d, m := newDeployer(t), new(fleettest.Machine)
		machineApp(t, d, "shop", rollout)
		now, l := another(t, d, m)
		if err := now.boot(now.life); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		next, l2, taken := crashDuring(t, now, l, m, trap, change)
		steps = taken
		over(next, l2)
		m.Reboot()
	})
	return steps
}

// crashDuring crashes a deployer at a step of a change, and boots the next one: what
// runs is then what the store says. Without a step to crash at, the change has to
// succeed, and its steps are returned.
func crashDuring(t *testing.T, now *Deployer, l *fleettest.Life, m *fleettest.Machine, trap fleettest.Trap, change func(*Deployer, *fleettest.Life) error) (next *Deployer, l2 *fleettest.Life, steps []string) {
	t.Helper()
	l.Set(trap)
	ended := make(chan error, 1)
	go func() { ended <- change(now, l) }()
	select {
	case err := <-ended:
		if trap.End == 0 && err != nil {
			t.Error(err)
		}
	case <-l.Context.Done():
	}
	if trap.End == 0 {
		time.Sleep(time.Minute)
		steps = l.Steps()
	}
	over(now, l)
	next, l2 = another(t, now, m)
	if err := next.boot(next.life); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Minute)
	if wrong := differs(t, next, m); len(wrong) > 0 {
		t.Errorf("after a crash at step %d, %s:\n%s", trap.End, l.Sprung(), strings.Join(wrong, "\n"))
	}
	return next, l2, steps
}

func TestBoot_BringsManyAppsBackThoughSomeDoNotStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, m := newDeployer(t), new(fleettest.Machine)
		m.SetProgram(func(spec fleet.Spec, _ fleet.Command) fleettest.Program {
			if spec.Hostname == "app-7" || spec.Hostname == "app-8" {
				return fleettest.Program{Listens: -1}
			}
			return fleettest.Program{Listens: time.Second}
		})
		for n := range 40 {
			machineApp(t, d, fmt.Sprintf("app-%d", n), []store.Rollout{store.StartFirst, store.StopFirst}[n%2])
		}
		for range 2 { // a start of a machine on which nothing runs, then of one where all does
			var l *fleettest.Life
			d, l = another(t, d, m)
			now := d
			began := time.Now()
			if err := now.boot(now.life); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began); took > 2*time.Minute {
				t.Errorf("the start took %v", took)
			}
			statuses, err := now.Statuses(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range statuses {
				want := StateRunning
				if s.Name == "app-7" || s.Name == "app-8" {
					want = StateDegraded // its worker runs
				}
				if s.State != want {
					t.Errorf("%s is %s, want %s", s.Name, s.State, want)
				}
			}
			over(now, l)
		}
		m.Reboot()
	})
}
