package router

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// pipes is a listener of connections within the process.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (p pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p pipes) Close() error   { close(p.closed); return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

// A header block that never ends costs nothing to send: empty CONTINUATION
// frames count for no limit of a header's size, and while they come net/http
// counts no frame as read. So it pings, and the answer cannot come.
func TestHTTP2_EndlessContinuationEndsWithTheConnection(t *testing.T) {
	const want = http2PingAfter + http2PingTimeout
	for name, beside := range map[string]bool{"alone": false, "beside another request": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := New(Config{}, slog.New(slog.DiscardHandler))
				server := r.server(t.Context(), &door{})
				server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
				server.Protocols = new(http.Protocols)
				server.Protocols.SetUnencryptedHTTP2(true)
				listener := pipes{make(chan net.Conn), make(chan struct{})}
				served := make(chan struct{})
				go func() { defer close(served); server.Serve(listener) }()
				defer func() { server.Close(); <-served }()

				here, there := net.Pipe()
				defer here.Close()
				listener.conns <- there
				go func() { io.Copy(io.Discard, here) }()
				io.WriteString(here, http2.ClientPreface)
				framer := http2.NewFramer(here, nil)
				framer.WriteSettings()
				var head bytes.Buffer
				encoder := hpack.NewEncoder(&head)
				for _, f := range []field{{":method", "GET"}, {":scheme", "http"}, {":authority", "shop.localhost"}, {":path", "/"}} {
					encoder.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
				}
				id := uint32(1)
				if beside {
					framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: head.Bytes(), EndStream: true, EndHeaders: true})
					id += 2
				}
				begun := time.Now()
				framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: head.Bytes(), EndStream: true})
				for framer.WriteContinuation(id, false, nil) == nil {
					if time.Since(begun) > time.Hour {
						t.Fatal("the connection lasts an hour")
					}
					time.Sleep(100 * time.Millisecond)
				}
				if lasted := time.Since(begun); lasted > want+time.Second {
					t.Errorf("the connection lasted %v, want %v at most", lasted, want)
				} else {
					t.Logf("the connection lasted %v", lasted)
				}
			})
		})
	}
}

// The other side is an app: what it was asked ends with its time, and the
// connection, which nobody uses any more, with the time of an idle one.
func TestH2C_EndlessContinuationOfAnAppEndsWithTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		cfg := New(Config{}, slog.New(slog.DiscardHandler)).cfg
		b := newBackend(Backend{ID: "1", Dial: func(context.Context) (net.Conn, error) { return there, nil }}, cfg)
		const patience = 10 * time.Second
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		asked := make(chan struct{})
		go func() {
			defer close(asked)
			req, _ := http.NewRequestWithContext(ctx, "GET", "http://backend/", nil)
			if res, err := b.newH2C().RoundTrip(req); err == nil {
				res.Body.Close()
				t.Error("an answer without an end was taken for one")
			}
		}()
		io.CopyN(io.Discard, here, int64(len(http2.ClientPreface)))
		go func() { io.Copy(io.Discard, here) }()
		framer := http2.NewFramer(here, nil)
		framer.WriteSettings()
		begun := time.Now()
		framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0x88}}) // :status 200
		for framer.WriteContinuation(1, false, nil) == nil {
			if time.Since(begun) > time.Hour {
				t.Fatal("the connection lasts an hour")
			}
			time.Sleep(100 * time.Millisecond)
		}
		<-asked
		if lasted := time.Since(begun); lasted > patience+cfg.UpstreamIdle+time.Second {
			t.Errorf("the connection lasted %v, want %v at most", lasted, patience+cfg.UpstreamIdle)
		} else {
			t.Logf("the connection lasted %v", lasted)
		}
	})
}
