package router

import (
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"syscall"
)

// upgradedBackend is the backend's side of an upgrade. An app that closes its
// socket while the client still sends (as one must that fails a WebSocket) resets
// the connection. What it said before is still to be read, but ReverseProxy gives
// up both directions when one fails. So what the client goes on sending is dropped,
// as it would be without a router, until all that the app said is passed on.
type upgradedBackend struct {
	io.ReadWriteCloser
	deaf  atomic.Bool // it takes no more
	ended atomic.Bool // all that it said has been read
}

var errBackendReset = errors.New("the backend reset the upgraded connection")

// becomeUpgrade makes an answer that may be an upgrade one that loses nothing.
func becomeUpgrade(res *http.Response) {
	if app, ok := res.Body.(io.ReadWriteCloser); ok && res.StatusCode == http.StatusSwitchingProtocols {
		res.Body = &upgradedBackend{ReadWriteCloser: app}
	}
}

// Read ends with an error after a reset, even if a write has been told of it and
// the kernel calls this a mere end: after an end the client would be heard out.
func (b *upgradedBackend) Read(p []byte) (int, error) {
	n, err := b.ReadWriteCloser.Read(p)
	if err != nil {
		b.ended.Store(true)
		if err == io.EOF && b.deaf.Load() {
			err = errBackendReset
		}
	}
	return n, err
}

func (b *upgradedBackend) Write(p []byte) (int, error) {
	if !b.deaf.Load() {
		n, err := b.ReadWriteCloser.Write(p)
		if !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
			return n, err
		}
		b.deaf.Store(true)
	}
	if b.ended.Load() { // one of both sees the other's mark
		return 0, errBackendReset
	}
	return len(p), nil
}

// CloseWrite passes on that the client has said all.
func (b *upgradedBackend) CloseWrite() error { return closeWrite(b.ReadWriteCloser) }
