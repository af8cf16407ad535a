package sshd

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"
)

// waitNotice is how often somebody who waits is told that they still do.
const waitNotice = 15 * time.Second

// turns lets one push at a time at each app. When it ends, the newest of those
// who wait comes next: what they bring is what should be live in the end, and
// the older ones then mostly learn from git that they are behind, without a
// build.
//
// Tidying up an app's repository goes on beside no push, and has no turn: it
// is killed when one arrives.
type turns struct {
	mu      sync.Mutex
	arrived uint64
	apps    map[string]*queue // by id: a push goes on while its app is renamed
	tidying map[string]*tidying
}

type tidying struct {
	cancel context.CancelFunc
	ended  chan struct{}
}

type queue struct {
	holder  *turn
	waiting []*turn // oldest first
}

// turn is somebody's turn at an app.
type turn struct {
	turns    *turns
	app, by  string // the app by its id
	number   uint64 // in the order of arrival
	granted  chan struct{}
	passedBy string // who came later and was deployed earlier; set before granted
	deployed bool   // set by its holder
}

// take waits for a turn at the app with the id, and says to w for whom. The only
// error is ctx's.
func (ts *turns) take(ctx context.Context, id, app, by string, w io.Writer) (*turn, error) {
	t, holder := ts.join(id, by)
	ts.interrupt(id)
	if holder == "" {
		return t, nil
	}
	fmt.Fprintf(w, "-----> %s  waiting for the push by %s\n", app, holder)
	start := time.Now()
	tick := time.NewTicker(waitNotice)
	defer tick.Stop()
	for {
		select {
		case <-t.granted:
			return t, nil
		case <-tick.C:
			fmt.Fprintf(w, "       still waiting (%.0fs)\n", time.Since(start).Seconds())
		case <-ctx.Done():
			t.leave()
			return nil, context.Cause(ctx)
		}
	}
}

// join queues up and returns who has the turn; "" means that it is ours.
func (ts *turns) join(app, by string) (t *turn, holder string) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	ts.arrived++
	t = &turn{turns: ts, app: app, by: by, number: ts.arrived, granted: make(chan struct{})}
	q := ts.apps[app]
	if q == nil {
		if ts.apps == nil {
			ts.apps = map[string]*queue{}
		}
		ts.apps[app] = &queue{holder: t}
		return t, ""
	}
	q.waiting = append(q.waiting, t)
	return t, q.holder.by
}

// leave gives up waiting, or the turn if it has just come.
func (t *turn) leave() {
	t.turns.mu.Lock()
	q := t.turns.apps[t.app]
	mine := q.holder == t
	if !mine {
		q.waiting = slices.DeleteFunc(q.waiting, func(w *turn) bool { return w == t })
	}
	t.turns.mu.Unlock()
	if mine {
		t.done()
	}
}

// done ends the turn.
func (t *turn) done() {
	t.turns.mu.Lock()
	defer t.turns.mu.Unlock()
	q := t.turns.apps[t.app]
	if t.deployed {
		for _, w := range q.waiting {
			if w.number < t.number {
				w.passedBy = t.by
			}
		}
	}
	if len(q.waiting) == 0 {
		delete(t.turns.apps, t.app)
		return
	}
	last := len(q.waiting) - 1
	q.holder = q.waiting[last]
	q.waiting = q.waiting[:last]
	close(q.holder.granted)
}

// tidy runs work in the background while nobody pushes to the app: it does not
// begin when somebody does, and its context ends when somebody comes, who then
// waits for its end.
func (ts *turns) tidy(ctx context.Context, app string, group *sync.WaitGroup, work func(ctx context.Context)) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.apps[app] != nil || ts.tidying[app] != nil {
		return
	}
	if ts.tidying == nil {
		ts.tidying = map[string]*tidying{}
	}
	ctx, cancel := context.WithCancel(ctx)
	t := &tidying{cancel: cancel, ended: make(chan struct{})}
	ts.tidying[app] = t
	group.Go(func() {
		defer func() {
			cancel()
			ts.mu.Lock()
			defer ts.mu.Unlock()
			delete(ts.tidying, app)
			close(t.ended)
		}()
		work(ctx)
	})
}

// interrupt ends the tidying of an app's repository and waits for it. With a
// turn at the app taken, or asked for, none begins any more.
func (ts *turns) interrupt(app string) {
	ts.mu.Lock()
	t := ts.tidying[app]
	ts.mu.Unlock()
	if t != nil {
		t.cancel()
		<-t.ended
	}
}
