package router

import (
	"sync"
	"time"
)

// pool are a backend's kept connections. The one that was used last is used
// first, so that what is too many grows old.
type pool struct {
	limit time.Duration // of idling

	mu     sync.Mutex  // guards what follows
	idle   []*upstream // the oldest first
	closed bool
	sweep  *time.Timer
}

// get returns a connection that is fit for a request, nil when there is none.
func (p *pool) get(now time.Time) *upstream {
	for {
		p.mu.Lock()
		last := len(p.idle) - 1
		if last < 0 {
			p.mu.Unlock()
			return nil
		}
		u := p.idle[last]
		p.idle[last], p.idle = nil, p.idle[:last]
		p.mu.Unlock()
		if now.Sub(u.since) < p.limit && u.silent() {
			return u
		}
		u.Close()
	}
}

// put keeps a connection whose response has been read to its end.
func (p *pool) put(u *upstream) {
	u.since = time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || len(p.idle) >= maxIdlePerBackend {
		u.Close()
		return
	}
	p.idle = append(p.idle, u)
	if len(p.idle) > 1 {
		return
	}
	if p.sweep == nil {
		p.sweep = time.AfterFunc(p.limit, p.expire)
	} else {
		p.sweep.Reset(p.limit)
	}
}

// expire closes the connections that have been idle for too long.
func (p *pool) expire() {
	p.mu.Lock()
	defer p.mu.Unlock()
	now, n := time.Now(), 0
	for n < len(p.idle) && now.Sub(p.idle[n].since) >= p.limit {
		p.idle[n].Close()
		n++
	}
	left := copy(p.idle, p.idle[n:])
	clear(p.idle[left:])
	p.idle = p.idle[:left]
	if left > 0 {
		p.sweep.Reset(p.limit - now.Sub(p.idle[0].since))
	}
}

// flush closes the connections that are idle now.
func (p *pool) flush() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, u := range p.idle {
		u.Close()
	}
	clear(p.idle)
	p.idle = p.idle[:0]
}

// close makes the pool keep nothing from now on.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	if p.sweep != nil {
		p.sweep.Stop()
	}
	p.mu.Unlock()
	p.flush()
}
