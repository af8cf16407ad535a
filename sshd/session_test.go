package sshd

import (
	"context"
	"net"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"github.com/berthd/berth/access"
	"github.com/berthd/berth/deploy"
	"github.com/berthd/berth/store"
)

func TestSplitWords(t *testing.T) {
	for line, want := range map[string][]string{
		``:                            nil,
		"  \t ":                       nil,
		`a  b`:                        {"a", "b"},
		`'a b' "c d"`:                 {"a b", "c d"},
		`A='' ''`:                     {"A=", ""},
		`a"b"'c'd`:                    {"abcd"},
		`"\$x \n \" \\"`:              {`$x \n " \`},
		`'a\b'`:                       {`a\b`},
		`a\ b \;`:                     {"a b", ";"},
		`$(id) #x ;y *`:               {"$(id)", "#x", ";y", "*"},
		"git-receive-pack 'it'\\''s'": {"git-receive-pack", "it's"},
		"a\\\nb":                      {"ab"},
	} {
		if got, err := splitWords(line); err != nil || !slices.Equal(got, want) {
			t.Errorf("splitWords(%q) = %q, %v; want %q", line, got, err, want)
		}
	}
	for _, line := range []string{`a'`, `"a\"`, `a\`, "a\x00b"} {
		if got, err := splitWords(line); err == nil {
			t.Errorf("splitWords(%q) = %q, want an error", line, got)
		}
	}
}

func TestGitCommand(t *testing.T) {
	for _, c := range []struct {
		args         []string
		service, app string
		ok           bool
	}{
		{[]string{"git-receive-pack", "shop"}, "receive-pack", "shop", true},
		{[]string{"git", "receive-pack", "/shop.git"}, "receive-pack", "shop", true},
		{[]string{"git-upload-pack", "~/shop.git/"}, "upload-pack", "shop", true},
		{[]string{"git-receive-pack", "../x"}, "receive-pack", "../x", true}, // refused by its name
		{[]string{"git-upload-archive", "shop"}, "", "", false},
		{[]string{"git-receive-pack"}, "", "", false},
		{[]string{"git-upload-pack", "--strict", "shop"}, "", "", false},
		{[]string{"git:from-image", "shop"}, "", "", false},
		{nil, "", "", false},
	} {
		service, app, ok := gitCommand(c.args)
		if service != c.service || app != c.app || ok != c.ok {
			t.Errorf("gitCommand(%q) = %q, %q, %v", c.args, service, app, ok)
		}
	}
}

func TestKeepalive_ClientThatNoLongerAnswersIsNoticed(t *testing.T) {
	d := openDoor(t, Config{Keepalive: 50 * time.Millisecond})
	started, ended := make(chan bool, 1), make(chan bool, 1)
	d.runs(func(ctx context.Context, r Request) int {
		started <- true
		<-ctx.Done()
		ended <- true
		return 0
	})
	c := d.client(t, "alice", store.RoleAdmin)
	text, err := os.ReadFile(c.key)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := gossh.ParsePrivateKey(text)
	if err != nil {
		t.Fatal(err)
	}
	// It reads nothing more once asleep is closed, and does not hang up either:
	// a laptop whose lid was closed.
	asleep := make(chan struct{})
	raw := &sleeper{Conn: d.dial(t), asleep: asleep, woken: t.Context().Done()}
	conn, chans, reqs, err := gossh.NewClientConn(raw, "", &gossh.ClientConfig{User: "berth",
		HostKeyCallback: gossh.InsecureIgnoreHostKey(), Auth: []gossh.AuthMethod{gossh.PublicKeys(signer)}})
	if err != nil {
		t.Fatal(err)
	}
	session, err := gossh.NewClient(conn, chans, reqs).NewSession()
	if err != nil {
		t.Fatal(err)
	}
	if err := session.Start("logs -f"); err != nil {
		t.Fatal(err)
	}
	<-started
	select {
	case <-ended:
		t.Fatal("a client that answers was cut off")
	case <-time.After(300 * time.Millisecond): // several keepalives
	}
	close(asleep)
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		t.Error("the command runs on for a client that is gone")
	}
}

type sleeper struct {
	net.Conn
	asleep <-chan struct{}
	woken  <-chan struct{}
}

func (s *sleeper) Read(p []byte) (int, error) {
	n, err := s.Conn.Read(p)
	select {
	case <-s.asleep:
		<-s.woken
	default:
	}
	return n, err
}

func TestSession_EndsWithItsKey(t *testing.T) {
	d := openDoor(t, Config{})
	entered, left := make(chan bool), make(chan error, 1)
	d.runs(func(ctx context.Context, _ Request) int {
		entered <- true
		<-ctx.Done() // a shell, logs -f, a wait
		left <- ctx.Err()
		return 0
	})
	alice, bob := d.client(t, "alice", store.RoleDeploy), d.client(t, "bob", store.RoleDeploy)
	shell, other := alice.ssh(nil, "run", "shop", "bash"), bob.ssh(nil, "logs", "-f")
	for _, cmd := range []*exec.Cmd{shell, other} {
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		<-entered
	}
	if open := d.in.Open(); len(open) != 2 || open[0].User != "alice" || open[1].User != "bob" {
		t.Errorf("in: %+v", open)
	}
	if n := d.in.End(func(c access.Connection) bool { return c.User == "alice" }); n != 1 {
		t.Errorf("ended %d, want 1", n)
	}
	<-left
	if err := shell.Wait(); exitCode(err) != 255 {
		t.Errorf("alice's client: %v, want that its connection is closed", err)
	}
	if open := d.in.Open(); len(open) != 1 || open[0].User != "bob" {
		t.Errorf("in: %+v, want bob alone", open)
	}
	other.Process.Kill()
	other.Wait()
	<-left
	eventually(t, "bob to be off the register", func() bool { return len(d.in.Open()) == 0 })
}

// A push that waits has not begun, and its pusher may not begin it any more.
func TestSession_APushThatWaitsEndsWithItsKey(t *testing.T) {
	d := openDoor(t, Config{})
	entered, release := make(chan string), make(chan bool)
	d.deploys(func(_ context.Context, p deploy.Push) error { entered <- p.By.Name; <-release; return nil })
	alice, bob := d.client(t, "alice", store.RoleDeploy), d.client(t, "bob", store.RoleDeploy)
	first := make(chan error, 1)
	go func() { _, err := alice.push("shop", "main"); first <- err }()
	<-entered
	bob.startPush("shop", "+main")
	eventuallyWaiting(t, d, 1)
	d.in.End(func(c access.Connection) bool { return c.User == "bob" })
	eventuallyWaiting(t, d, 0)
	release <- true
	if err := <-first; err != nil {
		t.Errorf("alice's push: %v", err)
	}
	if pushed := d.pushed(); len(pushed) != 1 {
		t.Errorf("%d deploys, want alice's alone", len(pushed))
	}
}
