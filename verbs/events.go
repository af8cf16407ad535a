package verbs

import (
	"context"

	"github.com/berthd/berth/store"
)

type events struct {
	records
}

func (n events) verbs() []Verb {
	return []Verb{
		look(Verb{
			Name: "events", Role: reads,
			Short:   "show what happened, and who did it",
			Example: "events shop -n 20",
		}, n.list),
	}
}

// EventArgs choose events, of one app or of all.
type EventArgs struct {
	App   string `json:"app,omitempty" cli:"[APP]"`
	Limit int    `json:"limit,omitempty" flag:"num,n" default:"50" help:"number of newest events to show"` // 0 is 50
}

func (a EventArgs) target() (string, bool) { return a.App, false }

const defaultEvents = 50

func (n events) list(_ context.Context, c Call, args EventArgs) (events []store.Event, err error) {
	if args.Limit <= 0 {
		args.Limit = defaultEvents
	}
	err = n.db.View(func(tx *store.Tx) error {
		if args.App != "" || len(c.User.Apps) == 0 {
			events, err = list(tx.Events(args.App, args.Limit))
			return err
		}
		mine := map[int]bool{} // by id: an app that is gone may have had the name of one of these
		for _, name := range c.User.Apps {
			if app, err := tx.App(name); err == nil && sees(c.User, name) {
				mine[app.UID] = true
			}
		}
		all, err := tx.Events("", 0)
		events = []store.Event{}
		for _, e := range all {
			if mine[e.AppID] && len(events) < args.Limit {
				events = append(events, e)
			}
		}
		return err
	})
	return events, err
}
