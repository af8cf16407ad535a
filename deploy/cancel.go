package deploy

import (
	"context"
	"fmt"

	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// CancelBuild ends a build, whether it waits, builds or starts its release, and
// returns its record. Number 0 is the current build, or else the push that
// waits for the app. The running release does not change.
func (d *Deployer) CancelBuild(ctx context.Context, name string, number int, by store.User) (build store.Build, err error) {
	_, a, err := d.find(name)
	if err != nil {
		return build, err
	}
	u := a.building(number)
	if u == nil {
		return build, d.cancelWaiting(name, a, number, by)
	}
	what := fmt.Sprintf("build %d", u.number)
	if !u.stop(errCancelled(what, by)) {
		return build, fault.New(fault.Conflict, code.BuildPastCancel, "%s of %s can no longer be cancelled: its release is going live", what, name).
			Hint("to roll back afterwards: berth rollback %s", name)
	}
	d.recordEvent(store.Event{App: name, By: by.Name, Kind: "build", Text: what + " cancelled"})
	select {
	case <-u.ended:
	case <-ctx.Done():
		return build, ctx.Err()
	}
	err = d.db.View(func(tx *store.Tx) error {
		build, err = tx.Builds.Get(a.called(), u.number)
		return err
	})
	return build, err
}

// cancelWaiting sends away a push that has no build yet, because another build
// of its app goes on.
func (d *Deployer) cancelWaiting(name string, a *app, number int, by store.User) error {
	if number == 0 && a.builds.dismiss(errCancelled("the push", by)) {
		d.recordEvent(store.Event{App: name, By: by.Name, Kind: "build", Text: "a waiting push was cancelled"})
		return nil
	}
	if number == 0 {
		return fault.New(fault.Conflict, code.BuildNotRunning, "%s has no running build", name)
	}
	return d.db.View(func(tx *store.Tx) error {
		build, err := tx.Builds.Get(name, number)
		if err != nil {
			return err
		}
		return fault.New(fault.Conflict, code.BuildNotRunning, "build %d of %s has ended: it %s", number, name, endedAs(build.Status))
	})
}

func endedAs(s store.BuildStatus) string {
	if s == store.BuildCancelled {
		return "was cancelled"
	}
	return string(s)
}

func errCancelled(what string, by store.User) *fault.Error {
	return fault.New(fault.Failed, code.PushCancelled, "%s was cancelled by %s", what, by.Name).Hint("push again to build it")
}
