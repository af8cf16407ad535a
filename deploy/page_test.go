package deploy

import (
	"io"
	"testing"

	"github.com/berthd/berth/edge"
	"github.com/berthd/berth/store"
)

func TestPages_TheOneThatWasSetGoesBeforeTheReleases(t *testing.T) {
	d := newDeployer(t)
	shop(t, d)
	carry := func(number int, page string) {
		t.Helper()
		update(t, d, func(tx *store.Tx) error {
			r := store.Release{App: "shop", Number: number, Status: store.ReleasePending, Pages: map[string]string{store.PageMaintenance: store.PageKey([]byte(page))}}
			if err := tx.PutRelease(r); err != nil {
				return err
			}
			if err := tx.Pages.PutCarried("shop", []byte(page)); err != nil {
				return err
			}
			return makeLive(tx, "shop", number, nil)
		})
	}
	want := func(page string) {
		t.Helper()
		if got := shown(t, d, "shop"); got != page {
			t.Errorf("the page is %q; want %q", got, page)
		}
	}
	want("")
	carry(2, "two")
	want("two")
	carry(3, "three")
	want("three")
	if _, err := d.edge.SetRouter(t.Context(), "shop", store.PageMaintenance, "by hand", store.Root); err != nil {
		t.Fatal(err)
	}
	want("by hand")
	if _, err := d.edge.SetRouter(t.Context(), "shop", store.PageMaintenance, "", store.Root); err != nil {
		t.Fatal(err)
	}
	want("three")
	update(t, d, func(tx *store.Tx) error { return makeLive(tx, "shop", 2, nil) }) // rolled back
	want("two")
	d.cfg.KeepReleases = 1
	rebuild(d)
	d.collectPages("shop")
	want("two")
	update(t, d, func(tx *store.Tx) error {
		if got := tx.Pages.CarriedKeys("shop"); len(got) != 1 {
			t.Errorf("%d pages are stored, want one", len(got))
		}
		return nil
	})
	if _, err := d.RenameApp(t.Context(), "shop", "store", store.Root, io.Discard); err != nil {
		t.Fatal(err)
	}
	if got := shown(t, d, "store"); got != "two" {
		t.Errorf("renamed, the page is %q", got)
	}
}

// shown returns an app's page of maintenance.
func shown(t *testing.T, d *Deployer, app string) (page string) {
	t.Helper()
	err := d.db.View(func(tx *store.Tx) error {
		content, _, err := edge.PageOf(tx, app, store.PageMaintenance)
		page = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return page
}
