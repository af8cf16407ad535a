package router

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"net/http"
	"sync"

	"golang.org/x/crypto/bcrypt"
)

// hashesAtOnce bounds how many passwords of a route are hashed side by side: a
// hash is slow by design, and whoever guesses must not take the machine.
const hashesAtOnce = 1

// guard lets users in by basic authentication.
type guard struct {
	hashes map[string][]byte
	nobody []byte // the hash that a name is compared with that is no user's
	slots  chan struct{}

	// key makes proofs of passwords that were right before, so that a page with
	// fifty pictures costs one slow hash and not fifty.
	key    []byte
	mu     sync.Mutex        // guards proven
	proven map[string][]byte // by user
}

func newGuard(users []User) *guard {
	if len(users) == 0 {
		return nil
	}
	g := &guard{
		hashes: map[string][]byte{}, slots: make(chan struct{}, hashesAtOnce),
		key: []byte(rand.Text()), proven: map[string][]byte{},
	}
	for _, u := range users {
		g.hashes[u.Name] = u.Hash
		g.nobody = u.Hash // of whom, does not matter: it takes as long, and is not believed
	}
	return g
}

// admits tells whether the request comes from a user, and takes the password
// off it. If not, it is answered.
func (g *guard) admits(x *exchange) bool {
	name, password, given := x.in.BasicAuth()
	if given && g.verify(x.in.Context(), name, password) {
		x.in.Header.Del("Authorization")
		return true
	}
	x.w.Header().Set("WWW-Authenticate", `Basic realm="restricted", charset="UTF-8"`)
	x.page(unauthorized)
	return false
}

// verify takes as long for a name that is no user's as for a wrong password.
func (g *guard) verify(ctx context.Context, name, password string) bool {
	mac := hmac.New(sha256.New, g.key)
	mac.Write([]byte(password))
	proof := mac.Sum(nil)
	g.mu.Lock()
	right := hmac.Equal(g.proven[name], proof)
	g.mu.Unlock()
	if right {
		return true
	}
	select {
	case g.slots <- struct{}{}:
		defer func() { <-g.slots }()
	case <-ctx.Done():
		return false
	}
	hash, known := g.hashes[name]
	if !known {
		hash = g.nobody
	}
	if bcrypt.CompareHashAndPassword(hash, []byte(password)) != nil || !known {
		return false
	}
	g.mu.Lock()
	g.proven[name] = proof
	g.mu.Unlock()
	return true
}

// unauthorized asks for a password.
var unauthorized = page{http.StatusUnauthorized, "unauthorized", "Password needed",
	"This site is for those who know its password.", 0}
