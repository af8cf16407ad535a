package verbs

import (
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berthd/berth/store"
)

func newSessions(t *testing.T) *Sessions {
	t.Helper()
	db, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	s := &Sessions{db: db}
	putKey(t, s, store.Key{Name: "alice", Fingerprint: "SHA256:a", Role: store.RoleAdmin})
	return s
}

func putKey(t *testing.T, s *Sessions, key store.Key) {
	t.Helper()
	if err := s.db.Update(func(tx *store.Tx) error { return tx.Keys.Put(key) }); err != nil {
		t.Fatal(err)
	}
}

var alice = store.User{Name: "alice", Role: store.RoleAdmin}

func TestSession_Life(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSessions(t)
		link, expires, err := s.Link(alice)
		if err != nil || !expires.Equal(time.Now().Add(10*time.Minute)) {
			t.Fatalf("got %v, %v; want a link for ten minutes", expires, err)
		}
		time.Sleep(10*time.Minute - time.Second)
		for range 2 { // looking does not use it up
			if user, err := s.Check(link); err != nil || user.Name != "alice" {
				t.Fatalf("Check: got %v, %v", user, err)
			}
		}
		session, user, err := s.Redeem(link)
		if err != nil || user.Name != "alice" {
			t.Fatalf("Redeem: got %v, %v", user, err)
		}
		if _, _, err := s.Redeem(link); codeOf(err) != "E147" {
			t.Errorf("a second Redeem: got %v, want E147", err)
		}
		if _, err := s.Lookup(link); codeOf(err) != "E148" {
			t.Errorf("the link as a session: got %v, want E148", err)
		}
		if _, _, err := s.Redeem(session); codeOf(err) != "E147" {
			t.Errorf("the session as a link: got %v, want E147", err)
		}
		time.Sleep(SessionLife - time.Second)
		if user, err := s.Lookup(session); err != nil || user.Name != "alice" {
			t.Errorf("on its last day: got %v, %v", user, err)
		}
		time.Sleep(time.Second)
		if _, err := s.Lookup(session); codeOf(err) != "E148" {
			t.Errorf("after it: got %v, want E148", err)
		}
	})
}

func TestSession_LinkExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSessions(t)
		link, _, err := s.Link(alice)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(LinkLife)
		if _, _, err := s.Redeem(link); codeOf(err) != "E147" {
			t.Errorf("got %v, want E147", err)
		}
		// The next link sweeps it out.
		if _, _, err := s.Link(alice); err != nil {
			t.Fatal(err)
		}
		s.db.View(func(tx *store.Tx) error {
			if logins, err := tx.Logins.All(); err != nil || len(logins) != 1 {
				t.Errorf("got %d logins, %v; want the new one alone", len(logins), err)
			}
			return nil
		})
	})
}

func TestSession_FollowsTheKey(t *testing.T) {
	s := newSessions(t)
	link, _, err := s.Link(alice)
	if err != nil {
		t.Fatal(err)
	}
	session, _, err := s.Redeem(link)
	if err != nil {
		t.Fatal(err)
	}
	putKey(t, s, store.Key{Name: "alice", Fingerprint: "SHA256:a", Role: store.RoleRead})
	if user, err := s.Lookup(session); err != nil || user.Role != store.RoleRead {
		t.Errorf("after the role changed: got %v, %v; want read", user, err)
	}
	if err := s.db.Update(func(tx *store.Tx) error { return tx.Keys.Delete("alice") }); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Lookup(session); codeOf(err) != "E148" {
		t.Errorf("after the key was removed: got %v, want E148", err)
	}
}

func TestSession_RevokedIsGone(t *testing.T) {
	s := newSessions(t)
	var sessions []string
	for range 2 {
		link, _, err := s.Link(alice)
		if err != nil {
			t.Fatal(err)
		}
		session, _, err := s.Redeem(link)
		if err != nil {
			t.Fatal(err)
		}
		sessions = append(sessions, session)
	}
	if err := s.Revoke(sessions[0]); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Lookup(sessions[0]); codeOf(err) != "E148" {
		t.Errorf("the revoked one: got %v, want E148", err)
	}
	if _, err := s.Lookup(sessions[1]); err != nil {
		t.Errorf("the other one: got %v", err)
	}
	if err := s.RevokeAll("alice"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Lookup(sessions[1]); codeOf(err) != "E148" {
		t.Errorf("after all were revoked: got %v, want E148", err)
	}
}

func TestSession_OfManyWhoRedeemOneSucceeds(t *testing.T) {
	s := newSessions(t)
	link, _, err := s.Link(store.Root)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	won := make(chan string, 8)
	for range 8 {
		wg.Go(func() {
			if session, _, err := s.Redeem(link); err == nil {
				won <- session
			}
		})
	}
	wg.Wait()
	if len(won) != 1 {
		t.Errorf("%d got a session, want 1", len(won))
	}
}

func TestSession_OnlyHashesAreStored(t *testing.T) {
	s := newSessions(t)
	link, _, err := s.Link(alice)
	if err != nil {
		t.Fatal(err)
	}
	var copied strings.Builder
	if err := s.db.Snapshot(&copied); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(copied.String(), link) {
		t.Error("the state file holds the token")
	}
}
