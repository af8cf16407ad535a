package deploy

import (
	"bytes"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/berthd/berth/build/progress"
	"github.com/berthd/berth/store"
)

func TestReadPages_AreFilesOfTheSourceAndNotTooLong(t *testing.T) {
	outside := t.TempDir() + "/secret"
	if err := os.WriteFile(outside, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	const name = ".berth/maintenance.html"
	for what, row := range map[string]struct {
		make    func(root *os.Root) error
		want    string
		warning string
	}{
		"none":           {func(*os.Root) error { return nil }, "", ""},
		"a page":         {func(r *os.Root) error { return r.WriteFile(name, []byte("<h1>soon</h1>"), 0o644) }, "<h1>soon</h1>", ""},
		"empty":          {func(r *os.Root) error { return r.WriteFile(name, nil, 0o644) }, "", ""},
		"the longest":    {func(r *os.Root) error { return r.WriteFile(name, bytes.Repeat([]byte("x"), store.MaxPage), 0o644) }, strings.Repeat("x", store.MaxPage), ""},
		"too long":       {func(r *os.Root) error { return r.WriteFile(name, make([]byte, store.MaxPage+1), 0o644) }, "", "more than"},
		"a directory":    {func(r *os.Root) error { return r.Mkdir(name, 0o755) }, "", "no file"},
		"a link outside": {func(r *os.Root) error { return r.Symlink(outside, name) }, "", "warning"},
		"a link upwards": {func(r *os.Root) error { return r.Symlink("../../secret", name) }, "", "warning"},
		"a link inside": {func(r *os.Root) error {
			if err := r.WriteFile("page.html", []byte("inside"), 0o644); err != nil {
				return err
			}
			return r.Symlink("../page.html", name)
		}, "inside", ""},
	} {
		t.Run(what, func(t *testing.T) {
			root, err := os.OpenRoot(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			defer root.Close()
			if err := root.Mkdir(".berth", 0o755); err != nil {
				t.Fatal(err)
			}
			if err := row.make(root); err != nil {
				t.Fatal(err)
			}
			var out strings.Builder
			got := readPages(root, progress.New(&out))
			if string(got[store.PageMaintenance]) != row.want {
				t.Errorf("got %.60q, want %.60q", got[store.PageMaintenance], row.want)
			}
			if row.warning == "" && out.Len() > 0 || !strings.Contains(out.String(), row.warning) {
				t.Errorf("said %q, want %q", out.String(), row.warning)
			}
		})
	}
}

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
			if err := tx.PutCarriedPage("shop", []byte(page)); err != nil {
				return err
			}
			return makeLive(tx, "shop", number, nil)
		})
	}
	want := func(page string) {
		t.Helper()
		route, err := d.routeOf("shop")
		if err != nil || string(route.Options.MaintenancePage) != page {
			t.Errorf("the page is %q, %v; want %q", route.Options.MaintenancePage, err, page)
		}
	}
	want("")
	carry(2, "two")
	want("two")
	carry(3, "three")
	want("three")
	if _, err := d.SetRouter(t.Context(), "shop", store.PageMaintenance, "by hand", store.Root); err != nil {
		t.Fatal(err)
	}
	want("by hand")
	if _, err := d.SetRouter(t.Context(), "shop", store.PageMaintenance, "", store.Root); err != nil {
		t.Fatal(err)
	}
	want("three")
	update(t, d, func(tx *store.Tx) error { return makeLive(tx, "shop", 2, nil) }) // rolled back
	want("two")
	d.cfg.KeepReleases = 1
	d.build = d.newBuilder(noEngine{}, noImages{})
	d.collectPages("shop")
	want("two")
	update(t, d, func(tx *store.Tx) error {
		if got := tx.CarriedPages("shop"); len(got) != 1 {
			t.Errorf("%d pages are stored, want one", len(got))
		}
		return nil
	})
	if _, err := d.RenameApp(t.Context(), "shop", "store", store.Root, io.Discard); err != nil {
		t.Fatal(err)
	}
	if route, err := d.routeOf("store"); err != nil || string(route.Options.MaintenancePage) != "two" {
		t.Errorf("renamed, the page is %q, %v", route.Options.MaintenancePage, err)
	}
}
