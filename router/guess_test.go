package router

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/bcrypt"
)

const hashTime = 70 * time.Millisecond

// slowGuard hashes in simulated time, one at a time, and counts.
func slowGuard(t *testing.T, hashes *atomic.Int64) *guard {
	t.Helper()
	g := newGuard([]User{{"alice", []byte("right")}, {"bob", []byte("right")}})
	var hashing atomic.Int64
	g.compare = func(hash, password []byte) error {
		hashes.Add(1)
		if hashing.Add(1) > 1 {
			t.Error("two hashes at once")
		}
		defer hashing.Add(-1)
		time.Sleep(hashTime)
		if !bytes.Equal(hash, password) {
			return errors.New("wrong")
		}
		return nil
	}
	return g
}

func from(n int) address {
	return address(netip.AddrFrom4([4]byte{192, 0, byte(n >> 8), byte(n)}))
}

func TestGuard_WhoGuessesWaitsAndOthersDoNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hashes atomic.Int64
		g := slowGuard(t, &hashes)
		var outcomes [3]atomic.Int64
		var guesses sync.WaitGroup
		for i := range 200 {
			guesses.Go(func() {
				verdict, wait := g.verify(t.Context(), from(1), "alice", fmt.Sprint("guess", i))
				if outcomes[verdict].Add(1); verdict == later && wait <= 0 {
					t.Error("an address is to come back at once")
				}
			})
		}
		synctest.Wait()
		began := time.Now()
		if verdict, _ := g.verify(t.Context(), from(2), "alice", "right"); verdict != right {
			t.Errorf("somebody else got %d", verdict)
		}
		if took := time.Since(began); took > (addressQueue+1)*hashTime {
			t.Errorf("somebody else waited %v", took)
		}
		guesses.Wait()
		if n := hashes.Load(); n > addressQueue+1 || outcomes[right].Load() != 0 || outcomes[later].Load() < 190 {
			t.Errorf("%d hashes; %d wrong, %d to wait", n, outcomes[wrong].Load(), outcomes[later].Load())
		}
		// What was right once is right at once, and from the address that has to wait too.
		for _, at := range []address{from(1), from(2)} {
			before := hashes.Load()
			if verdict, _ := g.verify(t.Context(), at, "alice", "right"); verdict != right || hashes.Load() != before {
				t.Errorf("a password that was right before: %d, with %d hashes", verdict, hashes.Load()-before)
			}
		}
	})
}

func TestGuard_EachWrongPasswordMakesTheWaitLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hashes atomic.Int64
		g := slowGuard(t, &hashes)
		var waits []time.Duration
		for i := 0; len(waits) < 9; i++ {
			verdict, wait := g.verify(t.Context(), from(1), "nobody", fmt.Sprint("guess", i))
			if verdict == later {
				waits = append(waits, wait)
				time.Sleep(wait)
			}
		}
		want := []time.Duration{1, 2, 4, 8, 16, 32, 60, 60, 60}
		for i := range want {
			if waits[i] != want[i]*time.Second {
				t.Fatalf("waits are %v, want %v", waits, want)
			}
		}
		if verdict, _ := g.verify(t.Context(), from(1), "alice", "right"); verdict != right {
			t.Errorf("the right password after the wait: %d", verdict)
		}
		time.Sleep(guessesLast)
		for i := range freeGuesses + 1 {
			if verdict, _ := g.verify(t.Context(), from(1), "alice", fmt.Sprint("new", i)); verdict != wrong {
				t.Errorf("guess %d of an address that was quiet: %d", i, verdict)
			}
		}
	})
}

