package fleet

import (
	"cmp"
	"context"
	"sync"
	"time"
)

const (
	// DrainRequests is the longest request we promise to finish.
	DrainRequests = 30 * time.Second

	// killTimeout bounds the wait for a program that was killed: one that the
	// kernel cannot end may not hold its app up.
	killTimeout = 10 * time.Second
)

// retire lets instances finish what they are at, and removes them.
func (a *App) retire(ctx context.Context, left []*instance, drain Drain) {
	a.quit(ctx, left, drain, a.fleet.cfg.Router.StreamGrace(a.ref()), a.remove)
}

// quit lets instances finish what they are at, streams for their grace, and
// stops them; each is removed once it has. It returns when all have.
func (a *App) quit(ctx context.Context, left []*instance, drain Drain, grace time.Duration, remove func(Container)) {
	for _, i := range left {
		i.retire()
		i.set(Stopping, "")
	}
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		if drain == nil {
			return
		}
		if cut := drain.Wait(ctx, DrainRequests, grace); cut > 0 && ctx.Err() == nil {
			a.fleet.cfg.Log.Warn("requests were cut at the end of a drain", "requests", cut)
		}
	}()
	var all sync.WaitGroup
	for _, i := range left {
		all.Go(func() {
			i.supervised.Wait()
			if i.process.Type == "web" {
				<-drained
			}
			if ctx.Err() != nil {
				return // berth is ending; its next start sweeps up
			}
			c, _, _ := i.running()
			if c == nil {
				return // it never came up
			}
			a.fleet.warn("an old instance did not stop", i.stop(ctx, c), "instance", i.name())
			remove(c)
		})
	}
	all.Wait()
	<-drained
}

// stop asks an instance's program to end, and ends it.
func (i *instance) stop(ctx context.Context, c Container) error { return stop(ctx, c, i.release.Grace) }

// stop asks a container's program to end, and ends it after a grace period; 0 is
// StopGrace. The period is kept even if ctx or berth ends first.
func stop(ctx context.Context, c Container, grace time.Duration) error {
	grace = cmp.Or(grace, StopGrace)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace+killTimeout)
	defer cancel()
	return c.Stop(ctx, grace)
}
