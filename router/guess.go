package router

import (
	"context"
	"sync"
	"time"
)

const (
	freeGuesses   = 5                // wrong passwords of an address without a delay: typing errors
	firstDelay    = time.Second      // after the next one; each more doubles it
	longestDelay  = time.Minute      // a whole office may be behind the address
	guessesLast   = 15 * time.Minute // without a wrong password, and its address is as new
	hashQueue     = 32               // checks that wait at once; half of them of addresses with wrong ones
	addressQueue  = 8                // of one address
	maxGuessers   = 1 << 14          // addresses that are remembered, twice
	queueFullWait = 2 * time.Second  // what a client is told, about the time of a full queue
)

// guesses bounds how passwords of a route are tried: one hash at a time, few
// that wait, and an address that was wrong too often waits longer each time.
// It is safe for concurrent use.
type guesses struct {
	slot chan struct{} // the right to hash

	mu      sync.Mutex // guards what follows
	waiting int
	now     map[address]*guesser // those of late
	before  map[address]*guesser // those from when now was full
}

// guesser is an address that tries passwords.
type guesser struct {
	waiting int // its checks, the one under way included
	wrong   int
	last    time.Time // of the wrong ones
}

func newGuesses() *guesses {
	return &guesses{slot: make(chan struct{}, 1), now: map[address]*guesser{}}
}

// enter waits for the right to try one password, and returns what gives it back
// and takes the outcome; or nil, and how long the address is to wait.
func (g *guesses) enter(ctx context.Context, from address) (leave func(ok bool), wait time.Duration) {
	g.mu.Lock()
	who := g.find(from)
	if wait = who.delay(time.Now()); wait == 0 && !g.hasRoom(who) {
		wait = queueFullWait
	}
	if wait > 0 {
		g.mu.Unlock()
		return nil, wait
	}
	g.waiting++
	who.waiting++
	g.mu.Unlock()
	out := func() {
		g.waiting--
		who.waiting--
	}
	select {
	case g.slot <- struct{}{}:
	case <-ctx.Done():
		g.mu.Lock()
		out()
		g.mu.Unlock()
		return nil, queueFullWait
	}
	// While it waited, others of the address may have been wrong.
	g.mu.Lock()
	if wait = who.delay(time.Now()); wait > 0 {
		out()
		g.mu.Unlock()
		<-g.slot
		return nil, wait
	}
	g.mu.Unlock()
	return func(ok bool) {
		g.mu.Lock()
		out()
		if !ok {
			who.wrong, who.last = who.wrong+1, time.Now()
		}
		g.mu.Unlock()
		<-g.slot
	}, 0
}

// hasRoom keeps half of the queue for addresses that were not wrong. mu is held.
func (g *guesses) hasRoom(who *guesser) bool {
	room := hashQueue
	if who.wrong > 0 {
		room /= 2
	}
	return g.waiting < room && who.waiting < addressQueue
}

// find returns the record of an address. mu is held.
func (g *guesses) find(from address) *guesser {
	who := g.now[from]
	if who == nil {
		if who = g.before[from]; who == nil {
			who = &guesser{}
		}
		if len(g.now) >= maxGuessers {
			g.before, g.now = g.now, map[address]*guesser{}
		}
		g.now[from] = who
	}
	if who.wrong > 0 && time.Since(who.last) > guessesLast {
		who.wrong = 0
	}
	return who
}

// delay is how long the address still has to wait.
func (w *guesser) delay(now time.Time) time.Duration {
	if w.wrong <= freeGuesses {
		return 0
	}
	delay := longestDelay
	if doublings := w.wrong - freeGuesses - 1; doublings < 6 {
		delay = firstDelay << doublings
	}
	return max(0, delay-now.Sub(w.last))
}
