package build

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/berthd/berth/store"
)

func TestLogins_TheMachinesAreNotForBoundKeys(t *testing.T) {
	d := newBuilder(t)
	bound := tenant("shop", "blog")
	for _, app := range []string{"shop", "blog"} {
		update(t, d, func(tx *store.Tx) error { _, err := tx.CreateApp(store.App{Name: app}); return err })
	}
	for _, row := range [][3]string{{"", "a.test", "machine"}, {"", "b.test", "machine"}, {"shop", "b.test", "shop"}, {"shop", "c.test", "shop"}, {"blog", "a.test", "blog"}} {
		if err := d.LoginRegistry(t.Context(), row[0], row[1], store.RegistryLogin{Username: row[2], Password: "p"}, store.Root); err != nil {
			t.Fatal(err)
		}
	}
	see := func(app string, by store.User) string {
		t.Helper()
		logins, err := d.logins(app, by)
		if err != nil {
			t.Fatal(err)
		}
		text := ""
		for _, host := range slices.Sorted(maps.Keys(logins)) {
			text += fmt.Sprintf("%s=%s ", host, logins[host].Username)
		}
		return text
	}
	if got, want := see("shop", store.Root), "a.test=machine b.test=shop c.test=shop "; got != want {
		t.Errorf("root deploys shop with %q, want %q", got, want)
	}
	if got, want := see("shop", bound), "b.test=shop c.test=shop "; got != want {
		t.Errorf("a bound key deploys shop with %q, want %q", got, want)
	}
	update(t, d, func(tx *store.Tx) error { _, err := tx.RenameApp("shop", "store"); return err })
	if got, want := see("store", bound), "b.test=shop c.test=shop "; got != want {
		t.Errorf("after the renaming: %q, want %q", got, want)
	}
	update(t, d, func(tx *store.Tx) error { return tx.DeleteApp("store") })
	update(t, d, func(tx *store.Tx) error { _, err := tx.CreateApp(store.App{Name: "shop"}); return err })
	if got := see("shop", bound) + see("store", bound); got != "" {
		t.Errorf("after the destruction: %q", got)
	}
	if err := d.LogoutRegistry(t.Context(), "blog", "b.test", bound); codeOf(err) != "E165" {
		t.Errorf("the machine's login by an app: got %v, want E165", err)
	}
	for i := range maxRegistryLogins {
		err := d.LoginRegistry(t.Context(), "blog", fmt.Sprintf("r%d.test", i), store.RegistryLogin{Username: "u", Password: "p"}, bound)
		if want := map[bool]string{true: "E139"}[i == maxRegistryLogins-1]; codeOf(err) != want { // it has one already
			t.Errorf("login %d: got %v, want %q", i, err, want)
		}
	}
}

// A trusted login lets an image come from this machine's own registry, so a key
// that is bound to an app cannot make one.
func TestLogins_ABoundKeyMakesNoRegistryTrusted(t *testing.T) {
	d := newBuilder(t)
	bound := tenant("shop")
	update(t, d, func(tx *store.Tx) error { _, err := tx.CreateApp(store.App{Name: "shop"}); return err })
	trusted := func() bool {
		t.Helper()
		logins, err := d.logins("shop", bound)
		if err != nil {
			t.Fatal(err)
		}
		return logins["127.0.0.1:5000"].Trusted
	}
	for _, step := range []struct {
		by    store.User
		trust bool // the login that is given
		want  bool
	}{{bound, true, false}, {store.Root, false, true}, {bound, false, true}} {
		login := store.RegistryLogin{Username: step.by.Name, Password: "p", Trusted: step.trust}
		if err := d.LoginRegistry(t.Context(), "shop", "127.0.0.1:5000", login, step.by); err != nil {
			t.Fatal(err)
		}
		if got := trusted(); got != step.want {
			t.Errorf("a login by %s: trusted %t, want %t", step.by.Name, got, step.want)
		}
	}
}
