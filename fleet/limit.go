package fleet

import (
	"cmp"
	"context"
	"fmt"

	"github.com/berthd/berth/advice"
	"github.com/berthd/berth/store/fault"
)

// Limits bound what a container may take. Zero is the host's usual limit.
type Limits struct {
	Memory int64 // bytes
	Swap   int64 // bytes of memory and swap together; zero is Memory
	CPUs   float64
	Pids   int64
	Files  int64 // that one process may have open
	Shm    int64 // bytes of /dev/shm
	Disk   int64 // bytes written outside of mounts; the fleet keeps it, no host does
}

// Live are those limits that a container can be given while its program runs.
// The others count for the next container.
func (l Limits) Live() Limits {
	l.Files, l.Shm = 0, 0
	return l
}

// String is how limits are kept in a label.
func (l Limits) String() string {
	return fmt.Sprintf("%d %g %d %d %d %d %d", l.Memory, l.CPUs, l.Pids, l.Swap, l.Files, l.Shm, l.Disk)
}

// limitsOf reads the limits that a container was made with. One that an older
// berth made has no label of them, or a shorter one: what that does not say is
// as wanted.
func limitsOf(c Container, wanted Limits) Limits {
	l := wanted
	n, _ := fmt.Sscanf(c.About().Labels[labelLimits], "%d %g %d %d %d %d %d", &l.Memory, &l.CPUs, &l.Pids, &l.Swap, &l.Files, &l.Shm, &l.Disk)
	if n < 3 {
		return wanted
	}
	return l
}

// unknown are the limits of a container that an earlier life may have changed.
var unknown = Limits{Memory: -1}

// limits is what an instance is to be bound to, and what its container is.
// The mutex of the instance guards them.
type limits struct {
	wanted Limits // of the next container too
	has    Limits
	tight  bool // the container cannot be given what is wanted
}

// relimit gives the instances that a change keeps the limits that it asks for,
// while they run. An instance that has more in use than that is replaced by the
// change, in a container that is made with them. The function that it returns
// takes all of that back.
func (a *App) relimit(ctx context.Context, c Change) (undo func()) {
	slots := map[string]Slot{}
	for _, s := range c.Release.Slots() {
		slots[s.String()] = s
	}
	type change struct {
		*instance
		before limits
	}
	var changed []change
	for _, i := range a.set() {
		s, stays := slots[i.name()]
		if !stays || i.release.Number != c.Release.Number || c.replaces(s) {
			continue
		}
		i.mu.Lock()
		before, container := i.limits, i.container
		i.limits.wanted = s.Process.Limits
		same := before.has.Live() == s.Process.Limits.Live() && !before.tight
		i.mu.Unlock()
		changed = append(changed, change{i, before})
		if same || container == nil {
			continue
		}
		err := container.SetLimits(ctx, s.Process.Limits)
		i.mu.Lock()
		i.limits.tight = err != nil
		if err == nil {
			i.limits.has = s.Process.Limits.Live()
		}
		i.mu.Unlock()
		switch {
		case err == nil:
		case c.Patient:
			a.fleet.warn("an instance keeps other limits until its next start", err, "app", a.Name(), "instance", i.name())
		default:
			c.Progress.Note(fmt.Sprintf("%s uses more than its new limits, and is replaced", i.name()))
		}
	}
	return func() {
		for _, of := range changed {
			of.mu.Lock()
			container, back := of.container, of.before.has != of.limits.has && of.before.has != unknown
			of.limits = of.before
			of.mu.Unlock()
			if back && container != nil {
				a.fleet.warn("an instance keeps its new limits", container.SetLimits(context.WithoutCancel(ctx), of.before.has), "app", a.Name(), "instance", of.name())
			}
		}
	}
}

// outgrown tells whether the container cannot be given the limits that are wanted.
func (i *instance) outgrown() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.limits.tight
}

// MoreMemory adds to a fault how the memory limit of a process type of an app is
// raised, when that limit is what ended a program of it; "" is every type.
func MoreMemory(f *fault.Error, ssh, app, process string, exit Exit) *fault.Error {
	if exit.OOM {
		f.Hint("or raise the limit: %s", RaiseMemory(ssh, app, process, exit.MemoryLimit))
	}
	return f
}

// RaiseMemory is the command that doubles a memory limit in bytes; 0 is one that
// is not known.
func RaiseMemory(ssh, app, process string, limit int64) string {
	more := advice.Size(2 * cmp.Or(limit, 512<<20))
	if process != "" {
		more += " --process-type " + process
	}
	return fmt.Sprintf("%s resource:limit --memory %s %s", ssh, more, app)
}
