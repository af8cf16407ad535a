package build

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
func (b *Builder) awaitShared(ctx context.Context, layers []plan.Layer, out *progress.Report) error {
	m, begun := b.makeShared(layers[0])
	if !begun {
		out.UnderWay(m.began)
	}
	select {
	case <-m.done:
		b.leaveShared(m)
		out.Keep(m.said.Bytes())
		return m.err
	case <-ctx.Done():
		b.abandon(m, layers[1:])
		return context.Cause(ctx)
	}
}

// abandon leaves a layer that is being made, and the shared ones that follow, to
// be made in the background: one toolchain at a time, or whoever pushes and
// cancels could fill the machine with them. It takes no place among the builds,
// which the builds of others would wait for.
func (b *Builder) abandon(m *making, rest []plan.Layer) {
	b.mu.Lock()
	first := !b.abandoned
	b.abandoned = true
	b.mu.Unlock()
	if !first {
		b.leaveShared(m)
		return
	}
	end := func() {
		b.mu.Lock()
		b.abandoned = false
		b.mu.Unlock()
	}
	begun := b.deploys.Background(func(context.Context) {
		defer end()
		<-m.done
		b.leaveShared(m)
		for _, layer := range rest {
			if m.err != nil {
				return // whoever wants it next tries again, and hears why
			}
			if layer.Shared() {
				m, _ = b.makeShared(layer)
				<-m.done
				b.leaveShared(m)
			}
		}
	})
	if !begun {
		b.leaveShared(m)
		end()
	}
}

// makeShared begins to make a shared layer, unless that is under way. Whoever
// called it waits for the layer until leaveShared; begun is false when somebody
// else makes it already.
func (b *Builder) makeShared(layer plan.Layer) (m *making, begun bool) {
	// Before mu is taken: pins wait while a layer is deleted.
	unpin := b.pins.pin(layerKeys(layer)...)
	ctx, cancel := context.WithCancel(b.life)
	m = &making{layer: layer, began: time.Now(), waiting: 1, cancel: cancel, done: make(chan struct{})}
	end := func(err error) {
		m.err = err
		close(m.done)
		cancel()
		unpin()
	}
	b.mu.Lock()
	if under := b.making[layer.Key]; under != nil {
		under.waiting++
		b.mu.Unlock()
		end(nil)
		return under, false
	}
	begun = b.deploys.Background(func(context.Context) {
		err := b.sharedAllowance(layer.Name).spend(ctx, func(ctx context.Context) error {
			out := progress.New()
			out.Record = &m.said
			return b.makeLayer(ctx, store.App{}, layer, nil, nil, buildRoom(), out)
		})
		b.mu.Lock()
		b.unlist(m)
		b.mu.Unlock()
		end(err)
	})
	if begun {
		b.making[layer.Key] = m
	}
	b.mu.Unlock()
	if !begun {
		end(context.Canceled)
	}
	return m, true // one that could not begin says so itself
}

// leaveShared is called by whoever waits for a layer no more. One that nobody
// waits for is not made on.
func (b *Builder) leaveShared(m *making) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if m.waiting--; m.waiting == 0 {
		b.unlist(m) // who wants it now begins anew
		m.cancel()
	}
}

// unlist takes a layer off the list of those that are being made; the caller
// holds d.mu.
func (b *Builder) unlist(m *making) {
	if b.making[m.layer.Key] == m {
		delete(b.making, m.layer.Key)
	}
}
