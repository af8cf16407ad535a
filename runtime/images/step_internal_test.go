package images

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"

	"github.com/berthd/berth/runtime"
	"github.com/moby/buildkit/executor"
)

// A runc that may let containers out which start together gets one at a time.
func TestStepExecutor_RunsOneStepAtATimeWhereItMust(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, fixed := range []bool{true, false} {
			x := newStepExecutor(nil, runtime.Limits{}, fixed)
			running, ended := make(chan struct{}), make(chan struct{})
			step := func() {
				leave, err := x.enter(t.Context())
				if err != nil {
					t.Error(err)
				}
				running <- struct{}{}
				<-ended
				leave()
			}
			go step()
			<-running
			go step()
			synctest.Wait()
			select {
			case <-running:
				if !fixed {
					t.Error("two steps run at once")
				}
			default:
				if fixed {
					t.Error("a step waits, and need not")
				}
				ctx, cancel := context.WithCancelCause(t.Context())
				gone := errors.New("the build was cancelled")
				cancel(gone)
				if _, err := x.Run(ctx, "", executor.Mount{}, nil, executor.ProcessInfo{}, nil); !errors.Is(err, gone) {
					t.Errorf("a step that waits when its build is cancelled: %v", err)
				}
			}
			close(ended)
			if !fixed {
				<-running
			}
			synctest.Wait()
		}
	})
}

// Each build goes by the runc that is on the PATH when it begins: an upgrade
// needs no restart, and what cannot be judged counts as not mended.
func TestStepExecutor_GoesByTheMachinesRunc(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	e := &runtime.Engine{}
	m := New(e, nil)
	for n, row := range []struct {
		script   string
		oneByOne bool
	}{
		{"", true}, // there is none
		{"echo runc version 1.1.5+ds1", true},
		{"echo runc version 1.3.3", false},
		{"echo runc version 1.2.7", true},
		{"echo crun version 1.21", true},
		{"exit 1", true},
	} {
		if row.script != "" {
			// Another size each time: the files are as good as of the same moment.
			script := fmt.Sprintf("#!/bin/sh\n%s\n# %0*d\n", row.script, 100*n, n)
			if err := os.WriteFile(filepath.Join(dir, "runc"), []byte(script), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		limits := runtime.Limits{Pids: 7}
		x := m.stepExecutor(t.Context(), limits)
		if got := x.turn != nil; got != row.oneByOne || x.limits != limits || x.engine != e {
			t.Errorf("with %q: steps one by one %v, want %v; limits %+v", row.script, got, row.oneByOne, x.limits)
		}
	}
}
