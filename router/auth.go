package router

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"maps"
	"net/http"
	"sync"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// guard lets users in by basic authentication.
//
// A hash is slow by design, and whoever guesses must take neither the machine
// nor the turns of others. So a password that was right is remembered and costs
// nothing; the same credentials are hashed once, however many requests bring
// them; and wrong ones count for the address that they came from (guesses).
type guard struct {
	hashes  map[string][]byte
	nobody  []byte // the hash that a name is compared with that is no user's
	compare func(hash, password []byte) error

	key     []byte // makes proofs of passwords
	guesses *guesses

	mu     sync.Mutex            // guards what follows
	proven map[string][]byte     // proofs of passwords that were right, by user
	checks map[[32]byte]*hashing // under way, by the proof of user and password
}

// hashing is a check that requests with the same credentials wait for.
type hashing struct {
	done chan struct{}
	got  judgement
	wait time.Duration
}

// judgement is what becomes of credentials.
type judgement int

const (
	wrong judgement = iota
	right
	later // not looked at: the address, or everybody, has to wait
)

func newGuard(users []User) *guard {
	if len(users) == 0 {
		return nil
	}
	g := &guard{
		hashes: map[string][]byte{}, compare: bcrypt.CompareHashAndPassword,
		key: []byte(rand.Text()), guesses: newGuesses(),
		proven: map[string][]byte{}, checks: map[[32]byte]*hashing{},
	}
	for _, u := range users {
		g.hashes[u.Name] = u.Hash
		g.nobody = u.Hash // of whom, does not matter: it takes as long, and is not believed
	}
	return g
}

// inherit takes over what the guard of the same route before this one knew.
func (g *guard) inherit(before *guard) {
	if g == nil || before == nil {
		return
	}
	g.key, g.guesses = before.key, before.guesses
	before.mu.Lock()
	g.proven = maps.Clone(before.proven)
	before.mu.Unlock()
	maps.DeleteFunc(g.proven, func(name string, _ []byte) bool { return string(g.hashes[name]) != string(before.hashes[name]) })
}

// admits tells whether the request comes from a user, and takes the password
// off it. If not, it is answered.
func (g *guard) admits(x *exchange) bool {
	name, password, given := x.in.BasicAuth()
	if given {
		switch got, wait := g.verify(x.in.Context(), x.from(), name, password); got {
		case right:
			x.in.Header.Del("Authorization")
			return true
		case later:
			p := tooManyGuesses
			p.retryAfter = seconds(wait)
			x.page(p)
			return false
		}
	}
	x.w.Header().Set("WWW-Authenticate", `Basic realm="restricted", charset="UTF-8"`)
	x.page(unauthorized)
	return false
}

// verify takes as long for a name that is no user's as for a wrong password.
// With later it returns how long to wait.
func (g *guard) verify(ctx context.Context, from address, name, password string) (judgement, time.Duration) {
	proof, both := g.proof(password), [32]byte(g.proof(name+":"+password)) // no name has a colon
	g.mu.Lock()
	if hmac.Equal(g.proven[name], proof) {
		g.mu.Unlock()
		return right, 0
	}
	check := g.checks[both]
	first := check == nil
	if first {
		check = &hashing{done: make(chan struct{})}
		g.checks[both] = check
	}
	g.mu.Unlock()
	if first {
		// Others wait for it, so it goes on when this client leaves.
		check.got, check.wait = g.check(context.WithoutCancel(ctx), from, name, password, proof)
		g.mu.Lock()
		delete(g.checks, both)
		g.mu.Unlock()
		close(check.done)
	}
	select {
	case <-check.done:
		return check.got, check.wait
	case <-ctx.Done():
		return wrong, 0
	}
}

func (g *guard) check(ctx context.Context, from address, name, password string, proof []byte) (judgement, time.Duration) {
	leave, wait := g.guesses.enter(ctx, from)
	if leave == nil {
		return later, wait
	}
	hash, known := g.hashes[name]
	if !known {
		hash = g.nobody
	}
	ok := g.compare(hash, []byte(password)) == nil && known
	leave(ok)
	if !ok {
		return wrong, 0
	}
	g.mu.Lock()
	g.proven[name] = proof
	g.mu.Unlock()
	return right, 0
}

func (g *guard) proof(text string) []byte {
	mac := hmac.New(sha256.New, g.key)
	mac.Write([]byte(text))
	return mac.Sum(nil)
}

// unauthorized asks for a password.
var unauthorized = page{http.StatusUnauthorized, "unauthorized", "Password needed",
	"This site needs a password.", 0}

// tooManyGuesses is for an address that has given wrong passwords.
var tooManyGuesses = page{http.StatusTooManyRequests, "too-many-guesses", "Too many wrong passwords",
	"Please wait a moment before you try again.", 0}
