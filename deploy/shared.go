package deploy

import (
	"context"
	"io"
	"sync"

	"github.com/berthd/berth/buildpacks/plan"
	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store"
)

// Toolchains are layers that all apps share, made of berth's own lists. They are
// nobody's build: each is made once, in the background, in a time of its own. A
// push that wants it waits, and when the push is cancelled or ends, the rest of
// its toolchain is made all the same, so that the next one finds it.

// layerMaker makes layers; the engine does.
type layerMaker interface {
	HasLayer(ctx context.Context, key string) (bool, error)
	BuildLayer(ctx context.Context, spec runtime.LayerSpec, out io.Writer) error
}

// making is a shared layer that is being made.
type making struct {
	done chan struct{} // closed when it is there, or cannot be made
	err  error         // why; set before done
}

// awaitShared makes the first of these layers, or waits for whoever makes it
// already. When ctx ends before, those of them that are shared are made without
// whoever asked.
func (d *Deployer) awaitShared(ctx context.Context, layers []plan.Layer, at *seat) error {
	m := d.makeShared(layers[0], at)
	select {
	case <-m.done:
		return m.err
	case <-ctx.Done():
	}
	leave := at.share()
	begun := d.background(func(context.Context) {
		defer leave()
		for _, layer := range layers {
			if !layer.Shared() {
				continue
			}
			m := d.makeShared(layer, at)
			if <-m.done; m.err != nil {
				return // reported to the next who wants it, and tries again
			}
		}
	})
	if !begun {
		leave()
	}
	return context.Cause(ctx)
}

// makeShared begins to make a shared layer, unless somebody is at it.
func (d *Deployer) makeShared(layer plan.Layer, at *seat) *making {
	d.mu.Lock()
	defer d.mu.Unlock()
	if m := d.making[layer.Key]; m != nil {
		return m
	}
	m := &making{done: make(chan struct{})}
	leave, unpin := at.share(), d.pins.pin(layerKeys(layer)...)
	end := func(err error) {
		m.err = err
		close(m.done)
		unpin()
		leave()
	}
	begun := d.background(func(ctx context.Context) {
		err := d.sharedAllowance(layer.Name).spend(ctx, func(ctx context.Context) error {
			return d.makeLayer(ctx, store.App{}, layer, nil, nil, buildRoom(), nil)
		})
		d.mu.Lock()
		delete(d.making, layer.Key)
		d.mu.Unlock()
		end(err)
	})
	if begun {
		d.making[layer.Key] = m
	} else {
		end(context.Canceled)
	}
	return m
}

// seat is a place among the machine's builds that a build shares with what it
// leaves behind in the background. nil is none.
type seat struct {
	mu    sync.Mutex // guards users
	users int
	leave func()
}

// newSeat shares a place out. It is given back by leave once all who share it
// have left.
func newSeat(leave func()) *seat { return &seat{leave: leave} }

// share adds one to those who have the place, until the function is called.
func (s *seat) share() (leave func()) {
	if s == nil {
		return func() {}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users++
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.users--; s.users == 0 {
			s.leave()
		}
	})
}
