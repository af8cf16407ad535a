package deploy

import (
	"time"

	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// unlocked returns a fault (E417) when somebody keeps deploys away from an app.
func unlocked(app store.App) error {
	if app.Locked == nil {
		return nil
	}
	return fault.New(fault.Conflict, code.AppLocked, "deploys of %s are locked, by %s since %s", app.Name, app.Locked.By, app.Locked.At.UTC().Format(time.DateTime)).
		Hint("berth apps:unlock %s unlocks deploys", app.Name)
}
