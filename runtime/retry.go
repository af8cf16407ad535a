package runtime

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

// errGone is what containerd does not know, or no longer.
var errGone = errors.New("gone")

// native returns an error of containerd's API that errdefs understands.
func native(err error) error {
	if _, ok := status.FromError(err); ok && err != nil {
		return errgrpc.ToNative(err)
	}
	return err
}

// transient tells whether a call failed because containerd or a shim went away
// under it: the next one waits until containerd is back.
func transient(err error) bool {
	return errdefs.IsUnavailable(err) || strings.Contains(err.Error(), "ttrpc: closed") // a shim's; containerd passes it on as a text
}

// interrupted marks an error that comes of containerd's death.
func interrupted(err error) error {
	if transient(native(err)) {
		return fmt.Errorf("%w: %w", ErrInterrupted, err)
	}
	return err
}

// retryGone calls fn until it succeeds or fails for good. fn must be one that may be
// called twice.
func retryGone(ctx context.Context, fn func() error) error {
	for {
		err := native(fn())
		switch {
		case err == nil:
			return nil
		case errdefs.IsNotFound(err):
			return fmt.Errorf("%w: %w", errGone, err)
		case !transient(err):
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// retry is retryGone for removals: what is gone is as it should be.
func retry(ctx context.Context, fn func() error) error {
	if err := retryGone(ctx, fn); !errors.Is(err, errGone) {
		return err
	}
	return nil
}
