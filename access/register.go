// Package access knows who is in: the connections and requests that are open
// in somebody's name, so that they end when the right to them does. It asks
// nobody for anything; the doors enter what they let in.
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

// Register holds what is open. The zero value is an empty one; it is safe for
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

// Enter notes a connection until leave is called. end closes it; it is called
// from elsewhere, at most once, and must not wait for the closing. Whoever enters
// looks the user up afterwards: a right that is taken away in between is seen
// by one of the two.
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

// Open returns what is open, the oldest first.
func (r *Register) Open() []Connection {
	r.mu.Lock()
	defer r.mu.Unlock()
	var open []Connection
	for _, id := range slices.Sorted(maps.Keys(r.open)) {
		open = append(open, r.open[id].Connection)
	}
	return open
}
