package fleet

import (
	"context"
	"fmt"
	"time"

	"github.com/berthd/berth/advice"
)

const (
	// oomLook is how often the kernel is asked what it has killed of an instance.
	oomLook = 5 * time.Second

	// oomPace is the shortest time between two reports of one instance: a server
	// whose workers are killed one after the other would fill the events.
	oomPace = 5 * time.Minute
)

// oomWatch looks for processes of a program that the kernel kills for the
// memory limit while the program itself goes on.
type oomWatch struct {
	look  func() // beside each look; may be nil
	kills func() (kills, limit int64)
	tell  func(kills, limit int64) // how many since it was called last
}

// run looks until ctx ends. The first kill is reported when it is seen.
func (w oomWatch) run(ctx context.Context) {
	known, _ := w.kills()
	look := time.NewTicker(oomLook)
	defer look.Stop()
	var reported time.Time
	for {
		select {
		case <-look.C:
		case <-ctx.Done():
			return
		}
		if w.look != nil {
			w.look()
		}
		kills, limit := w.kills()
		if ctx.Err() != nil || kills <= known || !reported.IsZero() && time.Since(reported) < oomPace {
			continue
		}
		w.tell(kills-known, limit)
		known, reported = kills, time.Now()
	}
}

// watchMemory reports what is killed of an instance that goes on.
func (i *instance) watchMemory(ctx context.Context, c Container) {
	look := func() {
		if usage, err := c.Usage(ctx); err == nil { // it may be gone by now
			i.peaked(usage.Memory)
		}
	}
	oomWatch{look: look, kills: c.OOMKills, tell: func(kills, limit int64) {
		if Ended(c) {
			return // its end says it
		}
		i.mu.Lock()
		i.oomKills += kills
		i.mu.Unlock()
		app, text := i.app.Name(), fmt.Sprintf("%s killed for %s; the program goes on", killedProcesses(kills), advice.MemoryLimit(limit))
		i.fleet().cfg.Log.Warn("processes of an instance were killed for the memory limit", "app", app, "instance", i.name(), "processes", kills)
		i.notice("%s", text)
		i.recordEvent("oom", "%s of v%d: %s; raise the limit: %s", i.name(), i.release.Number, text, i.raise(limit))
		i.fleet().cfg.Journal.Changed(app)
	}}.run(ctx)
}

// killedProcesses begins a sentence about processes that were killed.
func killedProcesses(n int64) string {
	if n == 1 {
		return "1 process was"
	}
	return fmt.Sprintf("%d processes were", n)
}

// peaked notes how much memory an instance uses, and returns the most that was seen.
func (i *instance) peaked(memory int64) int64 {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.peak = max(i.peak, memory)
	return i.peak
}

// raise is the command that gives the instance's process type more memory.
func (i *instance) raise(limit int64) string {
	return RaiseMemory(i.fleet().cfg.SSHCommand(), i.app.Name(), i.process.Type, limit)
}
