package router

import (
	"context"
	"time"
)

// cutGrace is how long a cut request may take to leave: time for its error
// page to be written, then its connection is closed under it.
const cutGrace = time.Second

// Drain is a set of backends that get no new requests. The caller says how long
// they may take to finish: for apps, fleet.DrainRequests.
type Drain struct {
	backends []*backend
}

func drain(backends []*backend) *Drain {
	for _, b := range backends {
		b.drain()
	}
	return &Drain{backends}
}

// Wait returns when every request of the drained backends has been answered
// and every upgraded connection is closed. After requests it cuts the
// requests, after upgraded (both counted from now) the upgraded connections,
// event streams and connections of ports that are still there. It returns how many it cut. The end
// of ctx ends the waiting and cuts nothing.
func (d *Drain) Wait(ctx context.Context, requests, upgraded time.Duration) (cut int) {
	defer d.closeIdle()
	empty := make(chan struct{})
	stop := make(chan struct{})
	defer func() { close(stop); <-empty }()
	go func() {
		defer close(empty)
		for _, b := range d.backends {
			select {
			case <-b.empty:
			case <-stop:
				return
			}
		}
	}()

	plain, streams := time.NewTimer(requests), time.NewTimer(upgraded)
	defer plain.Stop()
	defer streams.Stop()
	for late := 0; late < 2; {
		select {
		case <-empty:
			return cut
		case <-ctx.Done():
			return cut
		case <-plain.C:
			late++
			cut += d.cut(func(x guest) bool { return late == 2 || !x.streams() })
		case <-streams.C:
			late++
			cut += d.cut(func(x guest) bool { return late == 2 || x.streams() })
		}
	}
	select {
	case <-empty:
	case <-ctx.Done():
	case <-time.After(2 * cutGrace): // a handler stuck in a write has lost its connection by now
	}
	return cut
}

func (d *Drain) cut(which func(guest) bool) (n int) {
	for _, b := range d.backends {
		n += b.cut(which)
	}
	return n
}

// closeIdle closes the connections that requests have given back since.
func (d *Drain) closeIdle() {
	for _, b := range d.backends {
		b.closeIdle()
	}
}
