package web

import (
	"context"

	"github.com/berthd/berth/deploy"
	"github.com/berthd/berth/store"
)

// LogArgs choose lines of an app's logs.
type LogArgs struct {
	AppArgs
	Process string `json:"process,omitempty"` // "web", "web.1", "cron.ID"; "" is all but cron and run
	Lines   int    `json:"lines,omitempty"`   // the last so many; negative is all, 0 is 100, or none when following
	Follow  bool   `json:"follow,omitempty"`  // and those that come, until the asker leaves
}

// defaultLogLines fill a screen or two.
const defaultLogLines = 100

func (a *API) logs(ctx context.Context, c call, args LogArgs) error {
	if err := a.exists(args.App); err != nil {
		return err
	}
	if args.Lines == 0 && !args.Follow {
		args.Lines = defaultLogLines
	}
	q := deploy.LogQuery{App: args.App, Process: args.Process, Lines: args.Lines, Follow: args.Follow}
	err := a.deployer.Logs(ctx, q, func(line deploy.LogLine) error { return c.emit(line) })
	if args.Follow && ctx.Err() != nil {
		return nil // that is how following ends
	}
	return err
}

// EventArgs choose events, of one app or of all.
type EventArgs struct {
	App   string `json:"app,omitempty"`
	Limit int    `json:"limit,omitempty"` // 0 is 50
}

func (a EventArgs) target() (string, bool) { return a.App, false }

const defaultEvents = 50

func (a *API) events(_ context.Context, c call, args EventArgs) (events []store.Event, err error) {
	if args.Limit <= 0 {
		args.Limit = defaultEvents
	}
	err = a.db.View(func(tx *store.Tx) error {
		if args.App != "" || len(c.user.Apps) == 0 {
			events, err = list(tx.Events(args.App, args.Limit))
			return err
		}
		mine := map[int]bool{} // by id: an app that is gone may have had the name of one of theirs
		for _, name := range c.user.Apps {
			if app, err := tx.App(name); err == nil && c.user.May(store.RoleRead, name) == nil {
				mine[app.UID] = true
			}
		}
		all, err := tx.Events("", 0)
		events = []store.Event{}
		for _, e := range all { // those of the user's own apps
			if mine[e.AppID] && len(events) < args.Limit {
				events = append(events, e)
			}
		}
		return err
	})
	return events, err
}

func (a *API) cronList(ctx context.Context, _ call, args AppArgs) ([]deploy.JobStatus, error) {
	return list(a.deployer.Jobs(ctx, args.App))
}

// JobArgs name an app's cron job.
type JobArgs struct {
	AppArgs
	ID string `json:"id"`
}

func (a *API) cronRun(ctx context.Context, c call, args JobArgs) (store.JobRun, error) {
	return a.deployer.RunJob(ctx, args.App, args.ID, c.user, c.out)
}
