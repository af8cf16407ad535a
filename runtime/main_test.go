package runtime_test

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

// TestMain is the first process of the containers too: the test binary is what
// berth's is in an installation.
func TestMain(m *testing.M) {
	if pid1.Invoked() {
		os.Exit(pid1.Main())
	}
	if dir := os.Getenv("BERTH_TEST_BUILDS"); dir != "" {
		fmt.Fprintln(os.Stderr, buildUntilKilled(dir, os.Getenv("BERTH_TEST_CONTEXT")))
		os.Exit(1)
	}
	code := m.Run()
	shared.close()
	os.Exit(code)
}

// installation is one engine for all tests, in directories of its own.
type installation struct {
	once   sync.Once
	dir    string
	err    error
	cfg    runtime.Config
	engine *runtime.Engine
	stack  string
	cancel context.CancelFunc
	ran    chan struct{}
	log    *slog.Logger // nil is logger()
}

var shared installation

// open returns the engine of the tests and its stack's key.
func open(t testing.TB) (*runtime.Engine, string) {
	t.Helper()
	needContainerd(t)
	shared.once.Do(func() { shared.err = shared.start() })
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.engine, shared.stack
}

// needContainerd skips on a machine that cannot run containers. CI must.
func needContainerd(t testing.TB) {
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

func logger() *slog.Logger {
	level := slog.LevelWarn
	if os.Getenv("BERTH_TEST_DEBUG") != "" {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
}

func (i *installation) start() (err error) {
	if i.dir, err = os.MkdirTemp("", "rt"); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	i.configure(self, fmt.Sprintf("bt%d", os.Getpid()))
	return i.reopen()
}

func (i *installation) configure(self, bridge string) {
	i.cfg = runtime.Config{
		Containerd: "embedded", Root: filepath.Join(i.dir, "root"), State: filepath.Join(i.dir, "state"),
		Init: self, Bridge: bridge, StackCache: cmp.Or(os.Getenv("BERTH_TEST_CACHE"), "/var/cache/berth-test"),
	}
}

// reopen opens the engine, again, as a new life of berth does.
func (i *installation) reopen() (err error) {
	if i.engine != nil {
		i.cancel()
		<-i.ran
		if err := i.engine.Close(); err != nil {
			return err
		}
		i.engine = nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	e, err := runtime.Open(ctx, i.cfg, cmp.Or(i.log, logger()))
	if err != nil {
		return err
	}
	i.engine = e
	swept := e.Swept(ctx)
	life, end := context.WithCancel(context.Background())
	i.cancel, i.ran = end, make(chan struct{})
	go func() {
		defer close(i.ran)
		e.Run(life)
	}()
	i.stack, err = e.StackLayer(ctx, io.Discard)
	return errors.Join(err, swept)
}

func (i *installation) close() {
	if i.engine == nil {
		i.abandon()
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	i.cancel()
	<-i.ran
	err := i.engine.Shutdown(ctx)
	if err == nil {
		err = os.RemoveAll(i.dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "close the installation:", err)
	}
}

// abandon ends what an engine that did not open has started.
func (i *installation) abandon() {
	if i.cfg.State == "" {
		return
	}
	data, _ := os.ReadFile(filepath.Join(i.cfg.State, "containerd.pid"))
	if pid, err := strconv.Atoi(strings.TrimSpace(string(data))); err == nil {
		syscall.Kill(pid, syscall.SIGTERM)
	}
	os.RemoveAll(i.dir)
}

// create makes a container that is removed with the test.
func create(t testing.TB, spec runtime.Spec) *runtime.Container {
	t.Helper()
	e, stack := open(t)
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

func sh(script string, env ...string) runtime.Command {
	return runtime.Command{Args: []string{"/bin/bash", "-c", script}, Env: env, Dir: "/"}
}

func launch(t testing.TB, c *runtime.Container, cmd runtime.Command) {
	t.Helper()
	if err := c.Launch(t.Context(), cmd); err != nil {
		t.Fatal(err)
	}
}

// ended waits for a container's end.
func ended(t testing.TB, c *runtime.Container) runtime.Exit {
	t.Helper()
	select {
	case <-c.Done():
	case <-time.After(30 * time.Second):
		t.Fatal("the container does not end")
	}
	return c.Exit(t.Context())
}

// output runs a script in a one-off and returns what it wrote.
func output(t testing.TB, spec runtime.Spec, script string, env ...string) (string, runtime.Exit) {
	t.Helper()
	e, stack := open(t)
	spec.ID = runtime.NewID()
	if spec.Layer == "" {
		spec.Layer = stack
	}
	if spec.UID == 0 {
		spec.UID = 20001
	}
	var out bytes.Buffer
	exit, err := e.Attach(t.Context(), spec, sh(script, env...), runtime.Attachment{Stdout: &out, Stderr: &out})
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out.String()), exit
}
