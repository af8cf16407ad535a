package fleet

import (
	"cmp"
	"fmt"
	"time"
)

const (
	// Watched is how long a new release is watched after its swap where nothing
	// else is said: when it falls over within that time, the one before it comes
	// back by itself.
	Watched = time.Minute

	// fallsOver is how many crashes of one instance within that time are a fall.
	fallsOver = 2
)

// onTrial begins the trial of a release, before its instances are watched.
func (a *App) onTrial(c Change) {
	if c.Trial == nil {
		return
	}
	t := *c.Trial
	if t.Since.IsZero() {
		t.Since = time.Now()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.trial = &t
}

// fallBack gives up a release that falls over soon after its swap, once.
func (a *App) fallBack(i *instance, how string) {
	a.mu.Lock()
	t := a.trial
	if t == nil || t.Release != i.release.Number || t.Before == 0 || time.Since(t.Since) > cmp.Or(t.Window, Watched) {
		a.mu.Unlock()
		return
	}
	a.trial = nil
	a.mu.Unlock()
	i.notice("rolling back from v%d to v%d", t.Release, t.Before)
	a.fleet.cfg.Journal.FellOver(a, *t, fmt.Sprintf("v%d failed soon after its start: %s: %s", t.Release, i.name(), how))
}
