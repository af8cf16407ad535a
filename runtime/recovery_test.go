package runtime_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/runtime/enginetest"
)

// shims returns the shims of a container.
func shims(id string) []int {
	out, _ := exec.Command("pgrep", "-f", "containerd-shim.*-id "+id).Output()
	var pids []int
	for _, f := range strings.Fields(string(out)) {
		pid, _ := strconv.Atoi(f)
		pids = append(pids, pid)
	}
	return pids
}

func TestRecovery_ContainerdKilledWhileServing(t *testing.T) {
	e, stack := open(t)
	c := create(t, runtime.Spec{})
	launch(t, c, sh(server, "ADDR=0.0.0.0", "PORT=8000"))
	addr := listening(t, c)
	killContainerd(t)
	if got := get(t, c, addr); got != "HTTP/1.0 200 OK" {
		t.Errorf("without containerd it answers %q", got)
	}
	began := time.Now()
	next, err := e.Create(t.Context(), runtime.Spec{ID: runtime.NewID(), Layer: stack, UID: 20001})
	if err != nil { // its first calls wait for containerd, which has died before them
		t.Fatal(err)
	}
	t.Logf("create right after containerd's death took %v", time.Since(began))
	if err := next.Remove(t.Context()); err != nil {
		t.Error(err)
	}
	if got := get(t, c, addr); got != "HTTP/1.0 200 OK" {
		t.Errorf("after the recovery it answers %q", got)
	}
	killContainerd(t)
	if err := c.Remove(t.Context()); err != nil {
		t.Errorf("remove right after containerd's death: %v", err)
	}
}

// Without containerd, what runs is found by what stands beside its files.
func TestSurvivors_AreFoundAndReachedWithoutContainerd(t *testing.T) {
	open(t)
	labels := map[string]string{"of": "shop"}
	c := create(t, runtime.Spec{Labels: labels})
	launch(t, c, sh(server, "ADDR=127.0.0.1", "PORT=8000"))
	addr := listening(t, c)
	ready := create(t, runtime.Spec{}) // nobody launched it
	other := create(t, runtime.Spec{})
	launch(t, other, sh("sleep 100"))
	// Its number has been given to another process.
	note := filepath.Join(shared.Config.State, "e", other.ID, "note.json")
	data, err := os.ReadFile(note)
	if err != nil {
		t.Fatal(err)
	}
	own := regexp.MustCompile(`"pid":\d+`).ReplaceAll(data, fmt.Appendf(nil, `"pid":%d`, os.Getpid()))
	if err := os.WriteFile(note, own, 0o600); err != nil {
		t.Fatal(err)
	}

	killContainerd(t)
	found, release, err := runtime.Survivors(shared.Config, logger())
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	var s *runtime.Container
	for _, f := range found {
		switch f.ID {
		case c.ID:
			s = f
		case ready.ID, other.ID:
			t.Errorf("container %s was found, which serves nothing", f.ID)
		}
	}
	if s == nil || !maps.Equal(s.Labels, labels) {
		t.Fatalf("found %v, want %s with its labels", found, c.ID)
	}
	if list, err := s.Listening(); err != nil || !slices.Contains(list, addr) {
		t.Errorf("it listens on %v, %v; want %s", list, err, addr)
	}
	if got := get(t, s, addr); got != "HTTP/1.0 200 OK" {
		t.Errorf("it answers %q", got)
	}
	if err := c.Stop(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.Done():
	case <-time.After(10 * time.Second):
		t.Error("its end was not seen")
	}
}

