package fleet

import (
	"context"
	"fmt"
	"time"

	"github.com/berthd/berth/units"
)

const (
	// slowestRestart bounds the pause before an instance is started again.
	slowestRestart = 5 * time.Minute

	// forgiven is how long an instance must have been up for its crashes to be forgotten.
	forgiven = 10 * time.Minute

	// stuckAgain is how often it is seen whether a program that did not end after
	// SIGKILL has ended, where nothing may run beside it.
	stuckAgain = 2 * time.Second
)

// restartDelay is the pause before the nth restart in a row: none before the
// first, then 1 s, 2 s, 4 s and so on.
func restartDelay(n int) time.Duration {
	if n <= 1 {
		return 0
	}
	if n > 10 {
		return slowestRestart
	}
	return min(time.Second<<(n-2), slowestRestart)
}

// supervise keeps instances running until they are retired: a program that ends
// is started again, in a new container.
func supervise(instances []*instance) {
	for _, i := range instances {
		i.supervise()
	}
}

func (i *instance) supervise() {
	ctx, cancel := context.WithCancel(i.fleet().life)
	i.retire = cancel
	i.supervised.Add(1)
	begun := i.fleet().background(func(context.Context) {
		defer i.supervised.Done()
		for ctx.Err() == nil {
			c, state, _ := i.running()
			if state == Up {
				if i.attend(ctx, c); ctx.Err() != nil {
					return
				}
				i.crashed(ctx, c)
			}
			i.heal(ctx, c)
		}
	})
	if !begun {
		i.supervised.Done()
	}
}

// crashed notes that an instance's program ended by itself.
func (i *instance) crashed(ctx context.Context, c Container) {
	i.mu.Lock()
	if time.Since(i.since) > forgiven {
		i.restarts = 0
	}
	i.restarts++
	crashes := i.restarts
	i.mu.Unlock()
	exit := c.Exit(ctx)
	how := exit.String()
	if exit.OOM {
		how += "; raise the limit: " + i.raise(exit.MemoryLimit)
	}
	i.set(Crashed, how)
	i.app.Reroute()
	if ctx.Err() != nil {
		return
	}
	i.fleet().cfg.Log.Warn("an instance crashed", "app", i.app.Name(), "instance", i.name(), "how", how, "crashes", crashes)
	i.recordEvent("crash", "%s of v%d crashed: %s", i.name(), i.release.Number, how)
	i.notice("crashed: %s; %s", how, startsAgain(crashes))
	if crashes >= fallsOver {
		i.app.fallBack(i, how)
	}
}

// heal fills the instance's slot with a new container, after a pause that grows
// with every crash in a row. It tries once; the caller repeats it.
func (i *instance) heal(ctx context.Context, old Container) {
	i.mu.Lock()
	delay := restartDelay(i.restarts)
	i.mu.Unlock()
	select {
	case <-time.After(delay):
	case <-ctx.Done():
		return
	}
	err := i.replace(ctx, old)
	if ctx.Err() != nil {
		return
	}
	if err == nil {
		i.app.Reroute()
		i.recordEvent("heal", "%s is up again", i.name())
		i.notice("up again")
		return
	}
	if isStuck(err) { // no fault of this release's: what is in the way ends by itself
		if i.lastDetail() != err.Error() {
			i.set(Crashed, err.Error())
			i.fleet().cfg.Log.Warn("an instance waits for another one's end", "app", i.app.Name(), "instance", i.name(), "err", err)
			i.notice("could not be started: %v; starting it again when that one has ended", err)
			i.fleet().cfg.Journal.Changed(i.app.Name())
		}
		select {
		case <-time.After(stuckAgain):
		case <-ctx.Done():
		}
		return
	}
	i.mu.Lock()
	i.restarts++
	crashes := i.restarts
	i.mu.Unlock()
	i.set(Crashed, err.Error())
	i.fleet().cfg.Log.Warn("an instance could not be started again", "app", i.app.Name(), "instance", i.name(), "err", err)
	i.notice("could not be started: %v; %s", err, startsAgain(crashes))
	i.fleet().cfg.Journal.Changed(i.app.Name())
	if crashes >= fallsOver {
		i.app.fallBack(i, err.Error())
	}
}

// startsAgain says when a program is started after the nth crash in a row.
func startsAgain(crashes int) string {
	if delay := restartDelay(crashes); delay > 0 {
		return fmt.Sprintf("starting it again in %s", units.Elapsed(delay))
	}
	return "starting it again"
}

// replace starts the instance's program in a new container and removes the old
// one.
func (i *instance) replace(ctx context.Context, old Container) error {
	if err := i.app.blocked(); err != nil {
		return err
	}
	fresh, err := i.create(ctx)
	if err != nil {
		return fmt.Errorf("create a container: %w", err)
	}
	i.fill(fresh)
	i.set(Starting, "")
	f, app := i.fleet(), i.app.Name()
	i.app.remove(old)
	f.cfg.Logs.Trim(i.app.ref(), i.release.Number, i.name())
	if err := i.app.blocked(); err != nil {
		return err
	}
	if err := i.launch(ctx); err != nil {
		return fmt.Errorf("launch: %w", err)
	}
	if err := i.awaitHealthy(ctx, true, func(warning string) {
		f.cfg.Log.Warn("a health check failed", "app", app, "instance", i.name(), "check", warning)
	}); err != nil {
		return err
	}
	i.set(Up, i.lastDetail())
	return nil
}

// Trial is the first time of a release, in which berth may fall back to the
// release before it.
type Trial struct {
	Release int
	Before  int           // 0 when there was none
	Window  time.Duration // how long it lasts; 0 is Watched
	Since   time.Time     // when it began; zero is the swap
}
