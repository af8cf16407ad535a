package verbs

import (
	"context"
	"slices"
	"time"

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
		follow[store.Event](Verb{
			Name: "events:follow", Role: reads, Hidden: true,
			Short: "follow events",
		}, n.follow),
		look(Verb{
			Name: "events:list", Role: reads,
			Short:   "list the kinds of events",
			Example: "events:list",
		}, n.kinds),
	}
}

// EventArgs choose events, of one app or of all.
type EventArgs struct {
	App   string `json:"app,omitempty" cli:"[APP]"`
	Limit int    `json:"limit,omitempty" flag:"num,n" default:"50" help:"number of newest events to show"` // 0 is 50
}

func (a EventArgs) target() (string, bool) { return a.App, false }

const defaultEvents = 50

// What follows looks so often, and reads so many at most at once: more in such a
// time would have pushed one another out anyway.
const (
	followEvery  = 500 * time.Millisecond
	followAtOnce = 1000
)

// EventFollowArgs choose events, and perhaps those that come.
type EventFollowArgs struct {
	EventArgs
	Follow bool `json:"follow,omitempty"` // until the asker leaves
}

// follow emits the last events and perhaps those that come.
func (n events) follow(ctx context.Context, c Call, followed EventFollowArgs) error {
	args := followed.EventArgs
	var last uint64
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		events, err := n.list(ctx, c, args)
		if err != nil {
			return err
		}
		for _, e := range slices.Backward(events) { // the oldest first
			if e.ID <= last {
				continue
			}
			if err := c.Emit(e); err != nil {
				return err
			}
			last = e.ID
		}
		if !followed.Follow {
			return nil
		}
		args.Limit = followAtOnce
		select {
		case <-ctx.Done():
			return nil // that is how following ends
		case <-tick.C:
		}
	}
}

// kinds are of the events that the user may see.
func (n events) kinds(ctx context.Context, c Call, _ NoArgs) ([]string, error) {
	events, err := n.list(ctx, c, EventArgs{Limit: followAtOnce})
	kinds := []string{}
	for _, e := range events {
		if !slices.Contains(kinds, e.Kind) {
			kinds = append(kinds, e.Kind)
		}
	}
	slices.Sort(kinds)
	return kinds, err
}

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
