package deploy

import (
	"context"
	"sync"
)

// changes tells subscribers which app changed.
type changes struct {
	mu   sync.Mutex
	subs map[chan string]bool
}

// Subscribe returns a channel that gets the name of each app that something
// changed about; "" means that more changed than the reader kept up with. It is
// closed when ctx ends.
func (d *Deployer) Subscribe(ctx context.Context) <-chan string {
	ch := make(chan string, 16)
	c := &d.changes
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.subs == nil {
		c.subs = map[chan string]bool{}
	}
	c.subs[ch] = true
	context.AfterFunc(ctx, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.subs, ch)
		close(ch)
	})
	return ch
}

func (c *changes) publish(app string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for ch := range c.subs {
		select {
		case ch <- app:
			continue
		default:
		}
		select { // full: the oldest gives way to "look at everything"
		case <-ch:
		default:
		}
		select {
		case ch <- "":
		default:
		}
	}
}
