package deploy

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
)

// journal is where what happens to apps is written down: as an event, in the
// log, and for those who watch.
type journal struct {
	db  *store.Store
	log *slog.Logger

	mu   sync.Mutex // guards what follows
	subs map[chan string]bool
}

// happened remembers an event that tells of nothing in the store, as a crash, and
// wakes those who watch. One of a change in the store is added in the change's
// own transaction.
func (j *journal) recordEvent(e store.Event) {
	if err := j.db.Update(func(tx *store.Tx) error { return tx.AddEvent(e) }); err != nil {
		j.log.Error("an event was not remembered", "app", e.App, "event", e.Text, "err", err)
	}
	j.publish(e.App)
}

// Subscribe returns a channel that gets the name of each app that something
// changed about; "" means that more changed than the reader kept up with. It is
// closed when ctx ends.
func (j *journal) Subscribe(ctx context.Context) <-chan string {
	ch := make(chan string, 16)
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.subs == nil {
		j.subs = map[chan string]bool{}
	}
	j.subs[ch] = true
	context.AfterFunc(ctx, func() {
		j.mu.Lock()
		defer j.mu.Unlock()
		delete(j.subs, ch)
		close(ch)
	})
	return ch
}

func (j *journal) publish(app string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for ch := range j.subs {
		select {
		case ch <- app:
			continue
		default:
		}
		select { // full: the oldest gives way to "look at everything"
		case <-ch:
		default:
		}
		select {
		case ch <- "":
		default:
		}
	}
}

// warn logs the failure of work that nobody waits for.
func (j *journal) warn(what string, err error, args ...any) {
	if err != nil && !errors.Is(err, context.Canceled) {
		j.log.Warn(what, append(args, "err", err)...)
	}
}

// logInternal logs an internal error and returns the ref it can be found under.
func (j *journal) logInternal(err error) string {
	ref := fault.NewRef()
	j.log.Error("internal error", "ref", ref, "err", err)
	return ref
}
