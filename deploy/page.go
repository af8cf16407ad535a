package deploy

import (
	"github.com/berthd/berth/build"
	"github.com/berthd/berth/store"
)

// collectPages forgets the pages that only releases carried which are not kept.
func (d *Deployer) collectPages(app string) {
	var stale []string
	look := func(tx *store.Tx) error {
		record, err := tx.App(app)
		if err != nil {
			return err
		}
		releases, err := build.Keep(record, tx.EachRelease(app), d.build.KeptReleases())
		if err != nil {
			return err
		}
		wanted := map[string]bool{}
		for _, r := range releases {
			for _, key := range r.Pages {
				wanted[key] = true
			}
		}
		stale = nil
		for key := range tx.Pages.CarriedKeys(app) {
			if !wanted[key] {
				stale = append(stale, key)
			}
		}
		return nil
	}
	err := d.db.View(look)
	if err == nil && len(stale) > 0 {
		err = d.db.Update(func(tx *store.Tx) error {
			if err := look(tx); err != nil { // a release may have come meanwhile
				return err
			}
			for _, key := range stale {
				if err := tx.Pages.DeleteCarried(app, key); err != nil {
					return err
				}
			}
			return nil
		})
	}
	d.warn("old pages were not removed", err, "app", app)
}
