package web

import (
	"context"
	"net/http"

	"github.com/berthd/berth/access"
	"github.com/berthd/berth/verbs"
)

// registered enters the requests of sessions, so that they end with the
// session, or the right to it. Most take no time; a stream may take days.
func (s *Server) registered(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		cookie, err := r.Cookie(sessionCookie)
		if err != nil {
			next.ServeHTTP(w, r)
			return
		}
		user, err := s.sessions().Lookup(cookie.Value)
		if err != nil {
			next.ServeHTTP(w, r)
			return
		}
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		conn := access.Connection{User: user.Name, Session: verbs.HashOf(cookie.Value), Remote: r.RemoteAddr}
		defer s.api.Register.Enter(conn, cancel)()
		next.ServeHTTP(w, r.WithContext(ctx)) // which looks the session up again
	})
}
