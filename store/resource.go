package store

import (
	"maps"
	"slices"
)

// AnyType stands in the place of a process type for those that have nothing of
// their own, and for one-offs and jobs. It is Dokku's word.
const AnyType = "_default_"

// Resource is how much of the machine an instance may take, or is promised.
// Zero says nothing.
type Resource struct {
	Memory int64 `json:"memory,omitempty"`      // bytes
	Swap   int64 `json:"memory_swap,omitempty"` // bytes of memory and swap together
	CPU    int64 `json:"cpu,omitempty"`         // thousandths of a core
	Pids   int64 `json:"pids,omitempty"`        // processes and threads
	Files  int64 `json:"files,omitempty"`       // that one process may have open
	Shm    int64 `json:"shm,omitempty"`         // bytes of /dev/shm
	Disk   int64 `json:"disk,omitempty"`        // bytes written outside of volumes
}

// ResourceNames are the fields of a Resource, in the order in which they are shown.
var ResourceNames = []string{"memory", "memory-swap", "cpu", "pids", "files", "shm", "disk"}

// Of returns the field of a name; nil when there is none.
func (r *Resource) Of(name string) *int64 {
	all := []*int64{&r.Memory, &r.Swap, &r.CPU, &r.Pids, &r.Files, &r.Shm, &r.Disk}
	if n := slices.Index(ResourceNames, name); n >= 0 {
		return all[n]
	}
	return nil
}

// over returns r with what other says in the place of what r does.
func (r Resource) over(other Resource) Resource {
	for _, name := range ResourceNames {
		if n := *other.Of(name); n != 0 {
			*r.Of(name) = n
		}
	}
	return r
}

// Allotment is what has been set for one process type.
type Allotment struct {
	// Limit is set by who answers for the machine. Own is set by a key that is
	// bound to apps, and is never above it.
	Limit Resource `json:"limit,omitzero"`
	Own   Resource `json:"own,omitzero"`

	Reserve Resource `json:"reserve,omitzero"` // of memory and CPU alone
}

// Resources are what the instances of an app may take and are promised, by
// process type.
type Resources map[string]Allotment

// Ceiling is what a key that is bound to apps may not exceed for a process type,
// as far as somebody has said so.
func (r Resources) Ceiling(process string) Resource {
	return r[AnyType].Limit.over(r[process].Limit)
}

// Limit is what an instance of a process type may take.
func (r Resources) Limit(process string) Resource {
	limit := r[AnyType].Limit.over(r[AnyType].Own).over(r[process].Limit).over(r[process].Own)
	ceiling := r.Ceiling(process)
	for _, name := range ResourceNames { // it may have been lowered since
		if most := *ceiling.Of(name); most != 0 {
			*limit.Of(name) = min(*limit.Of(name), most)
		}
	}
	return limit
}

// Reserve is what is promised to each instance of a process type.
func (r Resources) Reserve(process string) Resource {
	return r[AnyType].Reserve.over(r[process].Reserve)
}

// Clone returns a copy that can be changed.
func (r Resources) Clone() Resources {
	if r == nil {
		return Resources{}
	}
	return maps.Clone(r)
}

// AppResources are the resources of all apps, in a transaction. App.Resources
// has those of one app.
type AppResources struct{ *records }

// Put stores the resources of an app that is there.
func (tx AppResources) Put(app App) error {
	kept := Resources{}
	for process, a := range app.Resources {
		if a != (Allotment{}) {
			kept[process] = a
		}
	}
	if len(kept) == 0 {
		return tx.bucket("resources").Delete([]byte(app.ID()))
	}
	return put(tx.bucket("resources"), []byte(app.ID()), kept)
}

func (tx *records) resources(id []byte) (r Resources, err error) {
	r, _, err = get[Resources](tx.bucket("resources"), id)
	return r, err
}
