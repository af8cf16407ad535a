package runtime

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	tasktypes "github.com/containerd/containerd/api/types/task"
	"github.com/containerd/containerd/v2/core/snapshots"
	"golang.org/x/sys/unix"
)

// sweep removes what an earlier life of the engine left unfinished: containers
// that nobody launched or that a reboot ended, one-offs and builds, and all
// that lies about without a container. What runs is not touched.
func (e *Engine) sweep(ctx context.Context) error {
	records, running, err := e.inventory(ctx)
	if err != nil {
		return err
	}
	keep := make(map[string]bool)
	doomed := make(map[string]bool)
	for _, r := range records {
		_, err := os.Stat(e.state("c", r.ID, "launched"))
		if r.Labels[labelKind] == kindApp && running[r.ID] != nil && err == nil {
			keep[r.ID] = true
		} else {
			doomed[r.ID] = true
		}
	}
	for _, dir := range []string{"c", "e", "io"} {
		entries, err := os.ReadDir(e.state(dir))
		if err != nil {
			return err
		}
		for _, entry := range entries {
			doomed[entry.Name()] = true
		}
	}
	for id := range e.net.known() {
		doomed[id] = true
	}
	var errs []error
	for id := range doomed {
		if keep[id] {
			continue
		}
		if err := e.discard(ctx, id); err != nil {
			errs = append(errs, fmt.Errorf("container %s: %w", id, err))
			continue
		}
		e.log.Info("removed what was left of a container", "id", id, "had_task", running[id] != nil && running[id].Status == tasktypes.Status_RUNNING)
	}
	errs = append(errs, e.sweepBuilds(), e.sweepSnapshots(ctx, keep), e.sweepScratch(), e.sweepLeases(ctx))
	return errors.Join(errs...)
}

// sweepBuilds unmounts what builds had mounted.
func (e *Engine) sweepBuilds() error {
	return errors.Join(clearDir(e.state("b")), e.sweepStepMounts())
}

// sweepStepMounts unmounts what BuildKit had mounted for COPY, in the system's
// directory for temporary files. Only an embedded containerd's files are known
// to be ours; elsewhere such a mount stays until the machine is started again.
func (e *Engine) sweepStepMounts() error {
	if e.daemon == nil {
		return nil
	}
	dirs, err := filepath.Glob(filepath.Join(os.TempDir(), "buildkit-mount*"))
	if err != nil || len(dirs) == 0 {
		return err
	}
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	errs := []error{}
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		if len(fields) < 5 || !slices.Contains(dirs, unescapeMount(fields[4])) || !strings.Contains(line, e.cfg.Root+"/containerd/") {
			continue
		}
		point := unescapeMount(fields[4])
		errs = append(errs, unix.Unmount(point, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW), os.Remove(point))
	}
	return errors.Join(errs...)
}

// sweepScratch empties the scratch directory.
func (e *Engine) sweepScratch() error { return clearDir(e.scratchDir()) }

// clearDir empties a directory of ours, if it is there. What is mounted in it
// is unmounted first, and nothing is removed while a mount is left: removing
// through one would remove what is not ours. Somebody else may be clearing it
// at the same time, as containerd does with the bundle of a task that it finds
// dead.
func clearDir(dir string) error {
	if err := unmountBelow(dir); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var errs []error
	for _, entry := range entries {
		errs = append(errs, os.RemoveAll(filepath.Join(dir, entry.Name())))
	}
	return errors.Join(errs...)
}

// unmountBelow unmounts everything below a directory, the latest first.
func unmountBelow(dir string) error {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	var points []string
	for line := range strings.Lines(string(data)) {
		if fields := strings.Fields(line); len(fields) > 4 {
			if point := unescapeMount(fields[4]); strings.HasPrefix(point, dir+"/") {
				points = append(points, point)
			}
		}
	}
	for _, point := range slices.Backward(points) {
		err := unix.Unmount(point, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
		if err != nil && err != unix.EINVAL && err != unix.ENOENT { // which say that it was unmounted meanwhile
			return fmt.Errorf("unmount %s: %w", point, err)
		}
	}
	return nil
}

// unescapeMount reads the \040 for a blank and its like.
func unescapeMount(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// sweepSnapshots removes active snapshots that are no container's.
func (e *Engine) sweepSnapshots(ctx context.Context, keep map[string]bool) error {
	var stale []string
	err := e.walkSnapshots(ctx, func(info snapshots.Info) error {
		if info.Kind != snapshots.KindCommitted && !keep[info.Name] {
			stale = append(stale, info.Name)
		}
		return nil
	})
	errs := []error{err}
	for _, name := range stale {
		errs = append(errs, retry(ctx, func() error { return e.snapshots().Remove(ctx, name) }))
	}
	return errors.Join(errs...)
}

// sweepLeases ends the leases of pulls and builds that a crash has cut short.
func (e *Engine) sweepLeases(ctx context.Context) error {
	service := e.client.LeasesService()
	left, err := service.List(ctx, fmt.Sprintf("%s,labels.%q==%s", e.ours(), labelKind, kindLease))
	errs := []error{err}
	for _, l := range left {
		errs = append(errs, retry(ctx, func() error { return service.Delete(ctx, l) }))
	}
	return errors.Join(errs...)
}

// endOrphan ends what runs of a container that containerd knows nothing of: a
// containerd that is killed while it creates a task leaves a shim, and perhaps
// a container of runc's, that it never lists again.
func (e *Engine) endOrphan(ctx context.Context, id string) error {
	var errs []error
	// Until none is found: one that is being started begets another.
	for pids := helpers(id); len(pids) > 0 && ctx.Err() == nil; pids = helpers(id) {
		for _, pid := range pids {
			proc, err := openPidfd(pid)
			if err != nil {
				continue // it ended
			}
			e.log.Info("ending an orphan of containerd's", "id", id, "pid", pid)
			signalPidfd(proc, unix.SIGKILL)
			if !awaitPidfd(ctx, proc) {
				errs = append(errs, fmt.Errorf("orphan %d of %s does not end", pid, id))
			}
			proc.Close()
		}
	}
	// runc's own state, when it got that far.
	if _, err := os.Stat(e.state("runc", namespace, id)); err == nil {
		out, err := exec.CommandContext(ctx, "runc", "--root", e.state("runc", namespace), "delete", "--force", id).CombinedOutput()
		if err != nil {
			errs = append(errs, fmt.Errorf("runc delete: %w: %s", err, strings.TrimSpace(string(out))))
		}
	}
	// The bundle, in which the root filesystem is mounted. A system containerd
	// clears its own when it starts.
	if e.daemon != nil {
		bundle := e.state("containerd", "io.containerd.runtime.v2.task", namespace, id)
		err := clearDir(bundle)
		if err == nil {
			err = os.RemoveAll(bundle)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// helpers returns the shims and runcs that work on the container.
func helpers(id string) []int {
	procs, _ := os.ReadDir("/proc")
	var pids []int
	for _, p := range procs {
		pid, err := strconv.Atoi(p.Name())
		if err != nil {
			continue
		}
		cmdline, err := os.ReadFile(filepath.Join("/proc", p.Name(), "cmdline"))
		if err != nil {
			continue
		}
		args := strings.Split(strings.TrimSuffix(string(cmdline), "\x00"), "\x00")
		name := filepath.Base(args[0])
		if (strings.HasPrefix(name, "containerd-shim") || name == "runc") && slices.Contains(args, id) {
			pids = append(pids, pid)
		}
	}
	return pids
}
