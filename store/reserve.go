package store

import (
	"errors"
	"slices"
	"sync"
)

// Reserve chooses the id of the next app with that name, so that files that
// arrive before the app is created, such as the objects of its first push, can
// be stored under it. Concurrent calls for the same name get the same id; fresh
// is true for the first one. Until all of them have called release, no other
// app gets the id; after that, an id without an app is free again. Nothing is
// stored.
func (s *Store) Reserve(name string) (uid int, fresh bool, release func(), err error) {
	if err := ValidAppName(name); err != nil {
		return 0, false, nil, err
	}
	// In a transaction, for no app may be made between the look and the choice.
	nothing := errors.New("nothing is written")
	err = s.Update(func(tx *Tx) error {
		next, err := tx.nextUID()
		if err != nil {
			return err
		}
		if uid, fresh, release, err = s.ids.reserve(name, next); err != nil {
			return err
		}
		return nothing
	})
	if errors.Is(err, nothing) {
		err = nil
	}
	return uid, fresh, release, err
}

// reservations are ids that apps are about to get.
type reservations struct {
	mu   sync.Mutex // guards what follows
	held []*reservation
}

type reservation struct {
	name  string
	uid   int
	users int
	given bool // an app has it
}

func (r *reservations) reserve(name string, next int) (uid int, fresh bool, release func(), err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.find(name)
	if h == nil {
		h = &reservation{name: name, uid: r.above(next)}
		if h.uid > lastUID {
			return 0, false, nil, errNoIDs()
		}
		r.held, fresh = append(r.held, h), true
	}
	h.users++
	return h.uid, fresh, sync.OnceFunc(func() { r.release(h) }), nil
}

func (r *reservations) release(h *reservation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if h.users--; h.users == 0 {
		r.held = slices.DeleteFunc(r.held, func(other *reservation) bool { return other == h })
	}
}

// find returns the reservation for the next app of a name, nil when there is
// none; the caller holds mu.
func (r *reservations) find(name string) *reservation {
	i := slices.IndexFunc(r.held, func(h *reservation) bool { return h.name == name && !h.given })
	if i < 0 {
		return nil
	}
	return r.held[i]
}

// above returns the lowest id from next on that is not reserved; the caller
// holds mu.
func (r *reservations) above(next int) int {
	for slices.ContainsFunc(r.held, func(h *reservation) bool { return h.uid == next }) {
		next++
	}
	return next
}

// take returns the id for an app of that name that is made now: the reserved
// one, else the lowest from next on. A reserved id is given once.
func (r *reservations) take(name string, next int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.find(name)
	if h == nil {
		return r.above(next)
	}
	h.given = true
	return h.uid
}
