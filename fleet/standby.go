package fleet

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"
)

// Standby holds containers that are readied while a push is still coming in:
// everything is there but the source and the launch. They are a guess (the next
// release, on the dependencies of the live one); a push that turns out otherwise
// does not use them. A nil standby has none.
type Standby struct {
	fleet   *Fleet
	base    string            // the layer they stand on
	release int               // the number they were made for
	limits  map[string]Limits // by process type
	mounts  []Mount
	cancel  context.CancelFunc

	mu    sync.Mutex          // guards what follows
	ready map[string]*readied // by the name of the slot
}

// readied is one container that is there, or will be once made is closed.
type readied struct {
	made      chan struct{}
	container Container // nil when it could not be made
}

const (
	// mostReadied bounds how many containers of an app are readied ahead.
	mostReadied = startsAtOnce

	// readiedFor is how long readied containers wait for their push.
	readiedFor = 2 * time.Minute
)

// Expect readies containers for a release whose base alone is there: its layer
// has to be Base. Another push that came in just before has them already; then
// none are made. cancel removes those that Claim has not taken; it may be called
// after that.
func (a *App) Expect(r Release) (cancel func()) {
	f := a.fleet
	ctx, stop := context.WithTimeout(f.life, readiedFor)
	s := &Standby{fleet: f, base: r.Base, release: r.Number, limits: map[string]Limits{}, mounts: r.Mounts, cancel: stop, ready: map[string]*readied{}}
	slots := r.Slots()
	slots = slots[:min(len(slots), mostReadied)]
	for _, slot := range slots {
		s.ready[slot.String()] = &readied{made: make(chan struct{})}
		s.limits[slot.Process.Type] = slot.Process.Limits
	}
	making := maps.Clone(s.ready) // s may be taken apart as soon as the app has it
	a.mu.Lock()
	if a.standby != nil || a.gone || f.life.Err() != nil {
		a.mu.Unlock()
		stop()
		return func() {}
	}
	a.standby = s
	a.mu.Unlock()

	for _, slot := range slots {
		r, i := making[slot.String()], a.instance(r, slot)
		begun := f.background(func(context.Context) {
			defer close(r.made)
			c, err := i.create(ctx)
			f.warn("a container could not be readied", err, "app", a.Name())
			if err == nil {
				r.container = c
			}
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
			s.Dismiss()
		}
	}
}

// Claim takes over the containers that were readied for a push, if they stand on
// the base that the push turned out to have.
func (a *App) Claim(base string) *Standby {
	a.mu.Lock()
	s := a.standby
	a.standby = nil
	a.mu.Unlock()
	if s != nil && s.base != base {
		s.Dismiss()
		return nil
	}
	return s
}

// Fits tells whether the containers are what a release would have made for
// itself: during the build another release may have taken its number, or the
// app's limits or mounts may have changed.
func (s *Standby) Fits(r Release) bool {
	if s == nil {
		return true
	}
	for _, p := range r.Processes {
		if made, is := s.limits[p.Type]; is && made != p.Limits {
			return false
		}
	}
	return s.base == r.Base && s.release == r.Number && slices.Equal(s.mounts, r.Mounts)
}

// take hands out the container readied for a slot, waiting for it if it is
// still being made; nil when there is none.
func (s *Standby) take(slot string) Container {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	r := s.ready[slot]
	delete(s.ready, slot)
	s.mu.Unlock()
	if r == nil {
		return nil
	}
	<-r.made
	return r.container
}

// Fill copies the source tree into every container that is readied. One that it
// fails for is not used.
func (s *Standby) Fill(ctx context.Context, tree, dir string) {
	if s == nil {
		return
	}
	var all sync.WaitGroup
	s.mu.Lock()
	for slot, r := range s.ready {
		all.Go(func() {
			<-r.made
			if r.container == nil {
				return
			}
			if err := r.container.Fill(ctx, tree, dir); err != nil {
				s.fleet.warn("a readied container could not be filled", err)
				s.mu.Lock()
				delete(s.ready, slot)
				s.mu.Unlock()
				s.fleet.Remove(r.container)
			}
		})
	}
	s.mu.Unlock()
	all.Wait()
}

// Dismiss removes the containers that no instance took.
func (s *Standby) Dismiss() {
	if s == nil {
		return
	}
	s.cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	for slot, r := range s.ready {
		delete(s.ready, slot)
		s.fleet.background(func(context.Context) {
			<-r.made
			s.fleet.Remove(r.container)
		})
	}
}
