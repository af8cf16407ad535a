package verbs

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"math/big"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/berthd/berth/store"
)

func authorized(t *testing.T, key any) string {
	t.Helper()
	public, err := ssh.NewPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(public)))
}

func newKey(t *testing.T) string {
	t.Helper()
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return authorized(t, public)
}

func addKey(t *testing.T, h *house, args KeyAddArgs) (key store.Key, code string) {
	t.Helper()
	code = codeOf(h.Call(t.Context(), store.Root, "ssh-keys:add", args, &key, nil))
	return key, code
}

func TestKeys_FirstIsAdminThenDeploy(t *testing.T) {
	h := newHouse(t)
	line := newKey(t) + " alice@laptop\n"
	first, code := addKey(t, h, KeyAddArgs{Name: "alice", Key: line})
	if code != "" || first.Role != store.RoleAdmin || strings.Contains(first.Authorized, "laptop") {
		t.Errorf("the first: got %+v %s, want an admin", first, code)
	}
	if second, code := addKey(t, h, KeyAddArgs{Name: "bob", Key: newKey(t)}); code != "" || second.Role != store.RoleDeploy {
		t.Errorf("the second: got %+v %s, want deploy", second, code)
	}
	// The same key again changes nothing, under another name it is a conflict,
	// and a name is not taken over by another key.
	if again, code := addKey(t, h, KeyAddArgs{Name: "alice", Key: line}); code != "" || again.Role != store.RoleAdmin || !again.CreatedAt.Equal(first.CreatedAt) {
		t.Errorf("again: got %+v %s", again, code)
	}
	if _, code := addKey(t, h, KeyAddArgs{Name: "eve", Key: line}); code != "E109" {
		t.Errorf("under another name: got %s, want E109", code)
	}
	if _, code := addKey(t, h, KeyAddArgs{Name: "alice", Key: newKey(t), Role: store.RoleAdmin}); code != "E157" {
		t.Errorf("another key under the name: got %s, want E157", code)
	}
}

// A key that comes without a name is found by itself, and a name that is taken
// keeps none out.
func TestKeys_NamedByTheirComment(t *testing.T) {
	h := newHouse(t)
	add := func(line string, role store.Role) KeyAdded {
		t.Helper()
		var added KeyAdded
		if err := h.Call(t.Context(), store.Root, "ssh-keys:add", KeyAddArgs{Key: line, Role: role}, &added, nil); err != nil {
			t.Fatalf("%.80q: %v", line, err)
		}
		return added
	}
	want := func(got KeyAdded, name string, role store.Role, known bool) {
		t.Helper()
		if got.Name != name || got.Role != role || got.Known != known {
			t.Errorf("got %q %s known %v, want %q %s %v", got.Name, got.Role, got.Known, name, role, known)
		}
	}
	roots := newKey(t) + " root"
	first := add(roots, store.RoleAdmin)
	if !strings.HasPrefix(first.Name, "key-") || first.Known {
		t.Errorf("root's own: got %+v, want the start of its fingerprint", first)
	}
	want(add(roots, store.RoleAdmin), first.Name, store.RoleAdmin, true)
	laptop := newKey(t)
	want(add(laptop+" alice@laptop\r\n", store.RoleAdmin), "alice@laptop", store.RoleAdmin, false)
	want(add("\ufeff  "+newKey(t)+" alice@laptop\n", ""), "alice@laptop-2", store.RoleDeploy, false)
	// The comment may have changed since, and the role is what was asked for last.
	want(add(laptop+" alice@desk", ""), "alice@laptop", store.RoleAdmin, true)
	want(add(laptop, store.RoleRead), "alice@laptop", store.RoleRead, true)
	want(add(laptop, store.RoleAdmin), "alice@laptop", store.RoleAdmin, true)
	if _, code := addKey(t, h, KeyAddArgs{Key: `command="id" ` + newKey(t) + " eve"}); code != "E156" {
		t.Errorf("with options: got %q, want E156", code)
	}
}

func TestKeys_LastAdminStays(t *testing.T) {
	h := newHouse(t)
	line := newKey(t)
	addKey(t, h, KeyAddArgs{Name: "alice", Key: line})
	addKey(t, h, KeyAddArgs{Name: "bob", Key: newKey(t)})
	if _, code := addKey(t, h, KeyAddArgs{Name: "alice", Key: line, Role: store.RoleRead}); code != "E158" {
		t.Errorf("made a reader: got %s, want E158", code)
	}
	remove := func(name string, force bool) string {
		return codeOf(h.Call(t.Context(), store.Root, "ssh-keys:remove", KeyRemoveArgs{Name: name, Force: force}, nil, nil))
	}
	if got := remove("alice", false); got != "E158" {
		t.Errorf("removed: got %s, want E158", got)
	}
	if got := remove("bob", false); got != "" {
		t.Errorf("another one: got %s", got)
	}
	if got := remove("alice", true); got != "" {
		t.Errorf("by force: got %s", got)
	}
	if got := remove("alice", true); got != "E108" {
		t.Errorf("twice: got %s, want E108", got)
	}
}

func TestKeys_RemovalEndsSessions(t *testing.T) {
	h := newHouse(t)
	line := newKey(t)
	addKey(t, h, KeyAddArgs{Name: "alice", Key: line})
	link, _, err := h.Sessions.Link(alice)
	if err != nil {
		t.Fatal(err)
	}
	session, _, err := h.Sessions.Redeem(link)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Call(t.Context(), store.Root, "ssh-keys:remove", KeyRemoveArgs{Name: "alice", Force: true}, nil, nil); err != nil {
		t.Fatal(err)
	}
	addKey(t, h, KeyAddArgs{Name: "alice", Key: newKey(t)}) // somebody else of the same name
	if _, err := h.Sessions.Lookup(session); codeOf(err) != "E148" {
		t.Errorf("got %v, want E148", err)
	}
}

func TestKeys_RefusesWhatIsNoGoodKey(t *testing.T) {
	h := newHouse(t)
	short, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	// By hand: x/crypto writes none of these any more.
	old := ssh.Marshal(struct {
		Type       string
		P, Q, G, Y *big.Int
	}{"ssh-dss", new(big.Int).Lsh(big.NewInt(1), 1023), new(big.Int).Lsh(big.NewInt(1), 159), big.NewInt(2), big.NewInt(4)})
	good := newKey(t)
	for name, args := range map[string]KeyAddArgs{
		"empty":            {Name: "a", Key: ""},
		"garbage":          {Name: "a", Key: "Host berth\n  User berth\n"},
		"private":          {Name: "a", Key: "-----BEGIN OPENSSH PRIVATE KEY-----\n"},
		"two lines":        {Name: "a", Key: good + "\n" + newKey(t)},
		"options":          {Name: "a", Key: `command="id" ` + good},
		"short RSA":        {Name: "a", Key: authorized(t, &short.PublicKey)},
		"DSA":              {Name: "a", Key: "ssh-dss " + base64.StdEncoding.EncodeToString(old)},
		"root's name":      {Name: "root", Key: good},
		"name of a path":   {Name: "../x", Key: good},
		"unknown role":     {Name: "a", Key: good, Role: "owner"},
		"admin of one app": {Name: "a", Key: good, Role: store.RoleAdmin, Apps: []string{"shop"}},
	} {
		if _, code := addKey(t, h, args); code != "E156" {
			t.Errorf("%s: got %q, want E156", name, code)
		}
	}
	if _, code := addKey(t, h, KeyAddArgs{Name: "a", Key: good, Apps: []string{"none"}}); code != "E101" {
		t.Errorf("of an app that is not there: got %q, want E101", code)
	}
}
