// Package outage retries calls of containerd while it is down. containerd may be
// restarted or killed at any moment, while the containers keep running: a call
// that failed for this reason is repeated until containerd answers.
package outage

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"google.golang.org/grpc/status"
)

// ErrInterrupted is a container that could not be made because containerd died
// meanwhile. Nothing of it is left and its program was never started: making
// another, with another id, will do.
var ErrInterrupted = errors.New("containerd died meanwhile")

// ErrGone is what containerd does not know, or no longer.
var ErrGone = errors.New("gone")

// Native returns an error of containerd's API that errdefs understands.
func Native(err error) error {
	if _, ok := status.FromError(err); ok && err != nil {
		return errgrpc.ToNative(err)
	}
	return err
}

// Transient tells whether a call failed because containerd or a shim went away
// under it: the next one waits until containerd is back.
func Transient(err error) bool {
	return errdefs.IsUnavailable(err) || strings.Contains(err.Error(), "ttrpc: closed") // a shim's; containerd passes it on as a text
}

// Interrupted marks an error that comes of containerd's death.
func Interrupted(err error) error {
	if Transient(Native(err)) {
		return fmt.Errorf("%w: %w", ErrInterrupted, err)
	}
	return err
}

// RetryGone calls fn until it succeeds or fails for good. fn must be one that may be
// called twice.
func RetryGone(ctx context.Context, fn func() error) error {
	for {
		err := Native(fn())
		switch {
		case err == nil:
			return nil
		case errdefs.IsNotFound(err):
			return fmt.Errorf("%w: %w", ErrGone, err)
		case !Transient(err):
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Retry is RetryGone for removals: a missing object is a success.
func Retry(ctx context.Context, fn func() error) error {
	if err := RetryGone(ctx, fn); !errors.Is(err, ErrGone) {
		return err
	}
	return nil
}

// Lasting returns a context for cleaning up after ctx has ended, in bounded time.
func Lasting(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
}
