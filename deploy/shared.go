package deploy

import (
	"bytes"
	"context"
	"io"
	"time"

	"github.com/berthd/berth/build/progress"

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
	Room() (runtime.Room, error)
	HasLayer(ctx context.Context, key string) (bool, error)
	StackLayer(ctx context.Context, out io.Writer) (string, error)
	BuildLayer(ctx context.Context, spec runtime.LayerSpec, out io.Writer) error
}

// making is a shared layer that is being made.
type making struct {
	layer   plan.Layer
	began   time.Time
	waiting int // guarded by the deployer's mu
	cancel  context.CancelFunc

	done chan struct{} // closed when it is there, or cannot be made
	err  error         // why; set before done
	said bytes.Buffer  // what its commands printed; whole when done is closed
}

// awaitShared makes the first of these layers, or waits for whoever makes it
// already. When ctx ends before, those of them that are shared are made without
// whoever asked. What the commands printed goes into out's record.
func (d *Deployer) awaitShared(ctx context.Context, layers []plan.Layer, out *progress.Report) error {
	m, begun := d.makeShared(layers[0])
	if !begun {
		out.UnderWay(m.began)
	}
	select {
	case <-m.done:
		d.leaveShared(m)
		out.Keep(m.said.Bytes())
		return m.err
	case <-ctx.Done():
		d.abandon(m, layers[1:])
		return context.Cause(ctx)
	}
}

// abandon leaves a layer that is being made, and the shared ones that follow, to
// be made in the background: one toolchain at a time, or whoever pushes and
// cancels could fill the machine with them. It takes no place among the builds,
// which the builds of others would wait for.
func (d *Deployer) abandon(m *making, rest []plan.Layer) {
	d.mu.Lock()
	first := !d.abandoned
	d.abandoned = true
	d.mu.Unlock()
	if !first {
		d.leaveShared(m)
		return
	}
	end := func() {
		d.mu.Lock()
		d.abandoned = false
		d.mu.Unlock()
	}
	begun := d.background(func(context.Context) {
		defer end()
		<-m.done
		d.leaveShared(m)
		for _, layer := range rest {
			if m.err != nil {
				return // whoever wants it next tries again, and hears why
			}
			if layer.Shared() {
				m, _ = d.makeShared(layer)
				<-m.done
				d.leaveShared(m)
			}
		}
	})
	if !begun {
		d.leaveShared(m)
		end()
	}
}

// makeShared begins to make a shared layer, unless that is under way. Whoever
// called it waits for the layer until leaveShared; begun is false when somebody
// else makes it already.
func (d *Deployer) makeShared(layer plan.Layer) (m *making, begun bool) {
	// Before mu is taken: pins wait while a layer is deleted.
	unpin := d.pins.pin(layerKeys(layer)...)
	ctx, cancel := context.WithCancel(d.life)
	m = &making{layer: layer, began: time.Now(), waiting: 1, cancel: cancel, done: make(chan struct{})}
	end := func(err error) {
		m.err = err
		close(m.done)
		cancel()
		unpin()
	}
	d.mu.Lock()
	if under := d.making[layer.Key]; under != nil {
		under.waiting++
		d.mu.Unlock()
		end(nil)
		return under, false
	}
	begun = d.background(func(context.Context) {
		err := d.sharedAllowance(layer.Name).spend(ctx, func(ctx context.Context) error {
			out := progress.New()
			out.Record = &m.said
			return d.makeLayer(ctx, store.App{}, layer, nil, nil, buildRoom(), out)
		})
		d.mu.Lock()
		d.unlist(m)
		d.mu.Unlock()
		end(err)
	})
	if begun {
		d.making[layer.Key] = m
	}
	d.mu.Unlock()
	if !begun {
		end(context.Canceled)
	}
	return m, true // one that could not begin says so itself
}

// leaveShared is called by whoever waits for a layer no more. One that nobody
// waits for is not made on.
func (d *Deployer) leaveShared(m *making) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if m.waiting--; m.waiting == 0 {
		d.unlist(m) // who wants it now begins anew
		m.cancel()
	}
}

// unlist takes a layer off the list of those that are being made; the caller
// holds d.mu.
func (d *Deployer) unlist(m *making) {
	if d.making[m.layer.Key] == m {
		delete(d.making, m.layer.Key)
	}
}
