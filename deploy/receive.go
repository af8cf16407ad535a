package deploy

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/berthd/berth/build/progress"
	"github.com/berthd/berth/fleet/formation"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// waitNotice is how often somebody who waits is told that they still do.
const waitNotice = 15 * time.Second

// Turn is the turn of a push at its app, from before git tells the client where
// the refs are until they have moved. Were it taken later, a second push of the
// same developer would wait for the first, deploy, and then fail to move a ref
// that is no longer where the client was told. So everybody who waits is told the
// truth when their turn comes, and git itself says whether what they have still
// fits.
//
// It is a turn in the app's line of builds. When it ends, the newest of the pushes
// that wait comes next: what it brings is what should be live in the end. Once
// that one deploys, those that came before it are sent away (E401).
type Turn struct {
	ticket *ticket
	app    *app    // nil when there was none
	lines  []*line // that the turn is in
	untidy func(ctx context.Context) error
}

// Untidy runs work on the app's repository while nobody uses the app: it does
// not start when somebody does, and its context ends when somebody comes, who
// then waits for its end.
func (t *Turn) Untidy(tidy func(ctx context.Context) error) {
	if t != nil {
		t.untidy = tidy
	}
}

// Receive runs work in the push's turn at the app, or at the name if the app
// does not exist yet. It waits until ctx ends, and writes to out for whom it
// waits. The context of work outlives ctx, and ends with the deployer, or when
// the app is to be destroyed.
func (s *turns) Receive(ctx context.Context, name string, by store.User, out io.Writer, work func(ctx context.Context, turn *Turn) error) error {
	if err := s.ready(ctx); err != nil {
		return restarted(ctx, err)
	}
	waiting, stop := waits(progress.New(out), name)
	defer stop()
	t := &Turn{ticket: &ticket{what: "the push by " + by.Name, push: true}}
	leave, err := s.enterByName(ctx, name, t, waiting)
	stop()
	if err != nil {
		return restarted(ctx, err)
	}
	defer func() {
		leave()
		if t.untidy != nil && t.app != nil {
			s.tidy(t.app, name, t.untidy)
		}
	}()
	var end func()
	if t.app != nil {
		ctx, end = s.begun(ctx, t.app)
	} else {
		ctx, end = s.detached(ctx)
	}
	defer end()
	return work(ctx, t)
}

// waits tells the one who waits for whom, and now and then that they still do,
// until stop is called.
func waits(out *progress.Report, app string) (waiting func(holder string), stop func()) {
	began := time.Now()
	ended := make(chan struct{})
	var told chan struct{} // closed when nothing is told any more
	waiting = func(holder string) {
		out.Title("%s  waiting for %s", app, holder)
		if told != nil {
			return
		}
		told = make(chan struct{})
		go func() {
			defer close(told)
			tick := time.NewTicker(waitNotice)
			defer tick.Stop()
			for {
				select {
				case <-tick.C:
					out.Detail("still waiting (%.0fs)", time.Since(began).Seconds())
				case <-ended:
					return
				}
			}
		}()
	}
	return waiting, sync.OnceFunc(func() {
		close(ended)
		if told != nil {
			<-told
		}
	})
}

// names are the lines of the pushes to names that are no app's, or were none when
// the first of them came.
type names struct {
	db *store.Store

	mu    sync.Mutex // guards what follows
	lines map[string]*newcomers
}

// newcomers is the line of the pushes to one name.
type newcomers struct {
	line  line
	users int // who stand in it; guarded by mu of the names
}

// join returns the line of a name, with one more in it, when there is no app of
// that name or somebody makes it; nil otherwise.
func (n *names) join(name string) *newcomers {
	n.mu.Lock()
	defer n.mu.Unlock()
	l := n.lines[name]
	if l == nil {
		err := n.db.View(func(tx *store.Tx) error { _, err := tx.App(name); return err })
		if !isNotFound(err) {
			return nil
		}
		if n.lines == nil {
			n.lines = map[string]*newcomers{}
		}
		l = &newcomers{}
		n.lines[name] = l
	}
	l.users++
	return l
}

