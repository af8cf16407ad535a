package web

import (
	"bufio"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/berthd/berth/access"
	"github.com/berthd/berth/store"
)

// following is a browser that follows the logs of shop in somebody's session.
// It returns the session and a channel that is closed when the stream ends.
func following(t *testing.T, h *house, url string, user store.User) (session string, ended chan struct{}) {
	t.Helper()
	link, _, err := h.Sessions.Link(user)
	if err != nil {
		t.Fatal(err)
	}
	if session, _, err = h.Sessions.Redeem(link); err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequest(http.MethodGet, url+"/api/v1/logs?app=shop&follow=true", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", ndjson)
	req.AddCookie(&http.Cookie{Name: sessionCookie, Value: session})
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(resp.Body)
	if line, err := lines.ReadString('\n'); err != nil || !strings.Contains(line, "followed") {
		t.Fatalf("the stream: %q, %v", line, err)
	}
	ended = make(chan struct{})
	go func() {
		io.Copy(io.Discard, lines)
		resp.Body.Close()
		close(ended)
	}()
	return session, ended
}

func TestSessions_StreamsEndWithTheRightToThem(t *testing.T) {
	h := newHouse(t)
	h.update(t, func(tx *store.Tx) error { _, err := tx.CreateApp(store.App{Name: "shop"}); return err })
	server := httptest.NewServer(h.Handler())
	defer server.Close()
	call := func(verb string, args, result any) {
		t.Helper()
		if err := h.API.Call(t.Context(), store.Root, verb, args, result, nil); err != nil {
			t.Errorf("%s: %v", verb, err)
		}
	}
	open := func(ended chan struct{}) bool {
		select {
		case <-ended:
			return false
		default:
			return true
		}
	}
	line := newKey(t)
	addKey(t, h, KeyAddArgs{Name: "boss", Key: newKey(t)})
	addKey(t, h, KeyAddArgs{Name: "alice", Key: line, Role: store.RoleDeploy})
	alice := store.User{Name: "alice", Role: store.RoleDeploy}
	_, others := following(t, h, server.URL, store.Root)

	_, ended := following(t, h, server.URL, alice)
	addKey(t, h, KeyAddArgs{Name: "alice", Key: line}) // as it was: nothing changes
	if !open(ended) {
		t.Error("ended, though the key is as it was")
	}
	addKey(t, h, KeyAddArgs{Name: "alice", Key: line, Role: store.RoleDeploy, Apps: []string{"shop"}})
	<-ended // other apps

	_, ended = following(t, h, server.URL, alice)
	call("ssh-keys:remove", KeyRemoveArgs{Name: "alice"}, nil)
	<-ended
	if !open(others) {
		t.Error("root's stream ended with alice's")
	}

	var sessions []OpenSession
	call("sessions:list", nil, &sessions)
	if len(sessions) != 1 || sessions[0].User != "root" || sessions[0].Door != "browser" {
		t.Fatalf("sessions %+v, want root's alone", sessions)
	}
	call("sessions:end", SessionEndArgs{ID: sessions[0].ID}, nil)
	<-others
	call("sessions:list", nil, &sessions)
	if len(sessions) != 0 {
		t.Errorf("sessions %+v, want none", sessions)
	}
}

func TestSessions_SSHConnectionsAreListedAndEnded(t *testing.T) {
	h := newHouse(t)
	closed := 0
	h.cfg.Register.Enter(access.Connection{User: "alice", Remote: "192.0.2.1:5"}, func() { closed++ })
	h.cfg.Register.Enter(access.Connection{User: "bob"}, func() { t.Error("bob's was closed") })
	var sessions []OpenSession
	if err := h.API.Call(t.Context(), store.Root, "sessions:list", nil, &sessions, nil); err != nil || len(sessions) != 2 {
		t.Fatalf("%+v, %v", sessions, err)
	}
	for _, c := range []struct {
		by   store.User
		args SessionEndArgs
		code string
	}{
		{store.User{Name: "bob", Role: store.RoleDeploy}, SessionEndArgs{ID: sessions[0].ID}, "E110"},
		{store.Root, SessionEndArgs{}, "E413"},
		{store.Root, SessionEndArgs{ID: sessions[0].ID, User: "alice"}, "E413"},
		{store.Root, SessionEndArgs{ID: "ssh-99"}, "E414"},
		{store.Root, SessionEndArgs{ID: sessions[0].ID}, ""},
		{store.Root, SessionEndArgs{ID: sessions[0].ID}, "E414"},
		{store.Root, SessionEndArgs{User: "nobody"}, ""},
	} {
		if got := codeOf(h.API.Call(t.Context(), c.by, "sessions:end", c.args, nil, nil)); got != c.code {
			t.Errorf("%+v by %s: %q, want %q", c.args, c.by.Name, got, c.code)
		}
	}
	if closed != 1 {
		t.Errorf("alice's was closed %d times", closed)
	}
}

func TestKeys_BuildsEndWithTheRightToThem(t *testing.T) {
	h := newHouse(t)
	h.update(t, func(tx *store.Tx) error {
		for _, b := range []store.Build{
			{App: "shop", Number: 1, By: "alice", Status: store.BuildSucceeded},
			{App: "shop", Number: 2, By: "alice", Status: store.BuildRunning},
			{App: "blog", Number: 1, By: "alice", Status: store.BuildRunning},
			{App: "wiki", Number: 1, By: "bob", Status: store.BuildRunning},
		} {
			if _, err := tx.App(b.App); err != nil {
				if _, err := tx.CreateApp(store.App{Name: b.App}); err != nil {
					return err
				}
			}
			if err := tx.PutBuild(b); err != nil {
				return err
			}
		}
		return nil
	})
	addKey(t, h, KeyAddArgs{Name: "boss", Key: newKey(t)})
	line := newKey(t)
	addKey(t, h, KeyAddArgs{Name: "alice", Key: line, Role: store.RoleDeploy})
	addKey(t, h, KeyAddArgs{Name: "alice", Key: line, Role: store.RoleDeploy, Apps: []string{"shop"}})
	if got := strings.Join(h.deployer.cancelled, ", "); got != "blog 1" {
		t.Errorf("with shop alone: cancelled %q, want blog 1", got)
	}
	h.deployer.cancelled = nil
	addKey(t, h, KeyAddArgs{Name: "alice", Key: line, Role: store.RoleAdmin})
	if got := strings.Join(h.deployer.cancelled, ", "); got != "" {
		t.Errorf("as an admin: cancelled %q", got)
	}
	if err := h.API.Call(t.Context(), store.Root, "ssh-keys:remove", KeyRemoveArgs{Name: "alice"}, nil, nil); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(h.deployer.cancelled, ", "); got != "blog 1, shop 2" {
		t.Errorf("removed: cancelled %q, want blog 1 and shop 2", got)
	}
}
