package router

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
)

// maxReplay is how much of a request's body is kept so that it can be sent a
// second time. A connection that was dead already is noticed before that much
// of a larger body has gone out.
const maxReplay = 64 << 10

var errBodyGone = errors.New("the request's body was longer than what is kept for a second try")

// body is a request's body on its way to a backend. What has been read of it
// is kept while it is short, so that it can be read again from the start.
type body struct {
	src   io.Reader
	count func(n int)
	atEnd func()                // when the client has sent it all
	broke atomic.Pointer[error] // what src ended with, unless that was its end

	lost atomic.Bool // kept is not all that was read; for those who cannot wait for a Read

	mu   sync.Mutex // guards what follows, and src
	kept []byte
	read int64
	err  error // what src ended with
}

// reader returns a reader of the body from its start.
func (b *body) reader() io.ReadCloser { return &bodyReader{body: b} }

// replayable tells whether a new reader will see all of the body.
func (b *body) replayable() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return int64(len(b.kept)) == b.read
}

// failure returns the error with which the client's sending ended, if it did.
func (b *body) failure() error {
	if err := b.broke.Load(); err != nil {
		return *err
	}
	return nil
}

type bodyReader struct {
	*body
	pos    int64
	closed atomic.Bool // not under the lock: Close must not wait for a slow client
}

func (r *bodyReader) Close() error {
	r.closed.Store(true)
	return nil // the server closes its own body
}

// Read waits for a Read that an earlier try has still under way; its bytes are
// kept and not lost.
func (r *bodyReader) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.closed.Load():
		return 0, http.ErrBodyReadAfterClose
	case r.pos < int64(len(r.kept)):
		n := copy(p, r.kept[r.pos:])
		r.pos += int64(n)
		return n, nil
	case r.pos != r.read:
		return 0, errBodyGone
	case r.err != nil:
		return 0, r.err
	}
	n, err := r.src.Read(p)
	if int64(len(r.kept)) == r.read && len(r.kept)+n <= maxReplay {
		r.kept = append(r.kept, p[:n]...)
	} else {
		r.kept = nil
		r.lost.Store(true)
	}
	r.read += int64(n)
	r.pos = r.read
	r.count(n)
	switch r.err = err; {
	case err == io.EOF && r.atEnd != nil:
		r.atEnd()
	case err != nil && err != io.EOF:
		r.broke.Store(&err)
	}
	return n, err
}

// buffers lends the buffers of response bodies.
type buffers struct{ pool sync.Pool }

const bufferSize = 32 << 10

func (b *buffers) Get() []byte {
	if p, ok := b.pool.Get().(*[bufferSize]byte); ok {
		return p[:]
	}
	return make([]byte, bufferSize)
}

func (b *buffers) Put(p []byte) { b.pool.Put((*[bufferSize]byte)(p)) }
