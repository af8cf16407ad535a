package runtime_test

import (
	"io"
	"testing"
	"time"

	"github.com/berthd/berth/runtime"
)

func TestLoad_CountsWhatBuildsAndNothingElseHave(t *testing.T) {
	open(t)
	e, stack := shared.Engine, shared.Stack
	before, err := e.Load()
	if err != nil {
		t.Fatal(err)
	}
	spec := runtime.LayerSpec{Key: key(t), Parent: stack, UID: 20001, Commands: []runtime.Command{sh("timeout 1 sh -c 'while :; do :; done' || true; sleep 0.5")}}
	began := time.Now()
	if err := e.BuildLayer(t.Context(), spec, io.Discard); err != nil {
		t.Fatal(err)
	}
	after, err := e.Load()
	if err != nil {
		t.Fatal(err)
	}
	// How much it gets of a busy machine is the machine's to say: something, and
	// no more than there is.
	used, passed := after.CPU-before.CPU, time.Since(began)
	if used <= 0 || used > 64*passed {
		t.Errorf("the build used %s in %s", used, passed)
	}
	if after.Idle < before.Idle {
		t.Errorf("the machine was idle for %s, then for %s", before.Idle, after.Idle)
	}
	if after.Builds != 0 {
		t.Errorf("%d builds go on", after.Builds)
	}
}
