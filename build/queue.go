package build

import (
	"context"
	goruntime "runtime"
	"slices"
	"sync"

	"github.com/berthd/berth/build/progress"
)

// queue is the line of the machine's builds: so many at once, whosever they
// are, in the order of arrival. An app's own line comes before it.
type queue struct {
	mu      sync.Mutex // guards what follows
	places  int        // that are free
	waiting []*waiter
}

// waiter is a build that has no place yet.
type waiter struct {
	turn  chan struct{} // closed when it has one
	ahead chan int      // how many builds have to end first; the latest word
}

// defaultBuilds is one for every two cores: a build rarely keeps two busy all
// the time, and most of what it waits for is the network.
func defaultBuilds() int { return max(1, goruntime.NumCPU()/2) }

func newQueue(places int) *queue { return &queue{places: places} }

// try takes a place when there is one and nobody waits for it.
func (q *queue) try() (leave func(), ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.places == 0 || len(q.waiting) > 0 {
		return nil, false
	}
	q.places--
	return sync.OnceFunc(q.leave), true
}

// enter waits for a place and returns what gives it back. ahead is called with
// the number of builds that have to end first, whenever that has changed.
func (q *queue) enter(ctx context.Context, ahead func(builds int)) (leave func(), err error) {
	w := &waiter{turn: make(chan struct{}), ahead: make(chan int, 1)}
	q.mu.Lock()
	q.waiting = append(q.waiting, w)
	q.advance()
	q.mu.Unlock()
	for {
		select {
		case <-w.turn:
			return sync.OnceFunc(q.leave), nil
		case n := <-w.ahead:
			ahead(n)
		case <-ctx.Done():
			q.forget(w)
			return nil, context.Cause(ctx)
		}
	}
}

func (q *queue) leave() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.places++
	q.advance()
}

// forget takes back the ticket of one who gave up waiting; if a place came to
// it at that very moment, the place is passed on.
func (q *queue) forget(w *waiter) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if i := slices.Index(q.waiting, w); i >= 0 {
		q.waiting = slices.Delete(q.waiting, i, i+1)
	} else {
		q.places++
	}
	q.advance()
}

// advance gives free places to those who wait longest, and tells the others
// where they stand; the caller holds mu.
func (q *queue) advance() {
	for q.places > 0 && len(q.waiting) > 0 {
		close(q.waiting[0].turn)
		q.waiting = q.waiting[1:]
		q.places--
	}
	for i, w := range q.waiting {
		select {
		case <-w.ahead: // nobody has heard it: it is old news
		default:
		}
		w.ahead <- i + 1
	}
}

// awaitPlace waits for a place among the machine's builds, and tells the pusher
// of the wait.
func (b *Builder) awaitPlace(ctx context.Context, out *progress.Report) (leave func(), err error) {
	if leave, ok := b.queue.try(); ok {
		return leave, nil
	}
	told := 0
	err = out.Timed("queue", func() error {
		leave, err = b.queue.enter(ctx, func(builds int) {
			if builds != told { // others may leave the line behind us
				told = builds
				out.Step("Build", "waiting for %s before this one", progress.Count(builds, "build"))
			}
		})
		return err
	})
	return leave, err
}
