package pid1

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/berthd/berth/runtime/logline"
)

// The test binary is berth-init when a test starts it under that name.
func TestMain(m *testing.M) {
	if Invoked() {
		os.Exit(Main())
	}
	os.Exit(m.Run())
}

const (
	someUser = 21042 // a user that owns nothing
	soon     = 10 * time.Second
)

func needRoot(t testing.TB) {
	t.Helper()
	if os.Getuid() == 0 {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("needs root for PID namespaces, and CI runs every test")
	}
	t.Skip("needs root for PID namespaces")
}

// box is a first process in a PID namespace of its own.
type box struct {
	t       testing.TB
	control string
	log     string
	wrap    []string // a command that executes its arguments, to start it with
	cmd     *exec.Cmd
	stderr  bytes.Buffer
	ended   chan struct{}
}

func newBox(t testing.TB) *box {
	t.Helper()
	needRoot(t)
	control, err := os.MkdirTemp("", "pid1") // short: a socket's path has 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(control) })
	return &box{t: t, control: control, log: filepath.Join(t.TempDir(), "web.log"), ended: make(chan struct{})}
}

func (b *box) start() *box {
	b.t.Helper()
	self, err := os.Executable()
	if err != nil {
		b.t.Fatal(err)
	}
	init := filepath.Join(b.t.TempDir(), name)
	if err := os.Symlink(self, init); err != nil {
		b.t.Fatal(err)
	}
	args := append(b.wrap, init)
	b.cmd = exec.Command(args[0], args[1:]...)
	b.cmd.Env = []string{"BERTH_CONTROL=" + b.control, "BERTH_LOG=" + b.log, "GORACE=atexit_sleep_ms=0"}
	b.cmd.Stderr = &b.stderr
	b.cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS}
	if err := b.cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	go func() {
		b.cmd.Wait()
		close(b.ended)
	}()
	b.t.Cleanup(func() {
		b.cmd.Process.Kill() // and the kernel kills the rest of the namespace
		<-b.ended
		if b.t.Failed() {
			b.t.Logf("berth-init said: %s", &b.stderr)
		}
	})
	return b
}

func (b *box) ask(req Request) Answer {
	b.t.Helper()
	data, err := json.Marshal(req)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.send(append(data, '\n'))
}

func (b *box) send(line []byte) (a Answer) {
	b.t.Helper()
	var conn net.Conn
	eventually(b.t, "the control socket", func() (err error) {
		conn, err = net.Dial("unix", filepath.Join(b.control, controlSocket))
		return err
	})
	defer conn.Close()
	if _, err := conn.Write(line); err != nil {
		b.t.Fatal(err)
	}
	answer, err := bufio.NewReader(conn).ReadBytes('\n')
	if err != nil {
		b.t.Fatalf("no answer: %v", err)
	}
	if err := json.Unmarshal(answer, &a); err != nil {
		b.t.Fatalf("answer %q: %v", answer, err)
	}
	return a
}

// run starts the box and launches a shell script as a user without rights.
func (b *box) run(script string) *box {
	b.t.Helper()
	b.start()
	a := b.ask(Request{
		Args: []string{"sh", "-c", script},
		Env:  []string{"PATH=/usr/bin:/bin", "LC_ALL=C"},
		Dir:  "/", UID: someUser, GID: someUser,
	})
	if a.Error != "" || a.PID < 2 {
		b.t.Fatalf("launch: %+v", a)
	}
	return b
}

// wait waits for the end and returns exit.json, having compared it with the exit code.
func (b *box) wait() Exit {
	b.t.Helper()
	select {
	case <-b.ended:
	case <-time.After(30 * time.Second):
		b.t.Fatalf("still running; log: %.2000q", b.texts())
	}
	data, err := os.ReadFile(filepath.Join(b.control, exitFile))
	if err != nil {
		b.t.Fatal(err)
	}
	var e Exit
	if err := json.Unmarshal(data, &e); err != nil {
		b.t.Fatalf("exit.json %q: %v", data, err)
	}
	if code := b.cmd.ProcessState.ExitCode(); code != e.Code {
		b.t.Errorf("exit code %d, exit.json says %d", code, e.Code)
	}
	if since := time.Since(e.At); since < 0 || since > time.Minute {
		b.t.Errorf("ended at %v, which is %v ago", e.At, since)
	}
	return e
}

func (b *box) wantExit(code, signal int) {
	b.t.Helper()
	if e := b.wait(); e.Code != code || e.Signal != signal {
		b.t.Errorf("ended with code %d, signal %d; want %d, %d; log %q", e.Code, e.Signal, code, signal, b.texts())
	}
}

func (b *box) signal(sig syscall.Signal) { b.cmd.Process.Signal(sig) }

// lines returns the lines of the log and fails for anything that is none.
func (b *box) lines() (lines []logline.Line) {
	b.t.Helper()
	for i := logline.Files; i >= 0; i-- {
		name := b.log
		if i > 0 {
			name += "." + strconv.Itoa(i)
		}
		data, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		for text := range bytes.Lines(data) {
			line, ok := logline.Parse(bytes.TrimSuffix(text, newline))
			if !ok {
				b.t.Fatalf("not a line: %.200q", text)
			}
			lines = append(lines, line)
		}
	}
	return lines
}

func (b *box) texts() (texts []string) {
	b.t.Helper()
	for _, l := range b.lines() {
		texts = append(texts, string(l.Stream)+" "+l.Text)
	}
	return texts
}

func (b *box) wantLog(want ...string) {
	b.t.Helper()
	if got := b.texts(); strings.Join(got, "\n") != strings.Join(want, "\n") {
		b.t.Errorf("log\n got %.2000q\nwant %.2000q", got, want)
	}
}

// waitLog waits for a line in the log.
func (b *box) waitLog(want string) {
	b.t.Helper()
	eventually(b.t, "log line "+want, func() error {
		data, err := os.ReadFile(b.log)
		if err == nil && !bytes.Contains(data, []byte(want+"\n")) {
			err = fmt.Errorf("log holds %.2000q", data)
		}
		return err
	})
}

func eventually(t testing.TB, what string, try func() error) {
	t.Helper()
	deadline := time.Now().Add(soon)
	for {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
