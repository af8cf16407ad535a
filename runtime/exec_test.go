package runtime_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/berthd/berth/runtime"
)

func TestExec_RunsBesideTheProgram(t *testing.T) {
	c := create(t, runtime.Spec{Isolated: true})
	launch(t, c, sh("echo mine >/tmp/file; exec sleep 60"))
	var out strings.Builder
	cmd := sh(`until [ -s /tmp/file ]; do sleep 0.01; done; cat /tmp/file; id -u; grep -E "CapEff|NoNewPrivs|Seccomp:" /proc/self/status; echo $WORD >&2; exit 7`)
	cmd.Env = append(cmd.Env, "WORD=passed")
	exit, err := c.Exec(t.Context(), cmd, &out)
	if err != nil || exit.Code != 7 {
		t.Fatalf("exit %+v, %v; want code 7", exit, err)
	}
	for _, want := range []string{"mine\n", "20001\n", "passed\n", "CapEff:\t0000000000000000\n", "NoNewPrivs:\t1\n", "Seccomp:\t2\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("its output has no %q:\n%s", want, out.String())
		}
	}
}

func TestExec_EndsWithItsContext(t *testing.T) {
	c := create(t, runtime.Spec{Isolated: true})
	launch(t, c, sh("exec sleep 60"))
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := c.Exec(ctx, sh("exec sleep 60"), nil); err == nil {
		t.Error("a program that outlived its context gave no error")
	}
	select {
	case <-c.Done():
		t.Error("the container's own program ended too")
	default:
	}
}

// onWrite calls a function with the first bytes.
type onWrite func()

func (f onWrite) Write(p []byte) (int, error) {
	f()
	return len(p), nil
}

// The program may print before containerd has said that it started: whoever goes
// away then still ends all that it has forked.
func TestExec_LeavesNothingWhenItIsBrokenOffAtItsStart(t *testing.T) {
	c := create(t, runtime.Spec{Isolated: true})
	launch(t, c, sh("exec sleep 60"))
	for range 5 {
		ctx, cancel := context.WithCancel(t.Context())
		if _, err := c.Exec(ctx, sh("sleep 4322 & yes"), onWrite(cancel)); err == nil {
			t.Fatal("a program that was broken off gave no error")
		}
		exit, err := c.Exec(t.Context(), sh(`grep -alx "sleep.4322." /proc/[0-9]*/cmdline`), nil)
		if err != nil || exit.Code != 1 {
			t.Fatalf("the forked program is there still: exit %+v, %v", exit, err)
		}
	}
}
