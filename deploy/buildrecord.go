package deploy

import (
	"time"

	"github.com/berthd/berth/build"
	"github.com/berthd/berth/git"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
)

// beginBuild records a build that starts now. A push of another branch than the
// app deploys by now is a fault (E415).
func beginBuild(db *store.Store, p Push, commit git.Commit) (record store.App, began store.Build, err error) {
	err = db.Update(func(tx *store.Tx) error {
		if record, err = tx.App(p.App); err != nil {
			return err
		}
		if p.Branch != "" && record.Branch != "" && p.Branch != record.Branch {
			return errBranchChanged(record)
		}
		record, began, err = build.Begin(tx, p.App, p.Branch, p.By.Name, commit)
		return err
	})
	return record, began, fault.ExplainDiskFull(err)
}

func (d *Deployer) endBuild(build store.Build) {
	err := d.db.Update(func(tx *store.Tx) error { return tx.Builds.Put(build) })
	d.warn("the end of a build was not recorded", err, "app", build.App, "build", build.Number)
	d.publish(build.App)
}

// unbegun keeps a record of a push that was sent away before its build began.
func (d *Deployer) unbegun(p Push, commit git.Commit, why error) {
	err := d.db.Update(func(tx *store.Tx) error {
		_, build, err := build.Begin(tx, p.App, p.Branch, p.By.Name, commit)
		if err != nil {
			return err
		}
		build.Status, build.Error, build.FinishedAt = store.BuildCancelled, why.Error(), time.Now().UTC()
		return tx.Builds.Put(build)
	})
	d.publish(p.App)
	d.warn("a refused push was not recorded", err, "app", p.App)
}
