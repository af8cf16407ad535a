package deploy

import (
	"context"
	"fmt"
	"time"

	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store"
)

const (
	// watched is how long a new release is watched after its swap: when it
	// falls over within, the one before it comes back by itself.
	watched = time.Minute

	// fallsOver is how many crashes of one instance within that time are a fall.
	fallsOver = 2

	// slowestRestart bounds the pause before an instance is started again.
	slowestRestart = 5 * time.Minute

	// forgiven is how long an instance must have been up for its crashes to be forgotten.
	forgiven = 10 * time.Minute
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

// supervise keeps the instance running until it is retired: a program that
// ends is started again, in a new container.
func (d *Deployer) supervise(i *instance) {
	ctx, cancel := context.WithCancel(d.life)
	i.mu.Lock()
	i.retire = cancel
	i.mu.Unlock()
	i.supervised.Add(1)
	d.background(func(context.Context) {
		defer i.supervised.Done()
		for ctx.Err() == nil {
			c, state, _ := i.running()
			if state == InstanceUp {
				if d.attend(ctx, i, c); ctx.Err() != nil {
					return
				}
				d.crashed(ctx, i, c)
			}
			d.heal(ctx, i, c)
		}
	})
}

// crashed notes that an instance's program ended by itself.
func (d *Deployer) crashed(ctx context.Context, i *instance, c *runtime.Container) {
	i.mu.Lock()
	if time.Since(i.since) > forgiven {
		i.restarts = 0
	}
	i.restarts++
	crashes := i.restarts
	i.mu.Unlock()
	how := describe(c.Exit(ctx))
	i.set(InstanceCrashed, how)
	d.reroute(i.app)
	if ctx.Err() != nil {
		return
	}
	d.log.Warn("an instance crashed", "app", i.app.called(), "instance", i.name(), "how", how, "crashes", crashes)
	d.happened(store.Event{App: i.app.called(), By: "berth", Kind: "crash", Text: fmt.Sprintf("%s of v%d crashed: %s", i.name(), i.release.Number, how)})
	i.notice(d, "crashed: %s; %s", how, again(crashes))
	if crashes >= fallsOver {
		d.fallBack(i, how)
	}
}

// heal fills the instance's place with a new container, after a pause that
// grows with every crash in a row. One try; the caller comes back.
func (d *Deployer) heal(ctx context.Context, i *instance, old *runtime.Container) {
	i.mu.Lock()
	delay := restartDelay(i.restarts)
	i.mu.Unlock()
	select {
	case <-time.After(delay):
	case <-ctx.Done():
		return
	}
	err := d.replace(ctx, i, old)
	if ctx.Err() != nil {
		return
	}
	if err == nil {
		d.reroute(i.app)
		d.happened(store.Event{App: i.app.called(), By: "berth", Kind: "heal", Text: i.name() + " is up again"})
		i.notice(d, "up again")
		return
	}
	i.mu.Lock()
	i.restarts++
	crashes := i.restarts
	i.mu.Unlock()
	i.set(InstanceCrashed, err.Error())
	d.log.Warn("an instance could not be started again", "app", i.app.called(), "instance", i.name(), "err", err)
	i.notice(d, "could not be started: %v; %s", err, again(crashes))
	d.changes.publish(i.app.called())
	if crashes >= fallsOver {
		d.fallBack(i, err.Error())
	}
}

// again says when a program is started after the nth crash in a row.
func again(crashes int) string {
	if delay := restartDelay(crashes); delay > 0 {
		return fmt.Sprintf("starting it again in %s", delay)
	}
	return "starting it again"
}

// replace starts the instance's program in a new container and lets go of the
// old one.
func (d *Deployer) replace(ctx context.Context, i *instance, old *runtime.Container) error {
	record, _, err := d.find(i.app.called())
	if err != nil {
		return err
	}
	_, fresh, err := d.create(ctx, func() runtime.Spec {
		return d.instanceSpec(record, i.release, i.process.Type, i.number)
	})
	if err != nil {
		return fmt.Errorf("create a container: %w", err)
	}
	i.mu.Lock()
	i.container, i.address = fresh, ""
	i.mu.Unlock()
	i.set(InstanceStarting, "")
	d.remove(old)
	d.trimLogs(record.ID(), i.release.Number, i.name(), keptPlaceLogs)
	if err := i.launch(ctx, record); err != nil {
		return fmt.Errorf("launch: %w", err)
	}
	if err := d.awaitHealthy(ctx, i, d.visited(record.Name), true, func(warning string) {
		d.log.Warn("a health check failed", "app", record.Name, "instance", i.name(), "check", warning)
	}); err != nil {
		return err
	}
	i.set(InstanceUp, i.said())
	return nil
}

// trial is the first time of a release, in which it may fall back to the one
// before it.
type trial struct {
	release int
	before  int // 0 when there was none
	since   time.Time
}

// fallBack rolls a release that falls over soon after its swap back to the one
// before it. It does so once.
func (d *Deployer) fallBack(i *instance, how string) {
	a := i.app
	a.mu.Lock()
	t := a.trial
	if t == nil || t.release != i.release.Number || t.before == 0 || time.Since(t.since) > watched {
		a.mu.Unlock()
		return
	}
	a.trial = nil
	a.mu.Unlock()
	d.background(func(ctx context.Context) {
		text := fmt.Sprintf("v%d fell over soon after its start: %s: %s", t.release, i.name(), how)
		i.notice(d, "v%d is given up, v%d is started again", t.release, t.before)
		_, err := d.rollback(ctx, a.called(), t.before, t.release, "berth", text, newReport())
		d.warn("a release that fell over could not be rolled back", err, "app", a.called(), "release", t.release)
	})
}
