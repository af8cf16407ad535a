// Package storetest fills the stores of tests. Nothing that is shipped imports it.
package storetest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/berthd/berth/store"
)

// History makes an app with so many releases, as many failed as retired.
func History(t testing.TB, db *store.Store, releases int) {
	t.Helper()
	config := map[string]string{"A": strings.Repeat("a", 1000)}
	for begun := 0; begun < releases; begun += 500 {
		err := db.Update(func(tx *store.Tx) error {
			if begun == 0 {
				if _, err := tx.CreateApp(store.App{Name: "shop", Release: releases, LastRelease: releases, Stopped: true}); err != nil {
					return err
				}
			}
			for n := begun + 1; n <= min(begun+500, releases); n++ {
				r := store.Release{App: "shop", Number: n, Status: store.ReleaseRetired, Layer: fmt.Sprint("layer ", n), Config: config}
				if n%2 == 0 {
					r.Status = store.ReleaseFailed
				}
				if n == releases {
					r.Status = store.ReleaseLive
				}
				if err := tx.PutRelease(r); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