// A berth that kept no notes may have made what runs.
func TestOpen_NotesWhatItAdopts(t *testing.T) {
	e, stack := open(t)
	c, err := e.Create(t.Context(), runtime.Spec{ID: runtime.NewID(), Layer: stack, UID: 20001})
	if err != nil {
		t.Fatal(err)
	}
	launch(t, c, sh("sleep 100"))
	note := filepath.Join(shared.Config.State, "e", c.ID, "note.json")
	want, err := os.ReadFile(note)
	if err := errors.Join(err, os.Remove(note)); err != nil {
		t.Fatal(err)
	}
	if err := shared.Reopen(); err != nil {
		t.Fatal(err)
	}
	list, err := shared.Engine.Containers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	pid := regexp.MustCompile(`"pid":\d+`)
	if got, err := os.ReadFile(note); err != nil || pid.FindString(string(got)) != pid.FindString(string(want)) {
		t.Errorf("the note is %q, %v; want the pid of %q", got, err, want)
	}
	for _, adopted := range list {
		if adopted.ID == c.ID {
			if err := adopted.Remove(t.Context()); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestRecovery_BuildOutlivesContainerd(t *testing.T) {
	e, stack := open(t)
	out := enginetest.NewWatched()
	ready := out.On("ready")
	go func() {
		<-ready
		killContainerd(t)
	}()
	err := e.BuildLayer(t.Context(), runtime.LayerSpec{Key: key(t), Parent: stack, UID: 20001, Commands: []runtime.Command{sh("echo ready; sleep 1; echo done > /app/result; echo end")}}, out)
	if err != nil || !strings.HasSuffix(out.String(), "end\n") {
		t.Errorf("error %v, output %q", err, out.String())
	}
}

func TestRecovery_ShimKilled(t *testing.T) {
	c := create(t, runtime.Spec{})
	launch(t, c, sh("sleep 1000"))
	pids := shims(c.ID)
	if len(pids) == 0 {
		t.Fatal("no shim found")
	}
	for _, pid := range pids {
		syscall.Kill(pid, syscall.SIGKILL)
	}
	if exit := ended(t, c); exit.Code == 0 {
		t.Errorf("exit %+v", exit)
	}
}

func TestRecovery_NextLifeAdopts(t *testing.T) {
	e, stack := open(t)
	labels := map[string]string{"app": "shop", "process": "web.1"}
	serving, err := e.Create(t.Context(), runtime.Spec{ID: runtime.NewID(), Layer: stack, UID: 20001, Labels: labels})
	if err != nil {
		t.Fatal(err)
	}
	launch(t, serving, sh(server, "ADDR=127.0.0.1", "PORT=5000"))
	addr := listening(t, serving)
	over, err := e.Create(t.Context(), runtime.Spec{ID: runtime.NewID(), Layer: stack, UID: 20001})
	if err != nil {
		t.Fatal(err)
	}
	launch(t, over, sh("exit 4"))
	ended(t, over)
	idle, err := e.Create(t.Context(), runtime.Spec{ID: runtime.NewID(), Layer: stack, UID: 20001})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Scratch(); err != nil {
		t.Fatal(err)
	}

	killContainerd(t)
	if err := shared.Reopen(); err != nil {
		t.Fatal(err)
	}
	e = shared.Engine
	if left, _ := os.ReadDir(filepath.Join(shared.Config.Root, "scratch")); len(left) > 0 {
		t.Errorf("scratch holds %v", left)
	}
	list, err := e.Containers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]*runtime.Container)
	for _, c := range list {
		found[c.ID] = c
	}
	if found[idle.ID] != nil {
		t.Error("a container that was never launched is still there")
	}
	c := found[over.ID]
	if c == nil {
		t.Fatal("the container that had ended is not listed")
	}
	if exit := ended(t, c); exit.Code != 4 {
		t.Errorf("it had ended with %+v, want code 4", exit)
	}
	if err := c.Remove(t.Context()); err != nil {
		t.Error(err)
	}
	if c = found[serving.ID]; c == nil {
		t.Fatal("the container that serves is not listed")
	}
	if c.Labels["app"] != "shop" || c.Address != serving.Address || !c.Launched() || c.Created.IsZero() {
		t.Errorf("adopted as %+v", c)
	}
	if got := get(t, c, addr); got != "HTTP/1.0 200 OK" {
		t.Errorf("adopted, it answers %q", got)
	}
	select {
	case <-c.Done():
		t.Error("adopted, it seems to have ended")
	default:
	}
	if err := c.Stop(t.Context(), 5*time.Second); err != nil {
		t.Fatal(err)
	}
	if exit := c.Exit(t.Context()); exit.Code != 143 {
		t.Errorf("exit %+v, want 143", exit)
	}
	if err := c.Remove(t.Context()); err != nil {
		t.Error(err)
	}
	nothingLeft(t)
}

// Containerd is killed at many moments of a container's creation; whatever it
// leaves, the creation fails whole or succeeds, and the next Open finds nothing.
func TestRecovery_ContainerdKilledDuringCreate(t *testing.T) {
	e, stack := open(t)
	var ids []string
	for i := range 8 {
		id := runtime.NewID()
		timer := time.AfterFunc(time.Duration(i)*25*time.Millisecond, func() { killContainerd(t) })
		c, err := e.Create(t.Context(), runtime.Spec{ID: id, Layer: stack, UID: 20001})
		timer.Stop()
		if err == nil {
			launch(t, c, sh("exit 6"))
			if exit := ended(t, c); exit.Code != 6 {
				t.Errorf("killed after %d ms, created all the same, exit %+v", i*25, exit)
			}
			err = c.Remove(t.Context())
			if err != nil {
				t.Errorf("killed after %d ms: %v", i*25, err)
			}
		} else {
			if !errors.Is(err, runtime.ErrInterrupted) {
				t.Errorf("killed after %d ms: %v", i*25, err)
			}
		}
		ids = append(ids, id)
	}
	// What could not be removed while containerd was dying, the next Open sweeps.
	if err := shared.Reopen(); err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		// A shim whose task was deleted ends by itself, in its own time.
		for deadline := time.Now().Add(5 * time.Second); len(shims(id)) > 0; time.Sleep(20 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Errorf("a shim is left: %v", shims(id))
				break
			}
		}
	}
	nothingLeft(t)
}

