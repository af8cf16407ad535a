package verbs

import (
	"maps"
	"strings"
	"testing"

	"github.com/berthd/berth/store"
)

func global(t *testing.T, h *house) (config map[string]string) {
	t.Helper()
	if err := h.db.View(func(tx *store.Tx) (err error) { config, err = tx.Global.Get(); return err }); err != nil {
		t.Fatal(err)
	}
	return config
}

func TestConfig_OfAllAppsIsForAdmins(t *testing.T) {
	h := newHouse(t)
	h.makeApp(t, "shop")
	set := map[string]string{"TOKEN": "hunter2"}
	h.update(t, func(tx *store.Tx) error { return tx.Global.Put(set) })
	all := ConfigOf{Global: true}
	asks := map[string]any{
		"config:show": ConfigArgs{ConfigOf: all}, "config:keys": ConfigArgs{ConfigOf: all},
		"config:get":    ConfigGetArgs{ConfigArgs{ConfigOf: all}, "TOKEN"},
		"config:reveal": ConfigGetArgs{ConfigArgs{ConfigOf: all}, "TOKEN"},
		"config:set":    ConfigSetArgs{ConfigOf: all, Set: map[string]string{"A": "1"}},
		"config:import": ConfigImportArgs{ConfigSetArgs{ConfigOf: all, Set: map[string]string{"A": "1"}}, true},
		"config:unset":  ConfigUnsetArgs{ConfigOf: all, Names: []string{"TOKEN"}},
		"config:clear":  ConfigClearArgs{ConfigOf: all},
	}
	bound := store.User{Name: "olga", Role: store.RoleAdmin, Apps: []string{"shop"}}
	for verb, args := range asks {
		for _, user := range []store.User{reader, deployer, ofShop, bound} {
			if got := codeOf(h.Call(t.Context(), user, verb, args, nil, nil)); got != "E110" && got != "E111" {
				t.Errorf("%s --global by %s: got %q, want it denied", verb, user.Name, got)
			}
		}
	}
	if got := global(t, h); !maps.Equal(got, set) {
		t.Fatalf("the config of all apps is %v", got)
	}
	// What an app gets of it, whoever may read the app's config may read.
	var merged map[string]string
	if err := h.Call(t.Context(), ofShop, "config:show", ConfigArgs{ConfigOf{App: "shop"}, true}, &merged, nil); err != nil || merged["TOKEN"] != "hunter2" {
		t.Errorf("--merged: got %v, %v", merged, err)
	}
	if got := codeOf(h.Call(t.Context(), reader, "config:show", ConfigArgs{ConfigOf{App: "shop"}, true}, nil, nil)); got != "E110" {
		t.Errorf("--merged by a reader: got %q, want E110", got)
	}
	var own map[string]string
	if err := h.Call(t.Context(), ofShop, "config:show", ConfigArgs{ConfigOf: ConfigOf{App: "shop"}}, &own, nil); err != nil || len(own) != 0 {
		t.Errorf("the app's own: got %v, %v; want nothing", own, err)
	}
}

func TestConfig_ItIsSaidWhose(t *testing.T) {
	h := newHouse(t)
	h.makeApp(t, "shop")
	for _, of := range []ConfigOf{{}, {App: "shop", Global: true}} {
		for verb, args := range map[string]any{
			"config:show": ConfigArgs{ConfigOf: of}, "config:keys": ConfigArgs{ConfigOf: of}, "config:get": ConfigGetArgs{ConfigArgs{ConfigOf: of}, "A"},
			"config:set": ConfigSetArgs{ConfigOf: of, Set: map[string]string{"A": "1"}}, "config:unset": ConfigUnsetArgs{ConfigOf: of, Names: []string{"A"}},
			"config:clear": ConfigClearArgs{ConfigOf: of}, "config:import": ConfigImportArgs{ConfigSetArgs{ConfigOf: of}, true},
		} {
			if got := codeOf(h.Call(t.Context(), store.Root, verb, args, nil, nil)); got != "E140" {
				t.Errorf("%s with %+v: got %q, want E140", verb, of, got)
			}
		}
	}
}

func TestConfig_OfAllAppsChanges(t *testing.T) {
	h := newHouse(t)
	all := ConfigOf{Global: true}
	for _, step := range []struct {
		verb string
		args any
		code string
		want map[string]string
	}{
		{"config:set", ConfigSetArgs{ConfigOf: all, Set: map[string]string{"A": "1", "B": "2"}}, "", map[string]string{"A": "1", "B": "2"}},
		{"config:set", ConfigSetArgs{ConfigOf: all, Set: map[string]string{"C": "3", "9": "bad"}}, "E107", map[string]string{"A": "1", "B": "2"}},
		{"config:set", ConfigSetArgs{ConfigOf: all, Set: map[string]string{"PORT": "none"}}, "E196", map[string]string{"A": "1", "B": "2"}},
		{"config:unset", ConfigUnsetArgs{ConfigOf: all, Names: []string{"A"}}, "", map[string]string{"B": "2"}},
		{"config:import", ConfigImportArgs{ConfigSetArgs{ConfigOf: all, Set: map[string]string{"C": "3"}}, false}, "", map[string]string{"B": "2", "C": "3"}},
		{"config:import", ConfigImportArgs{ConfigSetArgs{ConfigOf: all, Set: map[string]string{"D": "4"}}, true}, "", map[string]string{"D": "4"}},
		{"config:clear", ConfigClearArgs{ConfigOf: all}, "", map[string]string{}},
	} {
		if got := codeOf(h.Call(t.Context(), store.Root, step.verb, step.args, nil, nil)); got != step.code {
			t.Errorf("%s: got %q, want %q", step.verb, got, step.code)
		}
		if got := global(t, h); !maps.Equal(got, step.want) {
			t.Errorf("after %s: got %v, want %v", step.verb, got, step.want)
		}
	}
	var texts []string
	h.db.View(func(tx *store.Tx) error {
		events, err := tx.Events("", 20)
		for _, e := range events {
			texts = append(texts, e.Text)
		}
		return err
	})
	if all := strings.Join(texts, "\n"); !strings.Contains(all, "Set A, B for all apps") || !strings.Contains(all, "Set D; Unset B, C for all apps") {
		t.Errorf("the events are\n%s", all)
	}
}
