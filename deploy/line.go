package deploy

import (
	"context"
	"slices"
	"sync"

	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// line is a queue of slow work on one app: one at a time, in the order of
// arrival, except that the newest of the pushes that wait comes first of them.
type line struct {
	mu      sync.Mutex // guards what follows, and what tickets say
	arrived int
	holder  *ticket
	waiting []*ticket // oldest first
}

// ticket is a place in the line.
type ticket struct {
	what     string // "the push of 4f1c9ab by alice"
	push     bool
	destroys bool       // it is the app's end, and may have its turn when nothing else may
	yield    func()     // asks the holder to end at once; nil is one that does not
	number   int        // in the order of arrival
	turn     chan error // gets nil when it is its turn, or why it never will be
}

// enter waits for the turn and returns what gives it up. waiting, if not nil,
// is called once when there is a wait, with what the holder is at. Whoever
// leaves while they wait, which ctx says, never gets the turn.
func (l *line) enter(ctx context.Context, t *ticket, waiting func(holder string)) (leave func(), err error) {
	leave, free := l.try(t)
	if free {
		return leave, nil
	}
	l.mu.Lock()
	if l.holder == nil { // it left at this very moment
		l.holder = t
		l.mu.Unlock()
		return func() { l.leave() }, nil
	}
	holder, yield := l.holder.what, l.holder.yield
	l.waiting = append(l.waiting, t)
	l.mu.Unlock()

	if yield != nil {
		yield()
	} else if waiting != nil {
		waiting(holder)
	}
	select {
	case err := <-t.turn:
		if err != nil {
			return nil, err
		}
		return func() { l.leave() }, nil
	case <-ctx.Done():
		l.forget(t)
		return nil, context.Cause(ctx)
	}
}

// try takes the turn when nobody has it.
func (l *line) try(t *ticket) (leave func(), free bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.arrived++
	t.number, t.turn = l.arrived, make(chan error, 1)
	if l.holder != nil {
		return nil, false
	}
	l.holder = t
	return func() { l.leave() }, true
}

// call says anew what the holder of the turn is at.
func (l *line) call(what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.holder.what = what
}

// supersede sends away the pushes that wait and came before the one that has the
// turn: it takes their place.
func (l *line) supersede() {
	l.mu.Lock()
	defer l.mu.Unlock()
	why := fault.New(fault.Conflict, code.PushSuperseded, "a newer push replaced this one: %s", l.holder.what).
		Hint("check what is live, then push again to replace it")
	l.sendAway(why, func(w *ticket) bool { return w.number < l.holder.number })
}

// dismiss sends the pushes that wait away, and tells whether there were any.
func (l *line) dismiss(why error) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sendAway(why, func(*ticket) bool { return true })
}

// sendAway sends away the pushes that wait and which says; the caller holds mu.
func (l *line) sendAway(why error, which func(*ticket) bool) (any bool) {
	kept := l.waiting[:0]
	for _, w := range l.waiting {
		if !w.push || !which(w) {
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
	if len(l.waiting) == 0 {
		return
	}
	next := 0
	for i, w := range l.waiting {
		if l.waiting[0].push && w.push {
			next = i // the newest of them
		}
	}
	l.holder = l.waiting[next]
	l.waiting = slices.Delete(l.waiting, next, next+1)
	l.holder.turn <- nil
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
	if l.holder != nil && l.holder.yield == nil {
		holder = l.holder.what
	}
	for _, w := range l.waiting {
		if w.push {
			waiting = w.what
		}
	}
	return holder, waiting
}