// leave is called by who joined.
func (n *names) leave(name string, l *newcomers) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if l.users--; l.users == 0 {
		delete(n.lines, name)
	}
}

// enterByName waits for the turn at an app, or at the name when there is no app of
// it yet, and puts it into t. While somebody makes the app, whoever comes stands
// in the line of the name first, and in the app's own after it.
func (s *turns) enterByName(ctx context.Context, name string, t *Turn, waiting func(holder string)) (leave func(), err error) {
	leaveName := func() {}
	defer func() {
		if err != nil {
			leaveName()
		}
	}()
	if n := s.names.join(name); n != nil {
		out, err := n.line.enter(ctx, t.ticket, waiting)
		if err != nil {
			s.names.leave(name, n)
			return nil, err
		}
		t.lines = append(t.lines, &n.line)
		leaveName = func() { out(); s.names.leave(name, n) }
	}
	for {
		_, a, err := s.find(name)
		if isNotFound(err) {
			if t.lines == nil { // it was destroyed while we waited
				return s.enterByName(ctx, name, t, waiting)
			}
			return leaveName, nil
		}
		if err != nil {
			return nil, err
		}
		own := t.ticket
		if t.lines != nil {
			own = &ticket{what: t.ticket.what, push: true}
		}
		leave, err := a.builds.enter(ctx, own, waiting)
		if err != nil {
			return nil, err
		}
		if why := a.doom(); why != nil {
			leave()
			return nil, why
		}
		if _, now, err := s.find(name); err == nil && now == a && ctx.Err() == nil {
			t.ticket, t.app, t.lines = own, a, append(t.lines, &a.builds)
			return func() { leave(); leaveName() }, nil
		}
		leave()
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
	}
}

func isNotFound(err error) bool {
	f := fault.From(err)
	return f != nil && f.Kind == fault.NotFound
}

// tidy has work done in the background while nobody is at the app's builds.
func (s *turns) tidy(a *app, name string, work func(ctx context.Context) error) {
	ctx, cancel := context.WithCancel(s.life)
	leave, free := a.builds.try(&ticket{what: "the tidying of its repository", yield: cancel})
	if !free {
		cancel()
		return
	}
	begun := s.background(func(context.Context) {
		defer leave()
		defer cancel()
		if _, now, err := s.find(name); err != nil || now != a {
			return // the repository is another's by now
		}
		if err := work(ctx); ctx.Err() == nil {
			s.warn("a repository was not tidied up", err, "app", name)
		}
	})
	if !begun {
		cancel()
		leave()
	}
}

// Expect says that a push to app is coming in, so that containers can be readied
// meanwhile. cancel removes those that no push has taken; it may be called after
// the push.
func (s *turns) Expect(name string) (cancel func()) {
	select {
	case <-s.adopted:
	default:
		return func() {} // berth is starting
	}
	record, a, err := s.find(name)
	if err != nil || record.Release == 0 || record.Stopped {
		return func() {}
	}
	live, err := s.liveWithoutConfig(record)
	// Where the source is part of the base, the next one will have another base.
	if err != nil || live.Base == "" || live.Base == live.Layer {
		return func() {}
	}
	next := formation.Of(s.counts(record), live)
	next.Number, next.Layer = record.LastRelease+1, live.Base
	next.Foreign, next.StopSignal = false, ""
	return a.fleet.Expect(next)
}

// restarted is why a push ends that nobody has given up: berth ends.
func restarted(ctx context.Context, err error) error {
	if !errors.Is(err, context.Canceled) || ctx.Err() != nil {
		return err
	}
	return fault.New(fault.Failed, code.PushInterrupted, "berth is restarting and interrupted this push").Hint("push again in a moment")
}
