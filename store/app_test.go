package store_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/berthd/berth/store"
)

func update(t *testing.T, s *store.Store, fn func(tx *store.Tx) error) {
	t.Helper()
	if err := s.Update(fn); err != nil {
		t.Fatal(err)
	}
}

// furnish gives an app one of every noun.
func furnish(t *testing.T, s *store.Store, name string) {
	t.Helper()
	update(t, s, func(tx *store.Tx) error {
		logins, err := tx.Registries.All()
		if err != nil {
			return err
		}
		logins[store.RegistryPlace{App: name, Host: "registry.example.com"}] = store.RegistryLogin{Password: name}
		return errors.Join(
			fillApp(tx, name),
			tx.CronPlans.Put(name, store.CronPlan{Jobs: []store.CronJob{{ID: "of-" + name}}}),
			tx.CronSlots.Put(name, "of-"+name, store.CronSlots{}),
			tx.OneOffs.Put(store.OneOff{App: name, Number: 1, By: name}),
			allot(tx, name),
			consentToItself(tx, name),
			tx.Registries.Replace(logins),
			tx.Properties.Put(name, "builder", map[string]string{"colour": "red"}),
			tx.Keys.Put(store.Key{Name: "ci-of-" + name, Fingerprint: "SHA256:" + name, Role: store.RoleDeploy, Apps: []string{name}}),
			tx.Logins.Put(store.Login{Hash: "hash of " + name, User: store.User{Name: "ci", Apps: []string{name}}}),
			tx.AddEvent(store.Event{App: name, By: "alice", Kind: "scale"}),
			tx.AddEvent(store.Event{App: name, By: "berth", Kind: "crash"}),
			tx.Volumes.PutMounts(name, []store.Mount{{Volume: "v-of-" + name, Path: "/app/data", Access: store.AccessOne}}),
		)
	})
}

// allot gives an app limits and reservations.
func allot(tx *store.Tx, name string) error {
	app, err := tx.App(name)
	if err != nil {
		return err
	}
	app.Resources = store.Resources{"web": {Limit: store.Resource{Memory: 1 << 30}}}
	return tx.Resources.Put(app)
}

func consentToItself(tx *store.Tx, name string) error {
	_, err := tx.Consents.Put(store.Consent{From: name, To: name, Port: store.UsualConsent, By: "alice"})
	return err
}

