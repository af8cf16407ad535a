package store_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/berthd/berth/store"
)

func TestParseConsentPort(t *testing.T) {
	for word, want := range map[string]string{"": "web", "web": "web", "5432": "5432", "1": "1", "65535": "65535", "Worker_2": "Worker_2"} {
		if got, err := store.ParseConsentPort(word); got != want || err != nil {
			t.Errorf("%q: got %q, %v; want %q", word, got, err, want)
		}
	}
	for _, word := range []string{"0", "65536", "-1", "05432", "+5", "web.1", "web worker", "é", "web\n", " web", "5432/udp", strings.Repeat("x", 5000), "\x00"} {
		_, err := store.ParseConsentPort(word)
		wantCode(t, err, "E640")
	}
}

func TestConsents_GoWithEitherEndAndFollowItsName(t *testing.T) {
	s := open(t, t.TempDir())
	for _, name := range []string{"shop", "api", "blog"} {
		create(t, s, name)
	}
	consent := func(from, to, port string) store.Consent {
		return store.Consent{From: from, To: to, Port: port, By: "alice"}
	}
	list := func(app string) (text string) {
		t.Helper()
		if err := s.View(func(tx *store.Tx) error {
			consents, err := tx.Consents.Of(app)
			for _, c := range consents {
				text += fmt.Sprintf("%s>%s:%s ", c.From, c.To, c.Port)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return text
	}
	for _, c := range []store.Consent{consent("shop", "api", "web"), consent("shop", "api", "5432"), consent("blog", "shop", "web"), consent("shop", "api", "web")} {
		update(t, s, func(tx *store.Tx) error { _, err := tx.Consents.Put(c); return err })
	}
	if got, want := list("shop"), "shop>api:5432 shop>api:web blog>shop:web "; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := list("api"), "shop>api:5432 shop>api:web "; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, c := range []store.Consent{consent("api", "shop", ""), consent("shop", "api", "80"), consent("shop", "blog", "")} {
		wantCode(t, s.Update(func(tx *store.Tx) error { return tx.Consents.Delete(c) }), "E641")
	}
	for _, c := range []store.Consent{consent("nobody", "shop", "web"), consent("shop", "nobody", "web")} {
		wantCode(t, s.Update(func(tx *store.Tx) error { _, err := tx.Consents.Put(c); return err }), "E101")
		wantCode(t, s.Update(func(tx *store.Tx) error { return tx.Consents.Delete(c) }), "E641")
	}
	update(t, s, func(tx *store.Tx) error { _, err := tx.RenameApp("api", "new"); return err })
	update(t, s, func(tx *store.Tx) error { return tx.Consents.Delete(consent("shop", "new", "5432")) })
	if got, want := list(""), "shop>new:web blog>shop:web "; got != want {
		t.Errorf("after the renaming: got %q, want %q", got, want)
	}
	update(t, s, func(tx *store.Tx) error { return tx.DeleteApp("new") })
	if got, want := list(""), "blog>shop:web "; got != want {
		t.Errorf("without the one who is called: got %q, want %q", got, want)
	}
	update(t, s, func(tx *store.Tx) error { return tx.DeleteApp("blog") })
	if got := list(""); got != "" {
		t.Errorf("without the one who calls: got %q", got)
	}
	create(t, s, "api")
	if got := list("api"); got != "" {
		t.Errorf("a new app of an old name has %q", got)
	}
	for n := range store.MaxConsents {
		update(t, s, func(tx *store.Tx) error {
			_, err := tx.Consents.Put(consent("shop", "api", fmt.Sprint(n+1)))
			return err
		})
	}
	wantCode(t, s.Update(func(tx *store.Tx) error { _, err := tx.Consents.Put(consent("shop", "api", "web")); return err }), "E642")
	update(t, s, func(tx *store.Tx) error { return tx.Consents.Delete(consent("shop", "api", "")) })
	if got := list(""); got != "" {
		t.Errorf("after all were taken back: got %q", got)
	}
}
