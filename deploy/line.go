package deploy

import (
	"context"
	"sync"

	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// line is a queue of slow work on one app: one at a time, in the order of
// arrival, except that of the pushes that wait only the newest is kept.
type line struct {
	mu      sync.Mutex
	holder  *ticket
	waiting []*ticket
}

// ticket is a place in the line.
type ticket struct {
	what     string // "the push of 4f1c9ab by alice"
	push     bool
	destroys bool       // it is the app's end, and may have its turn when nothing else may
	turn     chan error // gets nil when it is its turn, or why it never will be
}

// enter waits for the turn and returns what gives it up. waiting, if not nil,
// is called once when there is a wait, with what the holder is at. Whoever
// leaves while they wait, which ctx says, never gets the turn.
func (l *line) enter(ctx context.Context, t ticket, waiting func(holder string)) (leave func(), err error) {
	t.turn = make(chan error, 1)
	l.mu.Lock()
	if l.holder == nil {
		l.holder = &t
		l.mu.Unlock()
		return func() { l.leave() }, nil
	}
	holder := l.holder.what
	if t.push {
		l.sendAway(fault.New(fault.Conflict, code.PushSuperseded, "a newer push took the place of this one: %s", t.what))
	}
	l.waiting = append(l.waiting, &t)
	l.mu.Unlock()

	if waiting != nil {
		waiting(holder)
	}
	select {
	case err := <-t.turn:
		if err != nil {
			return nil, err
		}
		return func() { l.leave() }, nil
	case <-ctx.Done():
		l.forget(&t)
		return nil, context.Cause(ctx)
	}
}

// dismiss sends the pushes that wait away, and tells whether there were any.
func (l *line) dismiss(why error) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sendAway(why)
}

// sendAway is dismiss; the caller holds mu.
func (l *line) sendAway(why error) (any bool) {
	kept := l.waiting[:0]
	for _, w := range l.waiting {
		if !w.push {
			kept = append(kept, w)
			continue
		}
		w.turn <- why
		any = true
	}
	l.waiting = kept
	return any
}

func (l *line) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.holder = nil
	if len(l.waiting) > 0 {
		l.holder = l.waiting[0]
		l.waiting = l.waiting[1:]
		l.holder.turn <- nil
	}
}

// forget takes back a ticket whose owner gave up waiting; if its turn came at
// that very moment, the turn is passed on.
func (l *line) forget(t *ticket) {
	l.mu.Lock()
	for i, w := range l.waiting {
		if w == t {
			l.waiting = append(l.waiting[:i], l.waiting[i+1:]...)
			break
		}
	}
	mine := l.holder == t
	l.mu.Unlock()
	if mine {
		l.leave()
	}
}

// state tells what is being done and, of the pushes, what waits.
func (l *line) state() (holder, waiting string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.holder != nil {
		holder = l.holder.what
	}
	for _, w := range l.waiting {
		if w.push {
			waiting = w.what
		}
	}
	return holder, waiting
}
