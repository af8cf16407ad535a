package runtime_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/berthd/berth/runtime"
)

// ctr asks the tests' containerd with its own client.
func ctr(t testing.TB, args ...string) string {
	t.Helper()
	args = append([]string{"--address", filepath.Join(shared.Config.State, "containerd.sock"), "--namespace", "berth"}, args...)
	out, err := exec.Command("ctr", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("ctr %v: %v: %s", args, err, out)
	}
	return string(out)
}

// noLeases fails the test when containerd has leases.
func noLeases(t testing.TB) {
	t.Helper()
	if got := strings.TrimSpace(ctr(t, "leases", "ls", "-q")); got != "" {
		t.Errorf("leases are left:\n%s", got)
	}
}

func TestCreate_CancelledLeavesNoLease(t *testing.T) {
	e, stack := open(t)
	for i := range 10 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*8*time.Millisecond)
		c, err := e.Create(ctx, runtime.Spec{ID: runtime.NewID(), Layer: stack, UID: 20001})
		cancel()
		if err == nil {
			err = c.Remove(t.Context())
			if err != nil {
				t.Error(err)
			}
		}
	}
	noLeases(t)
	nothingLeft(t)
}

func TestOpen_SweepsLeasesThatAnEarlierBerthHasLeft(t *testing.T) {
	open(t)
	ctr(t, "leases", "create", "--expires", "24h", "left-by-a-client")
	if err := shared.Reopen(); err != nil {
		t.Fatal(err)
	}
	noLeases(t)
}

func TestOpen_WorksBesideWhatCannotBeSwept(t *testing.T) {
	_, stack := open(t)
	id := runtime.NewID()
	stuck := filepath.Join(shared.Config.State, "e", id, "stuck")
	if err := os.Mkdir(filepath.Dir(stuck), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(stuck, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("chattr", "+i", stuck).CombinedOutput(); err != nil {
		t.Skipf("no file can be made that cannot be removed: chattr: %s", out)
	}
	defer exec.Command("chattr", "-i", stuck).Run()
	if err := shared.Reopen(); err == nil {
		t.Error("the sweep says nothing of what it could not remove")
	}
	if shared.Engine == nil {
		t.Fatal("the engine did not open")
	}
	if got, _ := output(t, runtime.Spec{Layer: stack}, "echo works"); got != "works" {
		t.Errorf("beside it a program says %q", got)
	}
	exec.Command("chattr", "-i", stuck).Run()
	if err := shared.Reopen(); err != nil {
		t.Errorf("once it can be removed: %v", err)
	}
	nothingLeft(t)
}
