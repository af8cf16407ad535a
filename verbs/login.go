package verbs

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/berthd/berth/edge"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

type logins struct {
	records
	sessions   *Sessions
	portSuffix string // behind a host in links
}

func (n logins) verbs() []Verb {
	return []Verb{
		act(Verb{
			Name: "login", Role: reads,
			Short:   "print a one-time link to sign in",
			Example: "login",
			Done:    fmt.Sprintf("valid once, for %d minutes:", LinkLife/time.Minute),
			Prints:  "{result.url}",
		}, n.link),
	}
}

// How long links and sessions are good for.
const (
	LinkLife    = 10 * time.Minute    // from the terminal to the browser, no longer
	SessionLife = 30 * 24 * time.Hour // an operator who looks in monthly stays signed in
)

// Sessions makes sign-in links and the sessions that result. A token is 256
// random bits; only its SHA-256 is stored.
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
		if err := tx.Logins.Delete(HashOf(link)); err != nil {
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
	return s.db.Update(func(tx *store.Tx) error { return tx.Logins.Delete(HashOf(session)) })
}

// RevokeAll ends every session and link of the user of that name.
func (s *Sessions) RevokeAll(name string) error {
	return s.db.Update(func(tx *store.Tx) error { return revokeAll(tx, name) })
}

func issue(tx *store.Tx, user store.User, session bool, life time.Duration) (token string, expires time.Time, err error) {
	raw := make([]byte, 32)
	rand.Read(raw) // never fails
	token = base64.RawURLEncoding.EncodeToString(raw)
	now := time.Now()
	expires = now.Add(life)
	return token, expires, tx.Logins.Put(store.Login{
		Hash: HashOf(token), User: user, Session: session, CreatedAt: now, ExpiresAt: expires,
	})
}

// holder returns whose link or session the token is.
func holder(tx *store.Tx, token string, session bool) (store.User, error) {
	refused := func() error {
		if session {
			return SignedOut()
		}
		return fault.New(fault.Denied, code.LinkInvalid, "this link is not valid: it was used, it is older than %d minutes, or its user was removed", LinkLife/time.Minute).
			Hint("ssh berth@HOST login prints a new one")
	}
	login, found, err := tx.Logins.Get(HashOf(token))
	if err != nil {
		return store.User{}, err
	}
	if !found || login.Session != session || !time.Now().Before(login.ExpiresAt) {
		return store.User{}, refused()
	}
	if login.User.Name == store.Root.Name {
		return store.Root, nil
	}
	key, err := tx.Keys.Get(login.User.Name)
	if f := fault.From(err); f != nil && f.Kind == fault.NotFound {
		return store.User{}, refused()
	}
	return key.User(), err
}

// SignedOut is the fault for a caller without a session (E148).
func SignedOut() *fault.Error {
	return fault.New(fault.Denied, code.SignInRequired, "sign in first").Hint("ssh berth@HOST login prints a link")
}

func forgetExpired(tx *store.Tx) error {
	return deleteLogins(tx, func(l store.Login) bool { return !time.Now().Before(l.ExpiresAt) })
}

func revokeAll(tx *store.Tx, name string) error {
	return deleteLogins(tx, func(l store.Login) bool { return l.User.Name == name })
}

func deleteLogins(tx *store.Tx, which func(store.Login) bool) error {
	logins, err := tx.Logins.All()
	if err != nil {
		return err
	}
	for _, l := range logins {
		if which(l) {
			if err := tx.Logins.Delete(l.Hash); err != nil {
				return err
			}
		}
	}
	return nil
}

// HashOf is the stored form of a token.
func HashOf(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// Login is a link to sign in with, once.
type Login struct {
	URL       string    `json:"url"`
	ExpiresAt time.Time `json:"expires_at"`
}

func (n logins) link(_ context.Context, c Call, _ NoArgs) (Login, error) {
	settings, err := n.settings()
	if err != nil {
		return Login{}, err
	}
	if settings.Domain == "" {
		return Login{}, fault.New(fault.Conflict, code.ApplianceNoDomain, "the appliance has no domain yet").
			Hint("set one: berth domains:set-global DOMAIN")
	}
	token, expires, err := n.sessions.Link(c.User)
	if err != nil {
		return Login{}, err
	}
	return Login{"https://" + edge.AdminHost(settings.Domain) + n.portSuffix + "/login?token=" + token, expires}, nil
}