// An orphan shim as a life of berth leaves it that was killed with its
// containerd: a container's directory, no record, a shim that runs.
func TestRecovery_OrphanShimIsSwept(t *testing.T) {
	open(t)
	id := runtime.NewID()
	for _, dir := range []string{"c", "e"} {
		if err := os.Mkdir(filepath.Join(shared.Config.State, dir, id), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	bundle := t.TempDir()
	shim, err := exec.LookPath("containerd-shim-runc-v2")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(shim, "-namespace", "berth", "-id", id, "-address", filepath.Join(shared.Config.State, "containerd.sock"), "start")
	cmd.Dir = bundle
	cmd.Env = append(os.Environ(), "TTRPC_ADDRESS="+filepath.Join(shared.Config.State, "containerd.sock.ttrpc"), "GRPC_ADDRESS="+filepath.Join(shared.Config.State, "containerd.sock"))
	os.WriteFile(filepath.Join(bundle, "config.json"), []byte("{}"), 0o600)
	if err := syscall.Mkfifo(filepath.Join(bundle, "log"), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.OpenFile(filepath.Join(bundle, "log"), os.O_RDWR, 0) // a shim without a reader of its log ends
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("start a shim: %v: %s", err, out)
	}
	if len(shims(id)) == 0 {
		t.Fatal("the shim does not run")
	}
	if err := shared.Reopen(); err != nil {
		t.Fatal(err)
	}
	if pids := shims(id); len(pids) > 0 {
		t.Errorf("the shim still runs: %v", pids)
	}
	nothingLeft(t)
}

func TestOpen_RefusesASecondEngineOnTheSameRoot(t *testing.T) {
	open(t)
	if e, err := runtime.Open(t.Context(), shared.Config, logger()); err == nil {
		e.Close()
		t.Error("two engines on one root")
	}
}

// Apps are known to one containerd alone: while it is down, another is none.
func TestOpen_AutoStaysWithTheContainerdItFound(t *testing.T) {
	needContainerd(t)
	root, state := t.TempDir(), t.TempDir()
	away := filepath.Join(t.TempDir(), "containerd.sock")
	if err := os.Symlink(away, filepath.Join(root, "auto")); err != nil {
		t.Fatal(err)
	}
	e, err := runtime.Open(t.Context(), runtime.Config{Containerd: "auto", Root: root, State: state, Init: "/bin/true", Bridge: "btauto"}, logger())
	if err == nil {
		e.Shutdown(t.Context())
		t.Fatal("opened with another containerd")
	}
	if !strings.Contains(err.Error(), away) {
		t.Errorf("the error does not name %s: %v", away, err)
	}
}
