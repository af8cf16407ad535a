package build

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// machine is a machine of two processors whose load goes on at the same pace:
// what builds have of them, and what is idle.
func machine(used, idle float64, builds int) func() (runtime.Load, error) {
	began := time.Now()
	return func() (runtime.Load, error) {
		passed := time.Since(began).Seconds()
		cores := func(n float64) time.Duration { return time.Duration(n * passed * float64(time.Second)) }
		return runtime.Load{Builds: builds, CPU: cores(used), Idle: cores(idle)}, nil
	}
}

// endless waits for its context's end.
func endless(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) }

func TestAllowance_CountsTheTimeInWhichABuildCouldGoOn(t *testing.T) {
	unknown := func() (runtime.Load, error) { return runtime.Load{}, errors.New("no /proc") }
	for _, test := range []struct {
		name       string
		used, idle float64
		builds     int
		code       string
		after      time.Duration
	}{
		{"it has a processor", 1, 0.9, 1, "E241", 15 * time.Minute},
		{"it waits for the network", 0, 1.9, 1, "E241", 15 * time.Minute},
		{"it takes all there is", 2, 0, 1, "E241", 15 * time.Minute},
		{"apps take all but half a processor", 0.5, 0, 1, "E241", 30 * time.Minute},
		{"three builds share half a processor", 0.5, 0, 3, "E244", time.Hour},
		{"apps take all but a ninth", 2. / 9, 0, 1, "E244", time.Hour},
		{"apps take everything", 0, 0, 1, "E244", time.Hour},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newBuilder(t)
				d.engine = loaded{load: machine(test.used, test.idle, test.builds)}
				began := time.Now()
				err := d.buildAllowance("the build", code.BuildTimeout).spend(t.Context(), endless)
				took := time.Since(began)
				if f := fault.From(err); f == nil || f.Code != test.code || took < test.after || took > test.after+2*allowanceTick {
					t.Errorf("got %v after %s, want %s after %s", err, took, test.code, test.after)
				}
			})
		})
	}
	t.Run("nobody knows", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d := newBuilder(t)
			d.engine = loaded{load: unknown}
			began := time.Now()
			err := d.buildAllowance("the build", code.BuildTimeout).spend(t.Context(), endless)
			if f := fault.From(err); f == nil || f.Message != "the build took longer than 15 minutes" || time.Since(began) > 16*time.Minute {
				t.Errorf("got %v after %s", err, time.Since(began))
			}
		})
	})
}

func TestAllowance_IsSpentByOneAfterTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newBuilder(t)
		d.engine = loaded{load: machine(1, 1, 1)}
		left := d.buildAllowance("the build", code.BuildTimeout)
		layer := func(d time.Duration) func(context.Context) error {
			return func(ctx context.Context) error {
				select {
				case <-time.After(d):
					return nil
				case <-ctx.Done():
					return context.Cause(ctx)
				}
			}
		}
		if err := left.spend(t.Context(), layer(10*time.Minute)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour) // a toolchain between the two, which is nobody's time
		began := time.Now()
		err := left.spend(t.Context(), layer(10*time.Minute))
		if f := fault.From(err); f == nil || f.Code != code.BuildTimeout || time.Since(began).Round(10*time.Second) != 5*time.Minute {
			t.Errorf("got %v after %s, want E241 after the 5 minutes that were left", err, time.Since(began))
		}
	})
}

func TestAllowance_EndsWithWhoeverCancels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newBuilder(t)
		ctx, cancel := context.WithCancelCause(t.Context())
		why := errCancelled("build 4", bob)
		time.AfterFunc(time.Minute, func() { cancel(why) })
		if err := d.buildAllowance("the build", code.BuildTimeout).spend(ctx, endless); !errors.Is(err, why) {
			t.Errorf("got %v, want %v", err, why)
		}
	})
}
