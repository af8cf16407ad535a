package sshd

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"github.com/berthd/berth/store"
)

// terminal opens a session with a terminal and starts a command in it.
func (c *client) terminal(t *testing.T, command string) (keys io.WriteCloser, out *bufio.Reader, wait func() int) {
	t.Helper()
	pem, err := os.ReadFile(c.key)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := gossh.ParsePrivateKey(pem)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := gossh.Dial("tcp", "127.0.0.1:"+c.d.port, &gossh.ClientConfig{User: "berth",
		HostKeyCallback: gossh.InsecureIgnoreHostKey(), Auth: []gossh.AuthMethod{gossh.PublicKeys(signer)}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	session, err := conn.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	keys, err = session.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := session.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := session.RequestPty("xterm", 24, 80, nil); err != nil {
		t.Fatal(err)
	}
	if err := session.Start(command); err != nil {
		t.Fatal(err)
	}
	return keys, bufio.NewReader(stdout), func() int {
		err := session.Wait()
		if exit, ok := err.(*gossh.ExitError); ok {
			return exit.ExitStatus()
		} else if err != nil {
			t.Fatal(err)
		}
		return 0
	}
}

func TestKeyboard_CtrlCEndsWhatHasNoTerminalOfItsOwn(t *testing.T) {
	for _, key := range []string{"\x03", "\x1c", "typed ahead\r\x03"} {
		d := openDoor(t, Config{})
		d.runs(func(ctx context.Context, r Request) int {
			io.WriteString(r.Stdout, "following\n")
			<-ctx.Done() // it reads nothing, as logs -f
			return 130
		})
		keys, out, wait := d.client(t, "alice", store.RoleAdmin).terminal(t, "logs shop -f")
		if line, _ := out.ReadString('\n'); line != "following\r\n" {
			t.Fatalf("got %q", line)
		}
		io.WriteString(keys, key)
		if code := wait(); code != 130 {
			t.Errorf("%q: exit code %d, want 130", key, code)
		}
		if rest, _ := io.ReadAll(out); string(rest) != "^C\r\n" {
			t.Errorf("%q: got %q, want ^C to be seen", key, rest)
		}
	}
}

func TestKeyboard_AProgramWithATerminalTakesAllKeys(t *testing.T) {
	d := openDoor(t, Config{})
	d.runs(func(ctx context.Context, r Request) int {
		r.TakeKeys()
		io.WriteString(r.Stdout, "go\n")
		got := make([]byte, 5)
		if _, err := io.ReadFull(r.Stdin, got); err != nil || string(got) != "a\r\x03\x04\x1c" || ctx.Err() != nil {
			t.Errorf("got %q, %v, %v", got, err, ctx.Err())
		}
		return 0
	})
	keys, out, wait := d.client(t, "alice", store.RoleAdmin).terminal(t, "run shop bash")
	out.ReadString('\n')
	io.WriteString(keys, "a\r\x03\x04\x1c")
	if code := wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func TestKeyboard_CtrlDEndsTheInput(t *testing.T) {
	for typed, want := range map[string]string{
		"two\rlines\r\x04":       "two\nlines\n",
		"open\x04\x04 end\r\x04": "open end\n", // in the middle of a line it is none of its own
		"\x04":                   "",
	} {
		d := openDoor(t, Config{})
		d.runs(func(_ context.Context, r Request) int {
			got, err := io.ReadAll(r.Stdin)
			if err != nil || string(got) != want {
				t.Errorf("%q: got %q, %v; want %q", typed, got, err, want)
			}
			return 0
		})
		keys, _, wait := d.client(t, "alice", store.RoleAdmin).terminal(t, "ssh-keys:add alice")
		io.WriteString(keys, typed)
		if code := wait(); code != 0 {
			t.Errorf("%q: exit code %d", typed, code)
		}
	}
}

func TestOutput_BreaksWhenTheClientsReaderHasGone(t *testing.T) {
	d := openDoor(t, Config{})
	broke := make(chan error, 1)
	d.runs(func(ctx context.Context, r Request) int {
		for {
			if _, err := io.WriteString(r.Stdout, strings.Repeat("y\n", 1000)); err != nil {
				broke <- err
				return 141
			}
			if ctx.Err() != nil {
				broke <- ctx.Err()
				return 130
			}
		}
	})
	c := d.client(t, "alice", store.RoleAdmin)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := c.env(exec.CommandContext(ctx, "sh", "-c", "ssh "+strings.Join(c.sshArgs(), " ")+" berth@127.0.0.1 run -T shop yes | head -n 2"))
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	if err != nil || !bytes.Equal(out, []byte("y\ny\n")) {
		t.Errorf("got %q, %v", out, err)
	}
	select {
	case err := <-broke:
		if err != ErrUnread {
			t.Errorf("the command ended by %v, want the end of its reader", err)
		}
	default:
		t.Error("the command goes on")
	}
}

// zeros is what "ssh -tt … </dev/zero" types.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// A full keyboard waits for its reader, and ends with its command: else each
// session would leave one behind.
func TestKeyboard_EndsWithItsCommand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // which fails when a goroutine is left
		k := newKeyboard(zeros{}, func() {})
		synctest.Wait()
		if len(k.typed) < mostTyped {
			t.Errorf("%d bytes are typed, want %d", len(k.typed), mostTyped)
		}
		k.turnOff()
	})
}
