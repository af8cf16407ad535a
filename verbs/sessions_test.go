package verbs

import (
	"strings"
	"testing"

	"github.com/berthd/berth/access"
	"github.com/berthd/berth/store"
)

func TestSessions_SSHConnectionsAreListedAndEnded(t *testing.T) {
	h := newHouse(t)
	closed := 0
	h.Register.Enter(access.Connection{User: "alice", Remote: "192.0.2.1:5"}, func() { closed++ })
	h.Register.Enter(access.Connection{User: "bob"}, func() { t.Error("bob's was closed") })
	var sessions []OpenSession
	if err := h.Call(t.Context(), store.Root, "sessions:list", nil, &sessions, nil); err != nil || len(sessions) != 2 {
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
		if got := codeOf(h.Call(t.Context(), c.by, "sessions:end", c.args, nil, nil)); got != c.code {
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
			if err := tx.Builds.Put(b); err != nil {
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
	if err := h.Call(t.Context(), store.Root, "ssh-keys:remove", KeyRemoveArgs{Name: "alice"}, nil, nil); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(h.deployer.cancelled, ", "); got != "blog 1, shop 2" {
		t.Errorf("removed: cancelled %q, want blog 1 and shop 2", got)
	}
}
