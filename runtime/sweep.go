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
	"sync"
	"time"

	"github.com/berthd/berth/runtime/internal/outage"
	tasktypes "github.com/containerd/containerd/api/types/task"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/snapshots"
	"golang.org/x/sys/unix"
)

const (
	// sweepAgain is how long it takes until what could not be removed is tried
	// once more, and twice as long each time, up to sweepAtMost.
	sweepAgain  = 15 * time.Second
	sweepAtMost = 10 * time.Minute

	// strayLease is the age at which a lease without an owner's labels is swept
	// from a containerd that others use too.
	strayLease = time.Hour
)

// leftovers is what an earlier life of the engine left unfinished: containers
// that nobody launched or that a reboot ended, one-offs and builds, and all that
// lies about without a container. It is listed before anything new is made, and
// names are never given twice: what it lists can be removed beside new work.
type leftovers struct {
	containers []string        // ids
	running    map[string]bool // those that had a running task
	snapshots  []string
	leases     []leases.Lease
	dirs       []string // with what is mounted in them
	points     []string // mount points of BuildKit's
}

// sweeping is the removal of what is left over, behind all that runs.
type sweeping struct {
	end     context.CancelFunc
	cleared chan struct{} // closed when each container was tried once
	swept   chan struct{} // closed when everything was
	err     error         // of the first try; written before swept is closed
	ended   chan struct{}
}

// beginSweep lists what is left over, has it die and removes it in the
// background. What runs is not touched. Removing takes seconds on a busy
// machine, and what cannot be removed must not keep apps from being served.
func (e *Engine) beginSweep(ctx context.Context) error {
	left, err := e.takeStock(ctx)
	if err != nil {
		return err
	}
	e.mu.Lock()
	for _, id := range left.containers {
		e.doomed[id] = true
	}
	e.mu.Unlock()
	e.cgroups.killBuilds()
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	e.sweeping = &sweeping{end: end, cleared: make(chan struct{}), swept: make(chan struct{}), ended: make(chan struct{})}
	go e.sweep(life, left)
	return nil
}

