package router

import (
	"context"
	"io"
	"net/http"
	"sync"
	"time"
)

// Protocol is what a route's backends are spoken to in.
type Protocol string

// The protocols of backends. All are without TLS: a backend is on this machine.
const (
	HTTP Protocol = "http" // HTTP/1.1, and HTTP/2 for calls of gRPC
	H2C  Protocol = "h2c"  // HTTP/2 for everything, with prior knowledge
)

// h2cBuffer is how much of one response waits for its client. net/http's own
// 4 MB would be held for every client that reads slowly.
const h2cBuffer = 256 << 10

// speaksH2C tells whether the backend is asked in HTTP/2.
func (x *exchange) speaksH2C() bool { return x.route.options.Protocol == H2C || x.isGRPC() }

// roundTripper returns what sends an exchange that is not plain.
func (b *backend) roundTripper(x *exchange) (*http.Transport, error) {
	if !x.speaksH2C() {
		return b.transport, nil
	}
	if until := b.notHTTP2.Load(); until != 0 && time.Now().UnixNano() < until {
		return nil, errNotHTTP2
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.h2c == nil {
		b.h2c = b.newH2C()
	}
	return b.h2c, nil
}

func (b *backend) newH2C() *http.Transport {
	t := &http.Transport{
		Protocols:              new(http.Protocols),
		HTTP2:                  &http.HTTP2Config{MaxReceiveBufferPerStream: h2cBuffer},
		DialContext:            b.dialH2C,
		DisableCompression:     true,
		IdleConnTimeout:        b.transport.IdleConnTimeout,
		ExpectContinueTimeout:  continueTimeout,
		MaxResponseHeaderBytes: maxResponseHeaderBytes,
	}
	t.Protocols.SetUnencryptedHTTP2(true)
	return t
}

// closeTransports closes the connections that no request is using.
func (b *backend) closeTransports() {
	b.transport.CloseIdleConnections()
	b.mu.Lock()
	shared := b.h2c
	b.mu.Unlock()
	if shared != nil {
		shared.CloseIdleConnections()
	}
}

// sender returns a reader of the request's body, as the exchange's transport
// needs it.
func (x *exchange) sender() io.ReadCloser {
	if !x.speaksH2C() {
		return x.body.reader()
	}
	return &looseReader{from: x.body.reader(), ctx: x.in.Context(), closed: make(chan struct{})}
}

// looseReader lets go of a client that says nothing, when it is closed or the
// exchange ends: in HTTP/2, net/http does nothing else of a request while it
// waits for its body, which of a conversation may be for ever.
type looseReader struct {
	from   io.ReadCloser
	ctx    context.Context
	once   sync.Once
	closed chan struct{}
}

// Read waits in a goroutine of its own, which ends with the client's next
// bytes or with the exchange. What it reads in vain, the body keeps.
func (r *looseReader) Read(p []byte) (int, error) {
	type read struct {
		n   int
		err error
	}
	own := make([]byte, min(len(p), bufferSize)) // p is not ours once we have returned
	got := make(chan read, 1)
	go func() {
		n, err := r.from.Read(own)
		got <- read{n, err}
	}()
	select {
	case g := <-got:
		return copy(p, own[:g.n]), g.err
	case <-r.closed:
		return 0, http.ErrBodyReadAfterClose
	case <-r.ctx.Done():
		return 0, r.ctx.Err()
	}
}

func (r *looseReader) Close() error {
	r.once.Do(func() { close(r.closed) })
	return r.from.Close()
}
