package deploy

import (
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/berthd/berth/fleet/formation"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
	"github.com/berthd/berth/units"
)

// promises are the reservations of what is being started. The records have those
// of what already runs.
type promises struct {
	mu      sync.Mutex             // guards what follows; two that start at once may not have the same
	pending map[int]store.Resource // by the app's user id
}

const (
	// machineShare is the part of the memory that is never promised: the kernel,
	// containerd with its shims, the builds and berth itself live in it.
	machineShare = 10

	leastHeadroom = 256 << 20
)

// room is what can be promised of a machine.
func room(memory, cpu int64) store.Resource {
	return store.Resource{Memory: max(0, memory-max(memory/machineShare, leastHeadroom)), CPU: cpu}
}

// held is what an app holds by its reservations.
func held(record store.App, release store.Release) (r store.Resource) {
	if len(record.Resources) == 0 {
		return r
	}
	for _, s := range formation.Slots(record, release) {
		one := record.Resources.Reserve(s.Process.Type)
		r.Memory += one.Memory
		r.CPU += one.CPU
	}
	return r
}

// holder is an app with what it holds.
type holder struct {
	app   string
	holds store.Resource
}

// promise keeps what a release of an app reserves for what is about to start, until
// done is called. What the machine does not have left is refused (E626). A key
// that is bound to apps can only take what its app had before: more would be kept
// from others.
func (s *turns) promise(record store.App, release store.Release, by store.User) (done func(), err error) {
	wants := held(record, release)
	if wants == (store.Resource{}) {
		return func() {}, nil
	}
	p := &s.promises
	p.mu.Lock()
	defer p.mu.Unlock()
	var has, granted store.Resource
	var others []holder
	records, err := s.db.Apps()
	if err != nil {
		return nil, err
	}
	for _, other := range records {
		live, err := s.liveWithoutConfig(other)
		if err != nil {
			return nil, err
		}
		holds := held(other, live)
		if other.UID == record.UID {
			has = holds
			other.Stopped, other.StoppedTypes = false, nil
			if live.Number == 0 {
				live = release
			}
			granted = held(other, live)
			continue
		}
		if more, is := p.pending[other.UID]; is {
			holds = store.Resource{Memory: max(holds.Memory, more.Memory), CPU: max(holds.CPU, more.CPU)}
		}
		if holds != (store.Resource{}) {
			others = append(others, holder{other.Name, holds})
		}
	}
	if err := mayTake(granted, wants, record.Name, by); err != nil {
		return nil, err
	}
	if err := fits(room(s.machine()), record.Name, wants, has, others, by); err != nil {
		return nil, err
	}
	p.pending[record.UID] = wants
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.pending, record.UID)
	}, nil
}

// mayTake returns a fault (E111) when a key that is bound to apps wants more than
// its app was granted.
func mayTake(granted, wants store.Resource, app string, by store.User) error {
	if len(by.Apps) == 0 || wants.Memory <= granted.Memory && wants.CPU <= granted.CPU {
		return nil
	}
	return by.NoAccess("more of the machine than is reserved for "+app).
		Hint("%s can run as many instances as its reservations allow now; a key that is bound to no app can start more", app)
}

// mayHold is mayTake for a formation that counts later.
func mayHold(before, after store.App, release store.Release, by store.User) error {
	before.Stopped, before.StoppedTypes = false, nil
	after.Stopped, after.StoppedTypes = false, nil
	return mayTake(held(before, release), held(after, release), after.Name, by)
}

// fits returns a fault (E626) when an app wants more than the others leave, and
// more than it has already.
func fits(all store.Resource, app string, wants, has store.Resource, others []holder, by store.User) error {
	left := all
	for _, o := range others {
		left.Memory -= o.holds.Memory
		left.CPU -= o.holds.CPU
	}
	short := ""
	switch {
	case wants.Memory > max(left.Memory, has.Memory):
		short = fmt.Sprintf("%s of memory, and %s can be reserved", units.Bytes(wants.Memory), units.Bytes(max(0, left.Memory)))
	case wants.CPU > max(left.CPU, has.CPU):
		short = fmt.Sprintf("%s CPUs, and %s can be reserved", showCPU(wants.CPU), showCPU(max(0, left.CPU)))
	default:
		return nil
	}
	f := fault.New(fault.Conflict, code.ResourceUnfit, "%s would reserve %s", app, short)
	f.With(heldTable(all, holder{app, wants}, others, by)...)
	return f.Hint("reserve less: resource:reserve --memory 256m %s", app).Hint("or run fewer: ps:scale %s TYPE=N", app)
}

// heldTable says who holds what. Apps that the asker may not see are summed up.
func heldTable(all store.Resource, asks holder, others []holder, by store.User) (lines []string) {
	row := func(name string, r store.Resource) {
		lines = append(lines, fmt.Sprintf("%-20.40s %9s %6s", name, units.Bytes(r.Memory), showCPU(r.CPU)))
	}
	lines = append(lines, fmt.Sprintf("%-20s %9s %6s", "reserved by", "memory", "cpu"))
	var hidden store.Resource
	seen := map[string]store.Resource{}
	for _, o := range others {
		if by.May(store.RoleRead, o.app) == nil || by.Name == "" {
			seen[o.app] = o.holds
			continue
		}
		hidden.Memory += o.holds.Memory
		hidden.CPU += o.holds.CPU
	}
	for _, app := range slices.Sorted(maps.Keys(seen)) {
		row(app, seen[app])
	}
	if hidden != (store.Resource{}) {
		row("other apps", hidden)
	}
	row(asks.app+" (asks for)", asks.holds)
	row("the machine has", all)
	return lines
}