// Swept waits until all that was left over was tried to be removed, and returns
// what could not be. That is tried again, later.
func (e *Engine) Swept(ctx context.Context) error {
	select {
	case <-e.sweeping.swept:
		return e.sweeping.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// awaitCleared waits until no container of an earlier life's build is left that
// could write where a new build does: the two would share caches.
func (e *Engine) awaitCleared(ctx context.Context) error {
	select {
	case <-e.sweeping.cleared:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// stop ends the sweep; the next Open goes on with it.
func (s *sweeping) stop() {
	s.end()
	<-s.ended
}

// takeStock lists what is left over.
func (e *Engine) takeStock(ctx context.Context) (leftovers, error) {
	left := leftovers{running: make(map[string]bool)}
	records, tasks, err := e.inventory(ctx)
	if err != nil {
		return left, err
	}
	keep := make(map[string]bool)
	doomed := make(map[string]bool)
	for _, r := range records {
		_, err := os.Stat(e.state("c", r.ID, "launched"))
		if r.Labels[labelKind] == kindApp && tasks[r.ID] != nil && err == nil {
			keep[r.ID] = true
		} else {
			doomed[r.ID] = true
		}
	}
	for _, dir := range []string{"c", "e", "io"} {
		for _, path := range entriesOf(e.state(dir)) {
			doomed[filepath.Base(path)] = true
		}
	}
	for id := range e.net.containerIDs() {
		doomed[id] = true
	}
	for id := range doomed {
		if !keep[id] && id != "" {
			left.containers = append(left.containers, id)
			left.running[id] = tasks[id] != nil && tasks[id].Status == tasktypes.Status_RUNNING
		}
	}
	// Builds first: others wait for their end.
	slices.SortFunc(left.containers, func(a, b string) int {
		return strings.Compare(fmt.Sprint(!left.running[a], a), fmt.Sprint(!left.running[b], b))
	})
	left.dirs = slices.Concat(entriesOf(e.state("b")), entriesOf(e.scratchDir()))
	left.points, err = e.stepMounts()
	errs := []error{err}
	left.snapshots, err = e.staleSnapshots(ctx, keep)
	errs = append(errs, err)
	left.leases, err = e.staleLeases(ctx)
	return left, errors.Join(append(errs, err)...)
}

// entriesOf lists what is in a directory, by its whole path.
func entriesOf(dir string) (paths []string) {
	entries, _ := os.ReadDir(dir)
	for _, entry := range entries {
		paths = append(paths, filepath.Join(dir, entry.Name()))
	}
	return paths
}

// sweep removes what is left over. What cannot be removed is said, and tried
// again until the engine is closed.
func (e *Engine) sweep(ctx context.Context, left leftovers) {
	s := e.sweeping
	defer close(s.ended)
	cleared, swept := sync.OnceFunc(func() { close(s.cleared) }), sync.OnceFunc(func() { close(s.swept) })
	defer swept()
	defer cleared()
	for pause := sweepAgain; ; pause = min(2*pause, sweepAtMost) {
		err := e.sweepOnce(ctx, &left, cleared)
		if ctx.Err() != nil {
			return
		}
		select {
		case <-s.swept:
		default:
			s.err = err
		}
		swept()
		if err == nil {
			return
		}
		e.log.Warn("not all that was left over could be removed", "err", err, "again", pause)
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// sweepOnce tries all that is left once, and leaves in left what it could not
// remove. cleared is called when the containers were tried.
func (e *Engine) sweepOnce(ctx context.Context, left *leftovers, cleared func()) error {
	var errs []error
	try := func(what string, err error) (failed bool) {
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", what, err))
		}
		return err != nil
	}
	left.containers = slices.DeleteFunc(left.containers, func(id string) bool {
		began := time.Now()
		ctx, cancel := context.WithTimeout(ctx, discardPatience)
		defer cancel()
		if try("container "+id, e.discard(ctx, id)) {
			return false
		}
		e.mu.Lock()
		delete(e.doomed, id)
		e.mu.Unlock()
		e.log.Info("removed what was left of a container", "id", id, "had_task", left.running[id], "took", time.Since(began).Round(time.Millisecond))
		return true
	})
	cleared()
	left.dirs = slices.DeleteFunc(left.dirs, func(dir string) bool { return !try("directory "+dir, removeTree(dir)) })
	left.points = slices.DeleteFunc(left.points, func(point string) bool { return !try("mount "+point, dropPoint(point)) })
	left.snapshots = slices.DeleteFunc(left.snapshots, func(name string) bool {
		return !try("snapshot "+name, outage.Retry(ctx, func() error { return e.Snapshots().Remove(ctx, name) }))
	})
	left.leases = slices.DeleteFunc(left.leases, func(l leases.Lease) bool {
		return !try("lease "+l.ID, outage.Retry(ctx, func() error { return e.client.LeasesService().Delete(ctx, l) }))
	})
	return errors.Join(errs...)
}

// discardPatience is how long the removal of one left-over may take before the
// others have their turn.
const discardPatience = 30 * time.Second

// stepMounts lists what BuildKit had mounted for COPY, in the system's
// directory for temporary files. Only an embedded containerd's files are known
// to be ours; elsewhere such a mount stays until the machine is started again.
func (e *Engine) stepMounts() ([]string, error) {
	if e.daemon == nil {
		return nil, nil
	}
	dirs, err := filepath.Glob(filepath.Join(os.TempDir(), "buildkit-mount*"))
	if err != nil || len(dirs) == 0 {
		return nil, err
	}
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	var points []string
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		if len(fields) < 5 || !slices.Contains(dirs, unescapeMount(fields[4])) || !strings.Contains(line, e.cfg.Root+"/containerd/") {
			continue
		}
		points = append(points, unescapeMount(fields[4]))
	}
	return points, nil
}

// dropPoint unmounts what is mounted on a directory and removes the directory.
func dropPoint(point string) error {
	err := unix.Unmount(point, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	if err != nil && err != unix.EINVAL && err != unix.ENOENT {
		return err
	}
	if err := os.Remove(point); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// removeTree removes a directory of ours with what is in it.
func removeTree(dir string) error {
	if info, err := os.Lstat(dir); err == nil && info.IsDir() {
		if err := ClearDir(dir); err != nil {
			return err
		}
	}
	return os.RemoveAll(dir)
}

// ClearDir empties a directory of ours, if it is there. What is mounted in it
// is unmounted first, and nothing is removed while a mount is left: removing
// through one would remove what is not ours. Somebody else may be clearing it
// at the same time, as containerd does with the bundle of a task that it finds
// dead.
func ClearDir(dir string) error {
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

// staleSnapshots lists active snapshots that are no container's.
func (s *LayerStore) staleSnapshots(ctx context.Context, keep map[string]bool) (stale []string, err error) {
	err = s.walkSnapshots(ctx, func(info snapshots.Info) error {
		if info.Kind != snapshots.KindCommitted && !keep[info.Name] {
			stale = append(stale, info.Name)
		}
		return nil
	})
	return stale, err
}

// staleLeases lists the leases of pulls and builds that a crash has cut short,
// and those that containerd's client has made by itself and left for a day. A
// containerd that is not ours alone may have such ones that are in use.
func (e *Engine) staleLeases(ctx context.Context) ([]leases.Lease, error) {
	service := e.client.LeasesService()
	all, err := service.List(ctx)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(l leases.Lease) bool {
		switch owner, owned := l.Labels[LabelInstallation]; {
		case owned:
			return owner != e.id || l.Labels[labelKind] != kindLease
		case l.Labels[labelExpire] == "":
			return true
		}
		return e.daemon == nil && time.Since(l.CreatedAt) < strayLease
	}), nil
}

// labelExpire is containerd's own: it removes the lease by itself, after a day.
const labelExpire = "containerd.io/gc.expire"

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
	if _, err := os.Stat(e.state("runc", Namespace, id)); err == nil {
		out, err := exec.CommandContext(ctx, "runc", "--root", e.state("runc", Namespace), "delete", "--force", id).CombinedOutput()
		if err != nil {
			errs = append(errs, fmt.Errorf("runc delete: %w: %s", err, strings.TrimSpace(string(out))))
		}
	}
	// The bundle, in which the root filesystem is mounted. A system containerd
	// clears its own when it starts.
	if e.daemon != nil {
		bundle := e.state("containerd", "io.containerd.runtime.v2.task", Namespace, id)
		err := ClearDir(bundle)
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