func TestGuard_OnePasswordIsHashedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hashes atomic.Int64
		g := slowGuard(t, &hashes)
		var all sync.WaitGroup
		for i := range 50 { // a page's pictures, after a restart
			all.Go(func() {
				if verdict, _ := g.verify(t.Context(), from(i%2), "bob", "right"); verdict != right {
					t.Errorf("got %d", verdict)
				}
			})
		}
		all.Wait()
		if n := hashes.Load(); n != 1 {
			t.Errorf("%d hashes", n)
		}
		if verdict, _ := g.verify(t.Context(), from(1), "alice", "wrong"); verdict != wrong {
			t.Errorf("another's password: %d", verdict)
		}
	})
}

func TestGuard_ManyAddressesLeaveRoomForNewOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hashes atomic.Int64
		g := slowGuard(t, &hashes)
		for i := range 100 { // one wrong each
			g.verify(t.Context(), from(i), "alice", "wrong")
		}
		var flood sync.WaitGroup
		for i := range 500 {
			flood.Go(func() { g.verify(t.Context(), from(i%100), "alice", fmt.Sprint("guess", i)) })
		}
		synctest.Wait()
		began := time.Now()
		verdict, _ := g.verify(t.Context(), from(1000), "alice", "right")
		if took := time.Since(began); verdict != right || took > (hashQueue+1)*hashTime {
			t.Errorf("a new address got %d after %v", verdict, took)
		}
		flood.Wait()
	})
}

// A route that is swapped keeps who was right, and who was wrong.
func TestGuard_OutlivesTheRoutesSwap(t *testing.T) {
	hash := func(password string) []byte {
		hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
		if err != nil {
			t.Fatal(err)
		}
		return hash
	}
	alice, bob, other := hash("right"), hash("right"), hash("new")
	before := newGuard([]User{{"alice", alice}, {"bob", bob}, {"carol", bob}})
	for _, name := range []string{"alice", "bob", "carol"} {
		before.verify(t.Context(), from(1), name, "right")
	}
	for i := range freeGuesses + 1 {
		before.verify(t.Context(), from(2), "alice", fmt.Sprint(i))
	}
	after := newGuard([]User{{"alice", alice}, {"bob", other}})
	after.inherit(before)
	if len(after.proven) != 1 || after.proven["alice"] == nil {
		t.Errorf("%d are believed without a hash, want alice", len(after.proven))
	}
	if verdict, _ := after.verify(t.Context(), from(2), "bob", "new"); verdict != later {
		t.Errorf("an address that was wrong got %d", verdict)
	}
	if verdict, _ := after.verify(t.Context(), from(3), "bob", "right"); verdict != wrong {
		t.Errorf("an old password got %d", verdict)
	}
}

func TestServe_TooManyWrongPasswordsAreToldWhenToComeBack(t *testing.T) {
	s := start(t, Config{})
	hash, err := bcrypt.GenerateFromPassword([]byte("right"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	rt := Route{Name: "shop", Hosts: []string{"shop.localhost"}, Options: Options{Users: []User{{"alice", hash}}},
		Backends: []Backend{app(t, "1", func(http.ResponseWriter, *http.Request) {})}}
	set(t, s, rt)
	c := s.client(t)
	ask := func(password string) *http.Response {
		req, _ := http.NewRequestWithContext(t.Context(), "GET", "https://shop.localhost/", nil)
		req.SetBasicAuth("alice", password)
		res, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return res
	}
	if res := ask("right"); res.StatusCode != 200 {
		t.Errorf("the right password: %d", res.StatusCode)
	}
	for i := range freeGuesses + 1 {
		if res := ask(fmt.Sprint("wrong", i)); res.StatusCode != 401 {
			t.Errorf("guess %d: %d", i, res.StatusCode)
		}
	}
	set(t, s, rt) // as a scaling of the app does
	if res := ask("wrong"); res.StatusCode != 429 || res.Header.Get("Retry-After") == "" || res.Header.Get("WWW-Authenticate") != "" {
		t.Errorf("one too many: %d %v", res.StatusCode, res.Header)
	}
	if res := ask("right"); res.StatusCode != 200 {
		t.Errorf("the right password after that: %d", res.StatusCode)
	}
}
