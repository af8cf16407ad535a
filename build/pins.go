package build

import (
	"maps"
	"sync"

	"github.com/berthd/berth/buildpacks/plan"
)

// pins are the layers that work under way relies on and that no release names
// yet. Whoever pins a layer and then looks for it finds it, and keeps it, or
// finds that it is not there.
type pins struct {
	mu   sync.Mutex // guards keys; held while a layer is removed, so that none goes that is being pinned
	keys map[string]int
}

// Pin keeps layers until release is called.
func (p *pins) pin(keys ...string) (release func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.keys == nil {
		p.keys = map[string]int{}
	}
	for _, key := range keys {
		p.keys[key]++
	}
	return sync.OnceFunc(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, key := range keys {
			if p.keys[key]--; p.keys[key] == 0 {
				delete(p.keys, key)
			}
		}
	})
}

// all returns the layers that are pinned now.
func (p *pins) all() map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.keys)
}

// unlessPinned removes a layer, unless somebody relies on it by now.
func (p *pins) unlessPinned(key string, remove func() error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.keys[key] > 0 {
		return nil
	}
	return remove()
}

// rely pins all layers that come of a plan and of the layer that comes on top.
func (b *Builder) rely(made *plan.Plan, top string) (release func()) {
	keys := []string{made.Base(), top}
	for _, l := range made.Layers {
		keys = append(keys, layerKeys(l)...)
	}
	return b.pins.pin(keys...)
}

// layerKeys are the keys of a layer and of what it is made on.
func layerKeys(l plan.Layer) (keys []string) {
	for _, key := range []string{l.Key, l.Parent, l.Builder} {
		if key != "" {
			keys = append(keys, key)
		}
	}
	return keys
}
