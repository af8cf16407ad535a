package build

import (
	"context"
	"sync"
	"time"

	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
	"github.com/berthd/berth/units"
)

const (
	// buildTime is the longest that the app's own layers of one push may take,
	// and, anew, its tests.
	buildTime = 15 * time.Minute

	// buildDeadline bounds that by the clock, whatever others take: somebody
	// waits for it.
	buildDeadline = time.Hour

	// sharedTime and sharedDeadline are the same of one layer that all apps
	// share: a toolchain is downloaded once, on a slow line too.
	sharedTime     = 30 * time.Minute
	sharedDeadline = 2 * time.Hour

	// allowanceTick is how often the time is counted.
	allowanceTick = 2 * time.Second

	// spareCores is how much of a processor has to be idle for a build to have
	// had all it wanted. Below, it may have waited.
	spareCores = 0.25
)

// allowance is the time that a build may take. A build gives way to all else on
// the machine: where apps want all processors it gets a ninth of them, and a
// limit by the clock would end it before it had a chance. So time counts as far
// as the build could go on in it: all of it while a processor is idle, and else
// what builds have had of the processors. A deadline by the clock is above that.
// An allowance is spent by one after the other.
type allowance struct {
	load           func() (runtime.Load, error)
	own, clock     time.Duration // what is left
	spent, overdue *fault.Error
}

// buildAllowance is that of what a push builds ("the build", "the pull").
func (b *Builder) buildAllowance(what, errCode string) *allowance {
	return &allowance{
		load: b.engine.Load, own: buildTime, clock: buildDeadline,
		spent: fault.New(fault.Timeout, errCode, "%s took longer than %s", what, units.Duration(buildTime)),
		overdue: fault.New(fault.Timeout, code.BuildDeadline, "%s did not end within %s: the processors were busy with other work", what, units.Duration(buildDeadline)).
			Hint("push again when the machine is less busy; to see what an app uses: %s ps:report APP", b.deploys.SSHCommand()),
	}
}

// sharedAllowance is that of a layer that all apps share.
func (b *Builder) sharedAllowance(layer string) *allowance {
	return &allowance{
		load: b.engine.Load, own: sharedTime, clock: sharedDeadline,
		spent: fault.New(fault.Timeout, code.ToolchainTimeout, "%s could not be installed within %s", layer, units.Duration(sharedTime)).
			Hint("check that this machine can reach its package sources, and how fast"),
		overdue: fault.New(fault.Timeout, code.ToolchainTimeout, "%s could not be installed within %s: the processors were busy with other work", layer, units.Duration(sharedDeadline)).
			Hint("push again when the machine is less busy"),
	}
}

// spend does work on the allowance. Its context ends with the fault that says
// why, when nothing is left.
func (a *allowance) spend(ctx context.Context, work func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ended := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		m := a.meter()
		tick := time.NewTicker(allowanceTick)
		defer tick.Stop()
		for {
			select {
			case <-ended:
				m.count()
				return
			case <-tick.C:
			}
			if why := m.count(); why != nil {
				cancel(why)
				return
			}
		}
	})
	err := work(ctx)
	close(ended)
	watch.Wait()
	return err
}

// meter counts time off an allowance.
type meter struct {
	*allowance
	at     time.Time
	before runtime.Load
	known  bool // how busy the machine was then
}

func (a *allowance) meter() *meter {
	m := &meter{allowance: a, at: time.Now()}
	m.before, m.known = a.look()
	return m
}

func (a *allowance) look() (runtime.Load, bool) {
	load, err := a.load()
	return load, err == nil
}

// count takes the time since the last count off, and returns why the work has to
// end, or nil.
func (m *meter) count() *fault.Error {
	now := time.Now()
	passed := now.Sub(m.at)
	load, known := m.look()
	counts := passed
	if known && m.known {
		counts = timeThatCounts(passed, load.CPU-m.before.CPU, load.Idle-m.before.Idle, load.Builds)
	}
	m.at, m.before, m.known = now, load, known
	m.own -= counts
	m.clock -= passed
	switch {
	case m.own <= 0:
		return m.spent
	case m.clock <= 0:
		return m.overdue
	}
	return nil
}

// timeThatCounts is how much of some time a build could use, of which all builds
// had so much of the processors, and which left so much of them idle.
func timeThatCounts(passed, used, idle time.Duration, builds int) time.Duration {
	if idle.Seconds() >= spareCores*passed.Seconds() {
		return passed
	}
	return min(passed, used/time.Duration(max(1, builds)))
}
