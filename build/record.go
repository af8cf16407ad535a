package build

import (
	"time"

	"github.com/berthd/berth/git"
	"github.com/berthd/berth/store"
)

// Begin stores the record of a build that starts now. The branch becomes the
// app's when it has none.
func Begin(tx *store.Tx, app, branch, by string, commit git.Commit) (record store.App, build store.Build, err error) {
	if record, err = tx.App(app); err != nil {
		return record, build, err
	}
	record.LastBuild++
	if record.Branch == "" {
		record.Branch = branch
	}
	build = store.Build{
		App: record.Name, Number: record.LastBuild, Status: store.BuildRunning, Commit: commit.ID,
		Subject: commit.Subject, Branch: branch, By: by, StartedAt: time.Now().UTC(),
	}
	last, err := tx.Builds.Of(app, 1)
	if err != nil {
		return record, build, err
	}
	for _, before := range last {
		build.Layers = before.Layers // until it knows its own
	}
	if err := tx.PutApp(record); err != nil {
		return record, build, err
	}
	return record, build, tx.Builds.Put(build)
}
