package deploy

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store"
)

// standby holds containers that are readied while a push is still coming in:
// everything is there but the source and the word to start. They are a guess
// (the next release, on the dependencies of the live one); a push that turns
// out otherwise does not use them.
type standby struct {
	base    string // the layer they stand on
	limits  store.Limits
	release int // the number they were made for
	cancel  context.CancelFunc

	mu    sync.Mutex // guards what follows
	ready map[string]*readied
}

// readied is one container that is there, or will be once made is closed.
type readied struct {
	made      chan struct{}
	container *runtime.Container // nil when it could not be made
}

// mostReadied bounds how many containers of an app are readied ahead.
const mostReadied = startsAtOnce

// kept is how long readied containers wait for their push.
const kept = 2 * time.Minute

// Expect tells that a push to app is coming in, so that containers can be
// readied meanwhile. cancel lets go of those that no push has taken; it may be
// called after the push.
func (d *Deployer) Expect(name string) (cancel func()) {
	select {
	case <-d.adopted:
	default:
		return func() {} // berth is starting
	}
	record, a, err := d.find(name)
	if err != nil || record.Release == 0 || record.Stopped {
		return func() {}
	}
	var live store.Release
	err = d.db.View(func(tx *store.Tx) (err error) {
		live, err = tx.Release(name, record.Release)
		return err
	})
	// Where the source is part of the base, the next one will have another base.
	if err != nil || live.Base == "" || live.Base == live.Layer {
		return func() {}
	}
	ctx, stop := context.WithTimeout(d.life, kept)
	s := &standby{base: live.Base, limits: record.Limits, release: record.LastRelease + 1, cancel: stop, ready: map[string]*readied{}}
	formation := places(record, live)
	formation = formation[:min(len(formation), mostReadied)]
	for _, p := range formation {
		s.ready[p.String()] = &readied{made: make(chan struct{})}
	}
	making := maps.Clone(s.ready) // s may be taken apart as soon as the app has it
	a.mu.Lock()
	if a.standby != nil || a.gone || d.life.Err() != nil { // another push has come in just before
		a.mu.Unlock()
		stop()
		return func() {}
	}
	a.standby = s
	a.mu.Unlock()

	for _, p := range formation {
		r := making[p.String()]
		begun := d.background(func(context.Context) {
			defer close(r.made)
			_, c, err := d.create(ctx, func() runtime.Spec {
				return d.instanceSpec(record, store.Release{Layer: s.base, Number: s.release}, p.process.Type, p.number)
			})
			d.warn("a container could not be readied", err, "app", name)
			r.container = c
		})
		if !begun {
			close(r.made)
		}
	}
	return func() {
		a.mu.Lock()
		mine := a.standby == s
		if mine {
			a.standby = nil
		}
		a.mu.Unlock()
		if mine {
			d.dismiss(s)
		}
	}
}

// claim takes over the containers that were readied for a push, if they fit
// what the push turned out to be.
func (d *Deployer) claim(a *app, base string, release int, limits store.Limits) *standby {
	a.mu.Lock()
	s := a.standby
	a.standby = nil
	a.mu.Unlock()
	if s != nil && (s.base != base || s.release != release || s.limits != limits) {
		d.dismiss(s)
		return nil
	}
	return s
}

// take hands out the container readied for a place, waiting for it if it is
// still being made; nil when there is none.
func (s *standby) take(ctx context.Context, place string) *runtime.Container {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	r := s.ready[place]
	delete(s.ready, place)
	s.mu.Unlock()
	if r == nil {
		return nil
	}
	<-r.made
	return r.container
}

// fill puts the source tree into every container that is readied. One that it
// fails for is not used.
func (s *standby) fill(ctx context.Context, d *Deployer, tree string) {
	if s == nil {
		return
	}
	var all sync.WaitGroup
	s.mu.Lock()
	for place, r := range s.ready {
		all.Go(func() {
			<-r.made
			if r.container == nil {
				return
			}
			if err := r.container.Fill(ctx, tree, "/app"); err != nil {
				d.warn("a readied container could not be filled", err)
				s.mu.Lock()
				delete(s.ready, place)
				s.mu.Unlock()
				d.remove(r.container)
			}
		})
	}
	s.mu.Unlock()
	all.Wait()
}

// dismiss removes the containers that nobody took.
func (d *Deployer) dismiss(s *standby) {
	if s == nil {
		return
	}
	s.cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	for place, r := range s.ready {
		delete(s.ready, place)
		d.background(func(context.Context) {
			<-r.made
			if r.container != nil {
				d.remove(r.container)
			}
		})
	}
}
