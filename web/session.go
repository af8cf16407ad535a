package web

import (
	"net/http"
	"time"

	"github.com/berthd/berth/store"
	"github.com/berthd/berth/verbs"
)

// sessionCookie begins with __Host-: browsers take it only over HTTPS, for
// this very host and all its paths, so that no app on a host beside it can set it.
const sessionCookie = "__Host-berth"

// User returns the user whose session the request's cookie is, or a fault (E148).
func (s *Server) User(r *http.Request) (store.User, error) {
	cookie, err := r.Cookie(sessionCookie)
	if err != nil {
		return store.User{}, verbs.SignedOut()
	}
	return s.sessions().Lookup(cookie.Value)
}

// SetCookie hands the session to the browser.
func SetCookie(w http.ResponseWriter, session string) {
	http.SetCookie(w, cookieOf(session, int(verbs.SessionLife/time.Second)))
}

// ClearCookie makes the browser forget its session.
func ClearCookie(w http.ResponseWriter) { http.SetCookie(w, cookieOf("", -1)) }

func cookieOf(value string, maxAge int) *http.Cookie {
	return &http.Cookie{
		Name: sessionCookie, Value: value, Path: "/", MaxAge: maxAge,
		Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	}
}

// SignIn uses a link up and hands the session that comes of it to the browser.
func (s *Server) SignIn(w http.ResponseWriter, link string) error {
	session, _, err := s.sessions().Redeem(link)
	if err == nil {
		SetCookie(w, session)
	}
	return err
}

// SignOut ends the session whose cookie the request has.
func (s *Server) SignOut(w http.ResponseWriter, r *http.Request) error {
	if cookie, err := r.Cookie(sessionCookie); err == nil {
		if err := s.sessions().Revoke(cookie.Value); err != nil {
			return err
		}
	}
	ClearCookie(w)
	return nil
}

// sessions are those that sign in here.
func (s *Server) sessions() *verbs.Sessions { return s.api.Sessions }
