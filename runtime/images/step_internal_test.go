package images

import (
	"context"
	"errors"
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
