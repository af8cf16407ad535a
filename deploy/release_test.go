package deploy

import (
	"fmt"
	"io"
	"maps"
	"strings"
	"testing"

	"github.com/berthd/berth/buildpacks/appjson"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

func TestSetConfig_RollsOutWhatWasStoredWithoutARestart(t *testing.T) {
	d := newDeployer(t)
	shop(t, d)
	by, set := store.User{Name: "alice"}, map[string]string{"COLOR": "blue"}
	if r, err := d.SetConfig(t.Context(), "shop", set, nil, true, by, io.Discard); err != nil || r.Number != 1 {
		t.Fatalf("stored only: got v%d, %v; want v1", r.Number, err)
	}
	r, err := d.SetConfig(t.Context(), "shop", set, nil, false, by, io.Discard)
	if err != nil || r.Number != 2 || r.Config["COLOR"] != "blue" {
		t.Errorf("the same with a restart: got v%d with %v, %v; want v2", r.Number, r.Config, err)
	}
	r, err = d.SetConfig(t.Context(), "shop", set, nil, false, by, io.Discard)
	if err != nil || r.Number != 2 {
		t.Errorf("once more: got v%d, %v; want v2 to stay", r.Number, err)
	}
}

func TestConfigText_NamesNotThousands(t *testing.T) {
	set := map[string]string{}
	for n := range 2700 {
		set[fmt.Sprintf("NAME_%04d", n)] = "x"
	}
	got := ConfigText(set, []string{"A", "B"})
	if !strings.HasPrefix(got, "Set NAME_0000, NAME_0001") || !strings.HasSuffix(got, "NAME_0019 and 2680 more; Unset A, B") {
		t.Errorf("got %s", got)
	}
}

// liveOf returns the release that should be live, with its config.
func liveOf(t *testing.T, d *Deployer) (release store.Release) {
	t.Helper()
	err := d.db.View(func(tx *store.Tx) error {
		app, err := tx.App("shop")
		if err != nil {
			return err
		}
		release, err = tx.Release("shop", app.Release)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return release
}

func TestRestart_TakesUpConfigThatCountsFromThen(t *testing.T) {
	d := newDeployer(t)
	shop(t, d)
	update(t, d, func(tx *store.Tx) error { // one that runs and starts nothing
		app, err := tx.App("shop")
		if err != nil {
			return err
		}
		app.Stopped = false
		if err := tx.PutApp(app); err != nil {
			return err
		}
		return tx.PutRelease(store.Release{App: "shop", Number: 1, Status: store.ReleaseLive, Processes: []store.Process{{Type: "worker"}}})
	})
	by := store.User{Name: "alice"}
	restart := func(want int) store.Release {
		t.Helper()
		if err := d.Restart(t.Context(), "shop", "", by, io.Discard); err != nil && fault.CodeOf(err) != code.ProcessUnknown { // no instance is to run
			t.Fatal(err)
		}
		live := liveOf(t, d)
		if live.Number != want {
			t.Fatalf("v%d is live, want v%d", live.Number, want)
		}
		return live
	}
	restart(1)
	if _, err := d.SetConfig(t.Context(), "shop", map[string]string{"COLOR": "blue"}, nil, true, by, io.Discard); err != nil {
		t.Fatal(err)
	}
	if live := restart(2); live.Config["COLOR"] != "blue" || live.Description != "Restart with COLOR" {
		t.Errorf("after --no-restart and a restart: got %v, %q", live.Config, live.Description)
	}
	restart(2) // nothing is left
	update(t, d, func(tx *store.Tx) error {
		return tx.Global.Put(map[string]string{"COLOR": "everybody's", "TZ": "UTC"})
	})
	live := restart(3)
	if got := live.Variables(); got["COLOR"] != "blue" || got["TZ"] != "UTC" || live.Config["TZ"] != "" {
		t.Errorf("after --global: variables %v, own %v; want the app's COLOR and a TZ that is not its own", got, live.Config)
	}
	update(t, d, func(tx *store.Tx) error { return tx.Global.Put(map[string]string{"COLOR": "another", "TZ": "UTC"}) })
	restart(3) // the app has a COLOR of its own: nothing changes for it
	update(t, d, func(tx *store.Tx) error { return tx.Global.Put(nil) })
	if live := restart(4); live.Variables()["TZ"] != "" {
		t.Errorf("after it was unset: %v", live.Variables())
	}
}

func TestReplaceConfig_UnsetsTheRest(t *testing.T) {
	d := newDeployer(t)
	shop(t, d)
	by := store.User{Name: "alice"}
	for _, set := range []map[string]string{{"A": "1", "B": "2"}, {"B": "3", "C": "4"}, nil} {
		if _, err := d.ReplaceConfig(t.Context(), "shop", set, true, by, io.Discard); err != nil {
			t.Fatal(err)
		}
		if got := configOf(t, d, "shop"); !maps.Equal(got, set) {
			t.Errorf("got %v, want %v", got, set)
		}
	}
	if _, err := d.ReplaceConfig(t.Context(), "shop", map[string]string{"OK": "1", "9": "bad"}, true, by, io.Discard); fault.CodeOf(err) != code.ConfigInvalid || len(configOf(t, d, "shop")) != 0 {
		t.Errorf("a bad name: got %v and %v, want E107 and nothing set", err, configOf(t, d, "shop"))
	}
}

func TestCompleted_AGlobalVariableIsSet(t *testing.T) {
	manifest := appjson.Manifest{Env: map[string]string{"SIZE": "small"}, Secrets: []string{"SECRET"}, Required: []string{"KEY"}}
	global := map[string]string{"SIZE": "all", "SECRET": "all", "KEY": "all"}
	if got, err := completed("berth", "shop", map[string]string{}, global, manifest, nil); err != nil || len(got) != 0 {
		t.Errorf("got %v, %v; want nothing of the app's own", got, err)
	}
}
