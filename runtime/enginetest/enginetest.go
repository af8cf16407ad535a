// Package enginetest gives tests a real engine on an embedded containerd. Tests
// of several packages share it; nothing else imports it.
package enginetest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/runtime/pid1"
)

// Main runs a package's tests. The test binary is the first process of the
// containers too, as berth's is in an installation.
func Main(m *testing.M) int {
	if pid1.Invoked() {
		return pid1.Main()
	}
	code := m.Run()
	Shared.Close()
	return code
}

// Installation is an engine in directories of its own.
type Installation struct {
	Dir    string
	Config runtime.Config
	Engine *runtime.Engine
	Stack  string       // key of the base filesystem's layer
	Log    *slog.Logger // nil is one to stderr

	once   sync.Once
	err    error
	cancel context.CancelFunc
	ran    chan struct{}
}

// Shared is the installation that all tests of a package use.
var Shared Installation

// Open returns the engine of the tests and its stack's key.
func Open(t testing.TB) (*runtime.Engine, string) {
	t.Helper()
	NeedContainerd(t)
	Shared.once.Do(func() { Shared.err = Shared.start() })
	if Shared.err != nil {
		t.Fatal(Shared.err)
	}
	return Shared.Engine, Shared.Stack
}

// NeedContainerd skips on a machine that cannot run containers. CI must.
func NeedContainerd(t testing.TB) {
	t.Helper()
	missing := ""
	if os.Getuid() != 0 {
		missing = "root"
	}
	for _, program := range []string{"containerd", "runc", "nft", "mmdebstrap"} {
		if _, err := exec.LookPath(program); err != nil {
			missing = program
		}
	}
	switch {
	case missing == "":
	case os.Getenv("CI") == "true":
		t.Fatalf("CI must run this test, and it needs %s", missing)
	default:
		t.Skipf("needs %s", missing)
	}
}

func Logger() *slog.Logger {
	level := slog.LevelWarn
	if os.Getenv("BERTH_TEST_DEBUG") != "" {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
}

func (i *Installation) start() (err error) {
	if i.Dir, err = os.MkdirTemp("", "rt"); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	i.Configure(self, fmt.Sprintf("bt%d", os.Getpid()))
	return i.Reopen()
}

func (i *Installation) Configure(self, bridge string) {
	i.Config = runtime.Config{
		Containerd: "embedded", Root: filepath.Join(i.Dir, "root"), State: filepath.Join(i.Dir, "state"),
		Init: self, Bridge: bridge, StackCache: cmp.Or(os.Getenv("BERTH_TEST_CACHE"), "/var/cache/berth-test"),
	}
}

// Reopen opens the engine, again, as a new life of berth does.
func (i *Installation) Reopen() (err error) {
	if i.Engine != nil {
		i.cancel()
		<-i.ran
		if err := i.Engine.Close(); err != nil {
			return err
		}
		i.Engine = nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	e, err := runtime.Open(ctx, i.Config, cmp.Or(i.Log, Logger()))
	if err != nil {
		return err
	}
	i.Engine = e
	swept := e.Swept(ctx)
	life, end := context.WithCancel(context.Background())
	i.cancel, i.ran = end, make(chan struct{})
	go func() {
		defer close(i.ran)
		e.Run(life)
	}()
	i.Stack, err = e.StackLayer(ctx, io.Discard)
	return errors.Join(err, swept)
}

func (i *Installation) Close() {
	if i.Engine == nil {
		i.abandon()
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	i.cancel()
	<-i.ran
	err := i.Engine.Shutdown(ctx)
	if err == nil {
		err = os.RemoveAll(i.Dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "close the installation:", err)
	}
}

// abandon ends what an engine that did not open has started.
func (i *Installation) abandon() {
	if i.Config.State == "" {
		return
	}
	data, _ := os.ReadFile(filepath.Join(i.Config.State, "containerd.pid"))
	if pid, err := strconv.Atoi(strings.TrimSpace(string(data))); err == nil {
		syscall.Kill(pid, syscall.SIGTERM)
	}
	os.RemoveAll(i.Dir)
}

// Create makes a container that is removed with the test.
func Create(t testing.TB, spec runtime.Spec) *runtime.Container {
	t.Helper()
	e, stack := Open(t)
	if spec.ID == "" {
		spec.ID = runtime.NewID()
	}
	if spec.Layer == "" {
		spec.Layer = stack
	}
	if spec.UID == 0 {
		spec.UID = 20001
	}
	c, err := e.Create(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := c.Remove(ctx); err != nil {
			t.Error(err)
		}
	})
	return c
}

func Sh(script string, env ...string) runtime.Command {
	return runtime.Command{Args: []string{"/bin/bash", "-c", script}, Env: env, Dir: "/"}
}

func Launch(t testing.TB, c *runtime.Container, cmd runtime.Command) {
	t.Helper()
	if err := c.Launch(t.Context(), cmd); err != nil {
		t.Fatal(err)
	}
}

// Ended waits for a container's end.
func Ended(t testing.TB, c *runtime.Container) runtime.Exit {
	t.Helper()
	select {
	case <-c.Done():
	case <-time.After(30 * time.Second):
		t.Fatal("the container does not end")
	}
	return c.Exit(t.Context())
}

// Output runs a script in a one-off and returns what it wrote.
func Output(t testing.TB, spec runtime.Spec, script string, env ...string) (string, runtime.Exit) {
	t.Helper()
	e, stack := Open(t)
	spec.ID = runtime.NewID()
	if spec.Layer == "" {
		spec.Layer = stack
	}
	if spec.UID == 0 {
		spec.UID = 20001
	}
	var out bytes.Buffer
	exit, err := e.Attach(t.Context(), spec, Sh(script, env...), runtime.Attachment{Stdout: &out, Stderr: &out})
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out.String()), exit
}

// KillContainerd does what the kernel's OOM killer would.
func KillContainerd(t testing.TB) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(Shared.Config.State, "containerd.pid"))
	if err != nil {
		t.Fatal(err)
	}
	pid, _ := strconv.Atoi(strings.TrimSpace(string(data)))
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

// NothingLeft fails when the state directory holds anything of a container, or
// something is mounted below it. It must not run beside other tests.
func NothingLeft(t testing.TB) {
	t.Helper()
	for _, dir := range []string{"b", "io", "e", "c", "netns"} {
		entries, _ := os.ReadDir(filepath.Join(Shared.Config.State, dir))
		for _, entry := range entries {
			t.Errorf("%s/%s is left", dir, entry.Name())
		}
	}
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	if strings.Contains(string(mounts), Shared.Config.State) {
		t.Error("a mount is left")
	}
}

// Watched is output that tells when something was written. It has one writer.
type Watched struct {
	buf  bytes.Buffer
	want map[string]chan struct{}
}

// On returns what is closed once the output contains the text.
func (w *Watched) On(text string) <-chan struct{} {
	w.want[text] = make(chan struct{})
	return w.want[text]
}

// Write implements io.Writer.
func (w *Watched) Write(p []byte) (int, error) {
	w.buf.Write(p)
	for text, ch := range w.want {
		if strings.Contains(w.buf.String(), text) {
			close(ch)
			delete(w.want, text)
		}
	}
	return len(p), nil
}

// NewWatched returns output that nobody waits for yet.
func NewWatched() *Watched { return &Watched{want: make(map[string]chan struct{})} }

// String returns what was written.
func (w *Watched) String() string { return w.buf.String() }
