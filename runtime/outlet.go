package runtime

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"

	"github.com/berthd/berth/runtime/internal/outage"
)

// Outlet connects from a network namespace on the bridge, as a container does:
// it reaches what containers reach and no more. The namespace is made with the
// first connection. An Outlet is safe for concurrent use.
type Outlet struct {
	engine *Engine

	mu sync.Mutex // guards what follows
	id string
	ns *os.File
}

// Outlet returns a new one, which the caller closes.
func (e *Engine) Outlet() *Outlet { return &Outlet{engine: e} }

// DialContext connects to a host and port by TCP.
func (o *Outlet) DialContext(ctx context.Context, _, addr string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, err
	}
	ns, err := o.namespace(ctx)
	if err != nil {
		return nil, err
	}
	found, err := net.DefaultResolver.LookupNetIP(ctx, familiesOf(o.engine.net.hasSix()), host)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, ip := range found {
		conn, err := o.engine.net.dial(ctx, ns, netip.AddrPortFrom(ip.Unmap(), uint16(number)))
		if err == nil {
			return conn, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

func (o *Outlet) namespace(ctx context.Context) (*os.File, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ns != nil {
		return o.ns, nil
	}
	id := NewID()
	if err := o.engine.claim(id); err != nil {
		return nil, err
	}
	o.id = id
	network := o.engine.net
	if err := network.makeNetns(network.path(id)); err != nil {
		return nil, err
	}
	if _, err := network.attach(ctx, id, 0); err != nil {
		return nil, err
	}
	ns, err := os.Open(network.path(id))
	o.ns = ns
	return ns, err
}

// Close removes the namespace. Connections end with it.
func (o *Outlet) Close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.id == "" {
		return nil
	}
	if o.ns != nil {
		o.ns.Close()
	}
	ctx, cancel := outage.Lasting(context.Background())
	defer cancel()
	return o.engine.discard(ctx, o.id)
}
