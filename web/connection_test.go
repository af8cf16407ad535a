package web

import (
	"bufio"
	"crypto/ed25519"
	"crypto/rand"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/berthd/berth/store"
	"github.com/berthd/berth/verbs"
)

// following is a browser that follows the logs of shop in somebody's session.
// It returns the session and a channel that is closed when the stream ends.
func following(t *testing.T, h *house, url string, user store.User) (session string, ended chan struct{}) {
	t.Helper()
	link, _, err := h.table.Sessions.Link(user)
	if err != nil {
		t.Fatal(err)
	}
	if session, _, err = h.table.Sessions.Redeem(link); err != nil {
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
		if err := h.table.Call(t.Context(), store.Root, verb, args, result, nil); err != nil {
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
	addKey(t, h, verbs.KeyAddArgs{Name: "boss", Key: newKey(t)})
	addKey(t, h, verbs.KeyAddArgs{Name: "alice", Key: line, Role: store.RoleDeploy})
	alice := store.User{Name: "alice", Role: store.RoleDeploy}
	_, others := following(t, h, server.URL, store.Root)

	_, ended := following(t, h, server.URL, alice)
	addKey(t, h, verbs.KeyAddArgs{Name: "alice", Key: line}) // as it was: nothing changes
	if !open(ended) {
		t.Error("ended, though the key is as it was")
	}
	addKey(t, h, verbs.KeyAddArgs{Name: "alice", Key: line, Role: store.RoleDeploy, Apps: []string{"shop"}})
	<-ended // other apps

	_, ended = following(t, h, server.URL, alice)
	call("ssh-keys:remove", verbs.KeyRemoveArgs{Name: "alice"}, nil)
	<-ended
	if !open(others) {
		t.Error("root's stream ended with alice's")
	}

	var sessions []verbs.OpenSession
	call("sessions:list", nil, &sessions)
	if len(sessions) != 1 || sessions[0].User != "root" || sessions[0].Door != "browser" {
		t.Fatalf("sessions %+v, want root's alone", sessions)
	}
	call("sessions:end", verbs.SessionEndArgs{ID: sessions[0].ID}, nil)
	<-others
	call("sessions:list", nil, &sessions)
	if len(sessions) != 0 {
		t.Errorf("sessions %+v, want none", sessions)
	}
}

func newKey(t *testing.T) string {
	t.Helper()
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return string(ssh.MarshalAuthorizedKey(key))
}

func addKey(t *testing.T, h *house, args verbs.KeyAddArgs) {
	t.Helper()
	if err := h.table.Call(t.Context(), store.Root, "ssh-keys:add", args, nil, nil); err != nil {
		t.Error(err)
	}
}