func TestRenameApp_ChangesTheNameAndNothingElse(t *testing.T) {
	s := open(t, t.TempDir())
	create(t, s, "taken")
	app := create(t, s, "old")
	furnish(t, s, "old")
	before := dump(t, s)
	err := s.Update(func(tx *store.Tx) error { _, err := tx.RenameApp("old", "taken"); return err })
	wantCode(t, err, "E102")
	update(t, s, func(tx *store.Tx) error { _, err := tx.RenameApp("old", "new"); return err })

	var changed []string
	after := dump(t, s)
	for key := range after {
		if before[key] != after[key] {
			changed = append(changed, key)
		}
	}
	for key := range before {
		if _, there := after[key]; !there {
			changed = append(changed, key)
		}
	}
	slices.Sort(changed)
	want := []string{`appnames/"new"`, `appnames/"old"`, fmt.Sprintf("apps/%q", app.ID())}
	if !slices.Equal(changed, want) {
		t.Errorf("changed: %q, want %q", changed, want)
	}

	err = s.View(func(tx *store.Tx) error {
		config, err := tx.Config("new")
		if err != nil || config["OF"] != "old, config" {
			t.Errorf("config: got %v, %v", config, err)
		}
		release, err := tx.Release("new", 1)
		if err != nil || release.App != "new" || release.Config["OF"] != "old, v1" {
			t.Errorf("release: got %+v, %v", release, err)
		}
		builds, err := tx.Builds.Of("new", 0)
		if err != nil || len(builds) != 2 || builds[0].App != "new" {
			t.Errorf("builds: got %+v, %v", builds, err)
		}
		runs, err := tx.CronRuns.Of("new", "", 0)
		if err != nil || len(runs) != 2 || runs[0].App != "new" {
			t.Errorf("runs: got %+v, %v", runs, err)
		}
		for _, of := range []string{"new", ""} {
			domains, err := tx.Domains(of)
			if err != nil || len(domains) != 2 || domains[0].App != "new" {
				t.Errorf("domains: got %+v, %v", domains, err)
			}
			ports, err := tx.Ports.Of(of)
			if err != nil || len(ports) != 1 || ports[0].App != "new" {
				t.Errorf("ports: got %+v, %v", ports, err)
			}
		}
		pairs, err := tx.Pairs.Of("new")
		if err != nil || len(pairs) != 2 || pairs[0].App != "new" || pairs[0].Key != "the key of old" {
			t.Errorf("pairs: got %+v, %v", pairs, err)
		}
		logins, err := tx.Registries.All()
		if err != nil || logins[store.RegistryPlace{App: "new", Host: "registry.example.com"}].Password != "old" {
			t.Errorf("registries: got %v, %v", logins, err)
		}
		key, err := tx.Keys.Get("ci-of-old")
		if err != nil || !slices.Equal(key.Apps, []string{"new"}) {
			t.Errorf("the key may reach %q (%v), want the app by its new name", key.Apps, err)
		}
		login, _, err := tx.Logins.Get("hash of old")
		if err != nil || !slices.Equal(login.User.Apps, []string{"new"}) {
			t.Errorf("the session may reach %q (%v), want the app by its new name", login.User.Apps, err)
		}
		events, err := tx.Events("new", 0)
		if err != nil || len(events) != 2 || events[0].App != "new" {
			t.Errorf("events: got %+v, %v", events, err)
		}
		_, err = tx.App("old")
		wantCode(t, err, "E101")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// notOfApps are the buckets that hold nothing of an app.
var notOfApps = []string{"meta", "hostkeys", "certificates"}

// ofThePast are those whose records outlive the app that they tell of.
var ofThePast = []string{"audit", "auditof", "events", "eventsof", "volumes"}

func TestDeleteApp_LeavesNothing(t *testing.T) {
	for _, bucket := range store.Buckets() {
		n := 0
		for _, list := range [][]string{store.Hanging(), notOfApps, ofThePast} {
			if slices.Contains(list, bucket) {
				n++
			}
		}
		if n != 1 {
			t.Errorf("the bucket %s is in %d lists: hanging in store/delete.go, or one of those of this test", bucket, n)
		}
	}

	s := open(t, t.TempDir())
	create(t, s, "blog")
	furnish(t, s, "blog")
	without := dump(t, s)
	app := create(t, s, "shop")
	furnish(t, s, "shop")
	filled := map[string]bool{}
	for key := range dump(t, s) {
		if _, before := without[key]; !before {
			bucket, _, _ := strings.Cut(key, "/")
			filled[bucket] = true
		}
	}
	for _, bucket := range store.Hanging() {
		if !filled[bucket] && bucket != "keys" {
			t.Errorf("furnish puts nothing into %s, so that this test shows nothing of it", bucket)
		}
	}

	update(t, s, func(tx *store.Tx) error { return tx.DeleteApp("shop") })
	for key, value := range dump(t, s) {
		bucket, _, _ := strings.Cut(key, "/")
		if slices.Contains(ofThePast, bucket) || key == `meta/"next-uid"` {
			continue
		}
		if strings.Contains(key+value, app.ID()) {
			t.Errorf("%s holds the id of the app: %.200q", key, value)
		}
		if bucket != "keys" && bucket != "logins" && strings.Contains(key+value, "shop") {
			t.Errorf("%s holds the name of the app: %.200q", key, value)
		}
		if old, there := without[key]; there && old != value && bucket != "registries" { // which are sealed anew
			t.Errorf("%s is another app's, and changed", key)
		}
	}
}

func TestDeleteApp_AKeyOfItAloneReachesNoOtherApp(t *testing.T) {
	s := open(t, t.TempDir())
	create(t, s, "shop")
	create(t, s, "blog")
	update(t, s, func(tx *store.Tx) error {
		return errors.Join(
			tx.Keys.Put(store.Key{Name: "one", Fingerprint: "1", Role: store.RoleDeploy, Apps: []string{"shop"}}),
			tx.Keys.Put(store.Key{Name: "two", Fingerprint: "2", Role: store.RoleDeploy, Apps: []string{"shop", "blog"}}),
			tx.Logins.Put(store.Login{Hash: "one", User: store.User{Name: "one", Role: store.RoleDeploy, Apps: []string{"shop"}}}),
			tx.DeleteApp("shop"),
		)
	})
	create(t, s, "shop") // by somebody else
	err := s.View(func(tx *store.Tx) error {
		one, err := tx.Keys.Get("one")
		if err != nil {
			return err
		}
		login, _, err := tx.Logins.Get("one")
		if err != nil {
			return err
		}
		for _, user := range []store.User{one.User(), login.User} {
			for _, app := range []string{"shop", "blog"} {
				wantCode(t, user.May(store.RoleRead, app), "E111")
			}
			wantCode(t, user.May(store.RoleDeploy, ""), "E111")
		}
		two, err := tx.Keys.Get("two")
		if err != nil || !slices.Equal(two.Apps, []string{"blog"}) {
			t.Errorf("the other key may reach %q (%v), want blog", two.Apps, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	// Stored once more, as at its next use, it stays so.
	update(t, s, func(tx *store.Tx) error {
		one, err := tx.Keys.Get("one")
		if err != nil {
			return err
		}
		if err := tx.Keys.Put(one); err != nil {
			return err
		}
		one, err = tx.Keys.Get("one")
		wantCode(t, one.User().May(store.RoleRead, "blog"), "E111")
		return err
	})
}

func TestPutApp_OfAnAppThatWasRenamedOrDestroyedMeanwhile(t *testing.T) {
	s := open(t, t.TempDir())
	app := create(t, s, "old")
	update(t, s, func(tx *store.Tx) error { _, err := tx.RenameApp("old", "new"); return err })
	app.Stopped = true
	update(t, s, func(tx *store.Tx) error { return tx.PutApp(app) })
	s.View(func(tx *store.Tx) error {
		got, err := tx.App("new")
		if err != nil || !got.Stopped || got.Name != "new" {
			t.Errorf("got %+v, %v; want the change under the new name", got, err)
		}
		_, err = tx.App("old")
		wantCode(t, err, "E101")
		return nil
	})
	update(t, s, func(tx *store.Tx) error { return tx.DeleteApp("new") })
	wantCode(t, s.Update(func(tx *store.Tx) error { return tx.PutApp(app) }), "E101")
	wantCode(t, s.Update(func(tx *store.Tx) error { return tx.Builds.Put(store.Build{App: "new", Number: 1}) }), "E101")
}

func TestReserve_HoldsAnIDForTheAppThatComes(t *testing.T) {
	s := open(t, t.TempDir())
	first := create(t, s, "first")
	reserve := func(name string, want int, wantFresh bool) func() {
		t.Helper()
		uid, fresh, release, err := s.Reserve(name)
		if err != nil || uid != want || fresh != wantFresh {
			t.Errorf("reserve %s: got %d, %t, %v; want %d, %t", name, uid, fresh, err, want, wantFresh)
		}
		return release
	}
	next := first.UID + 1
	again := reserve("shop", next, true)
	release := reserve("shop", next, false)
	other := reserve("blog", next+1, true)
	if app := create(t, s, "quick"); app.UID != next+2 {
		t.Errorf("an app that was not waited for has the id %d, want %d", app.UID, next+2)
	}
	if app := create(t, s, "shop"); app.UID != next {
		t.Errorf("the app has the id %d, want the reserved %d", app.UID, next)
	}
	// The next app of that name is another.
	update(t, s, func(tx *store.Tx) error { return tx.DeleteApp("shop") })
	if app := create(t, s, "shop"); app.UID != next+3 {
		t.Errorf("the next app has the id %d, want %d", app.UID, next+3)
	}
	again()
	release()
	release() // once is enough
	other()
	_, _, _, err := s.Reserve("no name")
	wantCode(t, err, "E100")
	// What was not used is free; an id below one that was given is not given any more.
	if app := create(t, s, "blog"); app.UID != next+4 {
		t.Errorf("got the id %d, want %d", app.UID, next+4)
	}
}
