package store_test

import (
	"testing"

	"github.com/berthd/berth/store"
)

func TestVolumes_BelongToOneApp(t *testing.T) {
	s := open(t, t.TempDir())
	create(t, s, "shop")
	create(t, s, "blog")
	update(t, s, func(tx *store.Tx) error { return tx.Volumes.Create(store.Volume{ID: "a", Name: "data", App: "shop"}) })
	update(t, s, func(tx *store.Tx) error { return tx.Volumes.Create(store.Volume{ID: "b", Name: "data", App: "blog"}) })
	update(t, s, func(tx *store.Tx) error { return tx.Volumes.Create(store.Volume{ID: "c", Name: "data"}) })
	wantCode(t, s.Update(func(tx *store.Tx) error { return tx.Volumes.Create(store.Volume{ID: "d", Name: "data", App: "shop"}) }), "E602")
	wantCode(t, s.Update(func(tx *store.Tx) error { return tx.Volumes.Create(store.Volume{ID: "d", Name: "../x"}) }), "E600")
	for app, id := range map[string]string{"shop": "a", "blog": "b", "": "c"} {
		err := s.View(func(tx *store.Tx) error {
			v, found, err := tx.Volumes.Find(app, "data")
			if !found || v.ID != id || v.App != app {
				t.Errorf("of %q: got %+v", app, v)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}

func TestVolumes_AreBounded(t *testing.T) {
	s := open(t, t.TempDir())
	create(t, s, "shop")
	update(t, s, func(tx *store.Tx) error {
		for n := range store.MaxAppVolumes {
			if err := tx.Volumes.Create(store.Volume{ID: string(rune('a' + n)), Name: "v" + string(rune('a'+n%26)) + string(rune('a'+n/26)), App: "shop"}); err != nil {
				return err
			}
		}
		return nil
	})
	wantCode(t, s.Update(func(tx *store.Tx) error { return tx.Volumes.Create(store.Volume{ID: "x", Name: "x", App: "shop"}) }), "E603")
	wantCode(t, s.Update(func(tx *store.Tx) error { return tx.Volumes.PutMounts("shop", make([]store.Mount, store.MaxMounts+1)) }), "E603")
}

func TestDeleteApp_LeavesItsVolumes(t *testing.T) {
	s := open(t, t.TempDir())
	app := create(t, s, "shop")
	update(t, s, func(tx *store.Tx) error { return tx.Volumes.Create(store.Volume{ID: "a", Name: "data"}) })
	update(t, s, func(tx *store.Tx) error { return tx.Volumes.Create(store.Volume{ID: "b", Name: "data", App: "shop"}) })
	update(t, s, func(tx *store.Tx) error { return tx.DeleteApp("shop") })
	create(t, s, "shop") // by somebody else
	err := s.View(func(tx *store.Tx) error {
		v, found, err := tx.Volumes.Get("b")
		if !found || v.App != "" || v.Former != "shop" || v.Name != "data-"+app.ID() {
			t.Errorf("got %+v", v)
		}
		mine, err2 := tx.Volumes.Of("shop")
		if len(mine) != 0 {
			t.Errorf("an app of the same name has %+v", mine)
		}
		if err == nil {
			err = err2
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestMountedBy_CountsTheLiveRelease(t *testing.T) {
	s := open(t, t.TempDir())
	create(t, s, "shop")
	mount := store.Mount{Volume: "a", Path: "/app/data", Access: store.AccessOne}
	by := func(want string) {
		t.Helper()
		err := s.View(func(tx *store.Tx) error {
			v, _, err := tx.Volumes.Get("a")
			if err != nil {
				return err
			}
			got, err := tx.Volumes.MountedBy(v)
			if got != want {
				t.Errorf("got %q, want %q", got, want)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
	update(t, s, func(tx *store.Tx) error { return tx.Volumes.Create(store.Volume{ID: "a", Name: "data", App: "shop"}) })
	by("")
	update(t, s, func(tx *store.Tx) error { return tx.Volumes.PutMounts("shop", []store.Mount{mount}) })
	by("shop")
	update(t, s, func(tx *store.Tx) error {
		app, err := tx.App("shop")
		if err != nil {
			return err
		}
		app.Release, app.LastRelease = 1, 1
		if err := tx.PutApp(app); err != nil {
			return err
		}
		return tx.PutRelease(store.Release{App: "shop", Number: 1, Config: map[string]string{}, Mounts: []store.Mount{mount}})
	})
	update(t, s, func(tx *store.Tx) error { return tx.Volumes.PutMounts("shop", nil) })
	by("shop") // what runs still has it
}
