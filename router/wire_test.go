package router

import (
	"net"
	"sync/atomic"
	"testing"
)

// wire carries datagrams between a client and one address after another.
type wire struct {
	outer net.PacketConn // where the client sends to
	inner net.PacketConn
	to    atomic.Pointer[net.UDPAddr]
	from  atomic.Pointer[net.Addr]
}

func newWire(t *testing.T, to string) *wire {
	w := &wire{outer: listenPacket(t), inner: listenPacket(t)}
	w.lead(to)
	carry := func(from net.PacketConn, pass func([]byte, net.Addr)) {
		buf := make([]byte, 1<<16)
		for {
			n, addr, err := from.ReadFrom(buf)
			if err != nil {
				return
			}
			pass(buf[:n], addr)
		}
	}
	go carry(w.outer, func(p []byte, addr net.Addr) {
		w.from.Store(&addr)
		w.inner.WriteTo(p, w.to.Load())
	})
	go carry(w.inner, func(p []byte, addr net.Addr) {
		if addr.String() == w.to.Load().String() {
			w.outer.WriteTo(p, *w.from.Load())
		}
	})
	t.Cleanup(func() { w.outer.Close(); w.inner.Close() })
	return w
}

func (w *wire) addr() string { return w.outer.LocalAddr().String() }

func (w *wire) lead(to string) {
	addr, _ := net.ResolveUDPAddr("udp", to)
	w.to.Store(addr)
}
