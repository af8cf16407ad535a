// Package access is the register of open connections and requests by user, so
// that they end when the user's access is revoked. The doors add what they admit.
package access

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// Connection is something that is open in a user's name.
type Connection struct {
	ID      int       `json:"id"`
	User    string    `json:"user"`              // the name of the key
	Session string    `json:"session,omitempty"` // of a request with a session: the hash of its token
	Remote  string    `json:"remote"`
	Since   time.Time `json:"since"`
}

// Register holds open connections. The zero value is empty; it is safe for
// concurrent use.
type Register struct {
	mu   sync.Mutex // guards what follows
	last int
	open map[int]entry
}

type entry struct {
	Connection
	end func()
}

// Enter registers a connection until leave is called. end closes it; it is
// called from another goroutine, at most once, and must not wait for the close.
// The caller looks the user up again after Enter: then a right that is revoked
// in between is seen by the caller or by the register.
func (r *Register) Enter(c Connection, end func()) (leave func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last++
	c.ID, c.Since = r.last, time.Now()
	if r.open == nil {
		r.open = map[int]entry{}
	}
	r.open[c.ID] = entry{c, end}
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.open, c.ID)
	}
}

// End ends the connections that which chooses, and returns how many they were.
func (r *Register) End(which func(Connection) bool) (ended int) {
	r.mu.Lock()
	var ends []func()
	for id, e := range r.open {
		if which(e.Connection) {
			delete(r.open, id)
			ends = append(ends, e.end)
		}
	}
	r.mu.Unlock()
	for _, end := range ends {
		end()
	}
	return len(ends)
}

// Open returns the open connections, the oldest first.
func (r *Register) Open() []Connection {
	r.mu.Lock()
	defer r.mu.Unlock()
	var open []Connection
	for _, id := range slices.Sorted(maps.Keys(r.open)) {
		open = append(open, r.open[id].Connection)
	}
	return open
}
