package router

import (
	"bufio"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// responseWriter remembers what went out.
type responseWriter struct {
	http.ResponseWriter
	exchange *exchange
	status   int
	encoder  *encoder // nil unless the body is compressed
	written  atomic.Int64
	count    *atomic.Uint64 // of the route, once one is found
	patience *time.Timer    // of a stream's client that reads, see await; nil until it is needed
}

// Unwrap lets http.ResponseController through to the server's own writer.
func (w *responseWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader remembers the first status that is final, and notices the
// beginning of an event stream.
func (w *responseWriter) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status = status
		if status == http.StatusNoContent || status == http.StatusNotModified {
			delete(w.Header(), "Content-Length") // clients of HTTP/2 would wait for so much
		}
		if strings.HasPrefix(w.Header().Get("Content-Type"), "text/event-stream") {
			w.exchange.becameStream()
		}
		w.exchange.advertise(w.Header())
		if w.exchange.respond(status) {
			return
		}
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *responseWriter) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if w.encoder != nil {
		return w.encoder.Write(p)
	}
	return w.send(p)
}

// send writes what goes out as it is.
func (w *responseWriter) send(p []byte) (int, error) {
	w.await()
	defer w.awaited()
	n, err := w.ResponseWriter.Write(p)
	w.wrote(n)
	return n, err
}

// finish writes what is left of a body that has come to its end.
func (w *responseWriter) finish() {
	if w.encoder != nil {
		w.encoder.close()
	}
}

func (w *responseWriter) wrote(n int) {
	w.written.Add(int64(n))
	if w.count != nil {
		w.count.Add(uint64(n))
	}
}

// Flush is for handlers that look for an http.Flusher.
func (w *responseWriter) Flush() { w.FlushError() }

// FlushError is for http.ResponseController.
func (w *responseWriter) FlushError() error {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if w.encoder != nil {
		if err := w.encoder.flush(); err != nil {
			return err
		}
	}
	w.await()
	defer w.awaited()
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// await begins the time that the client of a stream has to read, awaited ends
// it: in HTTP/2 and 3 the client says how much may be sent of each response, and
// one that says nothing would hold it for ever while its connection is well.
// The connections of HTTP/1.1 see to it themselves, see peer.Patience.
func (w *responseWriter) await() {
	x := w.exchange
	switch {
	case x.in.ProtoMajor < 2:
	case w.patience == nil:
		w.patience = time.AfterFunc(x.door.cfg.SendTimeout, func() { x.cut() })
	default:
		w.patience.Reset(x.door.cfg.SendTimeout)
	}
}

func (w *responseWriter) awaited() {
	if w.patience != nil {
		w.patience.Stop()
	}
}

// close gives the client of a stream its time for what is left in the server's
// buffer, which is written once the handler has returned.
func (w *responseWriter) close() {
	if x := w.exchange; x.in.ProtoMajor >= 2 && !x.wasCut.Load() {
		http.NewResponseController(w.ResponseWriter).SetWriteDeadline(time.Now().Add(x.door.cfg.SendTimeout))
	}
}

// Hijack returns the connection of an upgrade, which is still counted.
func (w *responseWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	w.status = http.StatusSwitchingProtocols
	w.exchange.stick(w.Header())
	w.exchange.becameStream()
	return &upgradedConn{c, w}, rw, nil
}

type upgradedConn struct {
	net.Conn
	w *responseWriter
}

func (c *upgradedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.w.exchange.route != nil {
		c.w.exchange.countIn(n)
	}
	return n, err
}

func (c *upgradedConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.w.wrote(n)
	return n, err
}

// CloseWrite passes the end of one direction on.
func (c *upgradedConn) CloseWrite() error { return closeWrite(c.Conn) }
