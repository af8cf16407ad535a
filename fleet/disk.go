package fleet

import (
	"context"
	"time"

	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
	"github.com/berthd/berth/units"
)

// What an instance writes outside of volumes is measured, and acted upon: a
// program that has written more than its limit is stopped, and its successor
// begins with an empty disk. Between two looks it may write more. A quota of the
// filesystem would refuse the write itself, and most filesystems have none for a
// directory.

const (
	diskLook = 5 * time.Second

	// diskShare bounds the time that goes into looking: a walk over all files
	// takes a twentieth of it at most.
	diskShare = 20
)

// nextDiskLook is when the disk is looked at again after a look that took so long.
func nextDiskLook(took time.Duration) time.Duration { return max(diskLook, diskShare*took) }

// overDisk tells whether so much is more than the limit; 0 is no limit.
func overDisk(used, limit int64) bool { return limit > 0 && used > limit }

// watchDisk stops the program once it has written more than it may.
func (i *instance) watchDisk(ctx context.Context, c Container) {
	next := time.NewTimer(diskLook)
	defer next.Stop()
	for {
		select {
		case <-next.C:
		case <-ctx.Done():
			return
		}
		i.mu.Lock()
		limit := i.limits.wanted.Disk
		i.mu.Unlock()
		began := time.Now()
		if limit > 0 {
			used, err := c.DiskUsed(ctx)
			if ctx.Err() != nil {
				return
			}
			i.fleet().warn("what an instance has written cannot be counted", err, "app", i.app.Name(), "instance", i.name())
			if err == nil && overDisk(used, limit) {
				i.stopFor(ctx, c, i.wroteTooMuch(used, limit))
				return
			}
		}
		next.Reset(nextDiskLook(time.Since(began)))
	}
}

// wroteTooMuch is why a program is stopped (E629).
func (i *instance) wroteTooMuch(used, limit int64) error {
	return fault.New(fault.Failed, code.DiskLimitExceeded, "it wrote %s outside of volumes, and may write %s", units.Bytes(used), units.Bytes(limit))
}

// stopFor stops a program that goes on, for a reason. The supervisor starts another.
func (i *instance) stopFor(ctx context.Context, c Container, why error) {
	i.fleet().cfg.Log.Warn("an instance is stopped", "app", i.app.Name(), "instance", i.name(), "err", why)
	i.recordEvent("crash", "%s of v%d is stopped: %v", i.name(), i.release.Number, why)
	i.notice("stopped: %v", why)
	i.fleet().warn("an instance that is to stop did not", i.stop(ctx, c), "instance", i.name())
}
