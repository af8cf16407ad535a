package store

import (
	"bytes"
	"maps"
	"os"
	"testing"
)

func TestGlobalConfig_IsSealedAndApartFromAnApps(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	global, own := map[string]string{"TOKEN": "everybodys-secret", "A": "global"}, map[string]string{"A": "own"}
	err = s.Update(func(tx *Tx) error {
		app, err := tx.CreateApp(App{Name: "shop"})
		if err != nil {
			return err
		}
		if err := tx.Global.Put(global); err != nil {
			return err
		}
		return tx.PutRelease(Release{App: app.Name, Number: 1, Config: own, Global: global})
	})
	if err != nil {
		t.Fatal(err)
	}
	check := func() {
		t.Helper()
		err := s.View(func(tx *Tx) error {
			got, err := tx.Global.Get()
			if err != nil || !maps.Equal(got, global) {
				t.Errorf("got %v, %v; want %v", got, err, global)
			}
			if config, err := tx.Config("shop"); err != nil || len(config) != 0 {
				t.Errorf("the app's own is %v, %v; want nothing", config, err)
			}
			r, err := tx.Release("shop", 1)
			want := map[string]string{"TOKEN": "everybodys-secret", "A": "own"}
			if err != nil || !maps.Equal(r.Config, own) || !maps.Equal(r.Global, global) || !maps.Equal(r.Variables(), want) {
				t.Errorf("the release has %v and %v, %v", r.Config, r.Global, err)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	check()
	if err := s.Update(func(tx *Tx) error { return tx.MarkRelease("shop", 1, ReleaseLive, "") }); err != nil {
		t.Fatal(err)
	}
	check()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(dir + "/" + stateFile)
	if err != nil || bytes.Contains(raw, []byte("everybodys-secret")) {
		t.Errorf("the value stands in the file in the clear (%v)", err)
	}
	if s, err = Open(dir); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	check()
	if err := s.Update(func(tx *Tx) error { return tx.DeleteApp("shop") }); err != nil {
		t.Fatal(err)
	}
	s.View(func(tx *Tx) error {
		if got, err := tx.Global.Get(); err != nil || !maps.Equal(got, global) {
			t.Errorf("after an app was deleted: got %v, %v", got, err)
		}
		return nil
	})
}
