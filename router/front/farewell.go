package front

import (
	"context"
	"net"
	"net/http"
	"time"
)

// lameDuck is how long a connection that has no request under way lasts after
// Shutdown. Over HTTP/1.1 a server cannot say that it will hang up but in an
// answer, and whoever hangs up without meets the request that is on its way.
// So there is time for one more request, whose answer says that it is the last.
// As long does net/http leave HTTP/2's GOAWAY, which says it unasked.
const lameDuck = time.Second

// newGoodbye returns a server whose Shutdown sends GOAWAY on the HTTP/2
// connections of next, and closes none: net/http's own does both at once, and
// closes what is idle before the GOAWAY is out.
func newGoodbye(next *http.Server) *http.Server {
	g := &http.Server{IdleTimeout: next.IdleTimeout, HTTP2: next.HTTP2, ErrorLog: next.ErrorLog}
	if next.TLSConfig != nil {
		g.TLSConfig = next.TLSConfig.Clone()
	}
	nothing := &handOver{closed: make(chan struct{})}
	nothing.Close()
	g.Serve(nothing) // which makes TLSNextProto, and registers its GOAWAY with this server
	next.TLSNextProto = g.TLSNextProto
	return g
}

// last says in an answer of net/http's that it is the connection's last one,
// once Shutdown has begun. HTTP/2 makes a GOAWAY of it.
func (s *Server) last(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if s.closing.Load() {
			w.Header().Set("Connection", "close")
		}
		h.ServeHTTP(w, req)
	})
}

// countEnds notes the connections that net/http has no more.
func (s *Server) countEnds(_ net.Conn, state http.ConnState) {
	if state == http.StateClosed || state == http.StateHijacked {
		s.countHanded(-1)
	}
}

// countHanded keeps count of the connections that net/http has.
func (s *Server) countHanded(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handed += n
	if s.handed == 0 && s.unhanded != nil {
		close(s.unhanded)
		s.unhanded = nil
	}
}

// farewell gives the connections that net/http has the time to end by themselves.
func (s *Server) farewell(ctx context.Context) {
	s.mu.Lock()
	if s.handed == 0 {
		s.mu.Unlock()
		return
	}
	unhanded := make(chan struct{})
	s.unhanded = unhanded
	s.mu.Unlock()
	enough := time.NewTimer(s.patience)
	defer enough.Stop()
	select {
	case <-unhanded:
	case <-enough.C:
	case <-ctx.Done():
	}
}
