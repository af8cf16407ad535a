package web

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"time"

	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
)

// How long links and sessions are good for.
const (
	LinkLife    = 10 * time.Minute    // from the terminal to the browser, no longer
	SessionLife = 30 * 24 * time.Hour // an operator who looks in monthly stays signed in
)

// sessionCookie begins with __Host-: browsers take it only over HTTPS, for
// this very host and all its paths, so that no app on a host beside it can set it.
const sessionCookie = "__Host-berth"

// Sessions makes links for signing in and the sessions that come of them. A
// token is 256 random bits; only its SHA-256 is stored.
type Sessions struct{ db *store.Store }

// Link makes a single-use link's token for the user.
func (s *Sessions) Link(user store.User) (token string, expires time.Time, err error) {
	err = s.db.Update(func(tx *store.Tx) error {
		if err := forgetExpired(tx); err != nil {
			return err
		}
		token, expires, err = issue(tx, user, false, LinkLife)
		return err
	})
	return token, expires, err
}

// Check tells whose link it is without using it up: a page can show that
// before it asks to confirm. A link that is not good is a fault (E147).
func (s *Sessions) Check(link string) (user store.User, err error) {
	err = s.db.View(func(tx *store.Tx) error {
		user, err = holder(tx, link, false)
		return err
	})
	return user, err
}

// Redeem uses a link up and returns the token of a new session. Of two that
// try at once, one succeeds; the other gets the fault (E147).
func (s *Sessions) Redeem(link string) (session string, user store.User, err error) {
	err = s.db.Update(func(tx *store.Tx) error {
		if user, err = holder(tx, link, false); err != nil {
			return err
		}
		if err := tx.DeleteLogin(hashOf(link)); err != nil {
			return err
		}
		if session, _, err = issue(tx, user, true, SessionLife); err != nil {
			return err
		}
		return tx.AddEvent(store.Event{Time: time.Now(), By: user.Name, Kind: "login", Text: "signed in to the admin page"})
	})
	return session, user, err
}

// Lookup returns the user of a session, with the role and the apps that the
// user's key has now: who loses the key loses the session. A session that is
// not good is a fault (E148).
func (s *Sessions) Lookup(session string) (user store.User, err error) {
	err = s.db.View(func(tx *store.Tx) error {
		user, err = holder(tx, session, true)
		return err
	})
	return user, err
}

// Revoke ends a session. One that is gone already is no error.
func (s *Sessions) Revoke(session string) error {
	return s.db.Update(func(tx *store.Tx) error { return tx.DeleteLogin(hashOf(session)) })
}

// RevokeAll ends every session and link of the user of that name.
func (s *Sessions) RevokeAll(name string) error {
	return s.db.Update(func(tx *store.Tx) error { return revokeAll(tx, name) })
}

// User returns the user whose session the request's cookie is, or a fault (E148).
func (s *Sessions) User(r *http.Request) (store.User, error) {
	cookie, err := r.Cookie(sessionCookie)
	if err != nil {
		return store.User{}, signedOut()
	}
	return s.Lookup(cookie.Value)
}

// SetCookie hands the session to the browser.
func SetCookie(w http.ResponseWriter, session string) {
	http.SetCookie(w, cookieOf(session, int(SessionLife/time.Second)))
}

// ClearCookie makes the browser forget its session.
func ClearCookie(w http.ResponseWriter) { http.SetCookie(w, cookieOf("", -1)) }

func cookieOf(value string, maxAge int) *http.Cookie {
	return &http.Cookie{
		Name: sessionCookie, Value: value, Path: "/", MaxAge: maxAge,
		Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	}
}

func issue(tx *store.Tx, user store.User, session bool, life time.Duration) (token string, expires time.Time, err error) {
	raw := make([]byte, 32)
	rand.Read(raw) // never fails
	token = base64.RawURLEncoding.EncodeToString(raw)
	now := time.Now()
	expires = now.Add(life)
	return token, expires, tx.PutLogin(store.Login{
		Hash: hashOf(token), User: user, Session: session, CreatedAt: now, ExpiresAt: expires,
	})
}

// holder returns whose link or session the token is.
func holder(tx *store.Tx, token string, session bool) (store.User, error) {
	refused := func() error {
		if session {
			return signedOut()
		}
		return fault.New(fault.Denied, "E147", "this link is not good: it was used, it is older than %d minutes, or its user is gone", LinkLife/time.Minute).
			Hint("ssh berth@HOST login makes a new one")
	}
	login, found, err := tx.Login(hashOf(token))
	if err != nil {
		return store.User{}, err
	}
	if !found || login.Session != session || !time.Now().Before(login.ExpiresAt) {
		return store.User{}, refused()
	}
	if login.User.Name == store.Root.Name {
		return store.Root, nil
	}
	key, err := tx.Key(login.User.Name)
	if f := fault.From(err); f != nil && f.Kind == fault.NotFound {
		return store.User{}, refused()
	}
	return key.User(), err
}

func signedOut() *fault.Error {
	return fault.New(fault.Denied, "E148", "sign in first").Hint("ssh berth@HOST login prints a link")
}

func forgetExpired(tx *store.Tx) error {
	return deleteLogins(tx, func(l store.Login) bool { return !time.Now().Before(l.ExpiresAt) })
}

func revokeAll(tx *store.Tx, name string) error {
	return deleteLogins(tx, func(l store.Login) bool { return l.User.Name == name })
}

func deleteLogins(tx *store.Tx, which func(store.Login) bool) error {
	logins, err := tx.Logins()
	if err != nil {
		return err
	}
	for _, l := range logins {
		if which(l) {
			if err := tx.DeleteLogin(l.Hash); err != nil {
				return err
			}
		}
	}
	return nil
}

func hashOf(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}
