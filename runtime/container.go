package runtime

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/berthd/berth/runtime/internal/outage"
	"github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/api/types/runc/options"
	tasktypes "github.com/containerd/containerd/api/types/task"
	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Spec describes a container.
type Spec struct {
	ID       string // from NewID; never used twice
	Layer    string // key of the layer that is its root filesystem, writable on top and thrown away with it
	UID      int    // Unix user and group of its processes
	Hostname string
	Labels   map[string]string // kept with the container, given back by Containers
	Limits   Limits
	Mounts   []Mount
	Isolated bool // no network at all, not even the bridge

	build bool // it gives way to everything else on the machine
	// Foreign is a layer that is somebody else's image: it may have no shell,
	// and what it holds in /run is wanted there.
	Foreign bool

	// StopSignal is what Stop sends first: "SIGQUIT", as an image's STOPSIGNAL
	// has it; "" and what the kernel does not know are SIGTERM.
	StopSignal string

	// LogFile is the file that gets the output of a launched process, rotated
	// by size; its directory is made. See logfile.go for the format.
	LogFile string
}

// NewID returns a container id that was never used before.
func NewID() string { return strings.ToLower(rand.Text()) }

// Container is a container with a network namespace of its own, whose first
// process (package pid1) is running: waiting for Launch, or supervising what
// was launched.
type Container struct {
	ID      string
	Labels  map[string]string
	Created time.Time
	Address string // on the bridge

	engine   *Engine
	uid      int
	stopWith unix.Signal // what Stop sends first
	pid      int
	proc     *os.File      // pidfd of the first process; nil when it had ended before we looked
	done     chan struct{} // closed by watch
	oomKills atomic.Int64  // read from the cgroup at the end, before it is removed
	oomLimit atomic.Int64  // likewise

	mu       sync.Mutex // guards what follows
	exit     *Exit      // once known
	ns, diag *os.File   // the network namespace and a socket in it, opened when first wanted
	released bool
}

// The kinds of containers, kept in a label.
const (
	kindApp = "app" // of Create: adopted by the next life
	kindRun = "run" // of Attach and BuildLayer: they end with who asked for them

	kindLease = "lease" // on what is being made of an image
)

// initPatience is how long a container's first process may take to listen; it
// takes 10 to 20 ms on an idle machine.
const initPatience = 15 * time.Second

// Create makes a container up to the point where only the program is missing:
// snapshot, network, limits, first process running. When containerd dies at the
// wrong moment, the error is ErrInterrupted.
func (e *Engine) Create(ctx context.Context, spec Spec) (*Container, error) {
	if err := e.claim(spec.ID); err != nil {
		return nil, fmt.Errorf("create container: %w", err)
	}
	c, err := e.create(ctx, spec)
	if err != nil {
		err = fmt.Errorf("create container %s: %w", spec.ID, err)
		ctx, cancel := outage.Lasting(ctx)
		defer cancel()
		return nil, errors.Join(err, e.discard(ctx, spec.ID))
	}
	return c, nil
}

func (e *Engine) create(ctx context.Context, spec Spec) (_ *Container, err error) {
	step := e.timer("create", spec.ID)
	control := e.state("c", spec.ID)
	if err := e.net.makeNetns(e.net.path(spec.ID)); err != nil {
		return nil, err
	}
	step("netns")

	// The network is ready before the first process starts and long after runc
	// has begun to make the container.
	var attached attachment
	join := attached.begin(ctx, e.net, spec)
	defer join()

	mounts, err := e.Prepare(ctx, spec.ID, spec.Layer)
	if err != nil {
		return nil, fmt.Errorf("snapshot of layer %s: %w", spec.Layer, err)
	}
	step("snapshot")
	if err := checkTargets(layerDirs(mounts), spec.Mounts); err != nil {
		return nil, err
	}
	binds, err := e.etcFiles(spec, caBundle, lowerFile(mounts))
	if err != nil {
		return nil, err
	}
	env := []string{"BERTH_CONTROL=" + controlPath}
	binds = append(binds, bind(e.cfg.Init, initPath, false), bind(control, controlPath, true))
	if spec.LogFile != "" {
		if err := os.MkdirAll(filepath.Dir(spec.LogFile), 0o700); err != nil {
			return nil, err
		}
		binds = append(binds, bind(filepath.Dir(spec.LogFile), logPath, true))
		env = append(env, "BERTH_LOG="+filepath.Base(spec.LogFile))
	}
	s, err := e.ociSpec(ctx, spec, process{args: []string{initPath}, env: env, dir: "/", caps: pid1Caps}, binds)
	if err != nil {
		return nil, err
	}
	record, err := e.record(ctx, spec, kindApp, spec.ID, s)
	if err != nil {
		return nil, fmt.Errorf("record: %w", err)
	}
	step("record")
	task, err := record.NewTask(ctx, cio.NullIO)
	if err != nil {
		return nil, fmt.Errorf("task: %w", outage.Interrupted(err))
	}
	step("task")
	if err := join(); err != nil {
		return nil, err
	}
	if err := e.nameAddress(spec, attached.address); err != nil {
		return nil, err
	}
	step("network")

	c := &Container{ID: spec.ID, Labels: maps.Clone(spec.Labels), Created: time.Now(), Address: attached.address,
		engine: e, uid: spec.UID, stopWith: stopSignal(spec.StopSignal), pid: int(task.Pid()), done: make(chan struct{})}
	if c.proc, err = openPidfd(c.pid); err != nil {
		return nil, err
	}
	if err := task.Start(ctx); err != nil {
		c.proc.Close()
		return nil, fmt.Errorf("start: %w", outage.Interrupted(err))
	}
	step("start")
	e.watch(c)
	if err := c.awaitInit(ctx); err != nil {
		return nil, err
	}
	step("init")
	if err := c.putNote(); err != nil {
		return nil, err
	}
	return c, nil
}

// claim makes the container's control directory. It fails when the id is in
// use: whoever has it must not be harmed by what comes after.
func (e *Engine) claim(id string) error {
	if len(id) < 8 || strings.Trim(id, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		return fmt.Errorf("id %q is not one of NewID", id)
	}
	return os.Mkdir(e.state("c", id), 0o700)
}

// timer returns a function that logs how long each step took.
func (e *Engine) timer(verb, id string) func(step string) {
	last := time.Now()
	return func(step string) {
		now := time.Now()
		e.log.Debug("step", "verb", verb, "id", id, "step", step, "took", now.Sub(last))
		last = now
	}
}

// attachment is a container being attached to the network in the background.
type attachment struct {
	address string
	err     error
}

// begin returns a function that waits for the end.
func (a *attachment) begin(ctx context.Context, n *network, spec Spec) func() error {
	if spec.Isolated {
		return func() error { return nil }
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		a.address, a.err = n.attach(ctx, spec.ID, spec.UID)
	}()
	return func() error {
		<-done
		return a.err
	}
}

// nameAddress writes the container's own entry of its hosts file, which is
// bound into it already, and keeps the address for the next life.
func (e *Engine) nameAddress(spec Spec, address string) error {
	if address == "" {
		return nil
	}
	name := spec.Hostname
	if name == "" {
		name = spec.ID
	}
	return errors.Join(
		os.WriteFile(e.state("e", spec.ID, "hosts"), []byte(hostsFile(address+"\t"+name+"\n")), 0o644),
		os.WriteFile(e.state("e", spec.ID, "address"), []byte(address), 0o600))
}

// record enters the container into containerd's books.
func (e *Engine) record(ctx context.Context, spec Spec, kind, snapshot string, s *specs.Spec) (containerd.Container, error) {
	labels := map[string]string{LabelInstallation: e.id, labelKind: kind, labelUID: strconv.Itoa(spec.UID)}
	for k, v := range spec.Labels {
		labels[labelUser+k] = v
	}
	if spec.StopSignal != "" {
		labels[labelStop] = spec.StopSignal
	}
	opts := []containerd.NewContainerOpts{
		containerd.WithRuntime("io.containerd.runc.v2", &options.Options{Root: e.state("runc")}),
		containerd.WithSpec(s),
		containerd.WithContainerLabels(labels),
		func(_ context.Context, _ *containerd.Client, c *containers.Container) error {
			c.Snapshotter, c.SnapshotKey = Snapshotter, snapshot
			return nil
		},
	}
	book := containers.Container{ID: spec.ID}
	for _, opt := range opts {
		if err := opt(ctx, e.client, &book); err != nil {
			return nil, err
		}
	}
	// Not by the client's NewContainer: it makes a lease for what the options may
	// unpack, which a cancelled call leaves for a day. The snapshot needs none.
	var record containerd.Container
	err := outage.RetryGone(ctx, func() error {
		_, err := e.client.ContainerService().Create(ctx, book)
		if err == nil || errdefs.IsAlreadyExists(outage.Native(err)) { // by a first try, of which containerd died before it could tell
			record, err = e.client.LoadContainer(ctx, spec.ID)
		}
		return err
	})
	return record, err
}

// awaitInit returns when the first process listens for Launch.
func (c *Container) awaitInit(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, initPatience)
	defer cancel()
	for {
		if conn, err := c.connect(ctx); err == nil {
			return conn.Close()
		}
		select {
		case <-c.done:
			exit := c.Exit(ctx)
			return fmt.Errorf("the first process ended with code %d before it listened", exit.Code)
		case <-ctx.Done():
			return fmt.Errorf("the first process does not listen: %w", ctx.Err())
		case <-time.After(time.Millisecond):
		}
	}
}

// control returns the path of a file in the container's control directory.
func (c *Container) control(name string) string { return c.engine.state("c", c.ID, name) }

// Containers lists every container of this installation, including ended ones,
// except for unfinished ones of an earlier life, which are being removed.
func (e *Engine) Containers(ctx context.Context) ([]*Container, error) {
	records, running, err := e.inventory(ctx)
	if err != nil {
		return nil, fmt.Errorf("list containers: %w", err)
	}
	list := make([]*Container, 0, len(records))
	for _, r := range records {
		if r.Labels[labelKind] != kindApp {
			continue
		}
		e.mu.Lock()
		c, doomed := e.containers[r.ID], e.doomed[r.ID]
		e.mu.Unlock()
		if doomed {
			continue
		}
		if c == nil {
			c = e.adopt(r, running[r.ID])
			if c.proc != nil {
				go func() { // bounded by its context
					ctx, cancel := outage.Lasting(ctx)
					defer cancel()
					if err := c.endExecs(ctx); err != nil {
						e.log.Warn("what an earlier berth ran in a container was not ended", "id", c.ID, "err", err)
					}
				}()
			}
		}
		list = append(list, c)
	}
	return list, nil
}

// inventory returns containerd's records of ours and the tasks of the namespace.
func (e *Engine) inventory(ctx context.Context) ([]containers.Container, map[string]*tasktypes.Process, error) {
	var records []containers.Container
	var resp *tasks.ListTasksResponse
	err := outage.RetryGone(ctx, func() (err error) {
		if records, err = e.client.ContainerService().List(ctx, e.Filter()); err == nil {
			resp, err = e.client.TaskService().List(ctx, &tasks.ListTasksRequest{})
		}
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	running := make(map[string]*tasktypes.Process, len(resp.Tasks))
	for _, t := range resp.Tasks {
		running[t.ID] = t
	}
	return records, running, nil
}

// adopt makes a Container of one that an earlier life created.
func (e *Engine) adopt(r containers.Container, task *tasktypes.Process) *Container {
	c := &Container{ID: r.ID, Labels: make(map[string]string), Created: r.CreatedAt, engine: e, done: make(chan struct{})}
	for k, v := range r.Labels {
		if name, ok := strings.CutPrefix(k, labelUser); ok {
			c.Labels[name] = v
		}
	}
	c.uid, _ = strconv.Atoi(r.Labels[labelUID])
	c.stopWith = stopSignal(r.Labels[labelStop])
	if address, err := os.ReadFile(e.state("e", r.ID, "address")); err == nil {
		c.Address = string(address)
	}
	if task != nil && task.Status != tasktypes.Status_STOPPED && task.Pid != 0 {
		c.find(int(task.Pid))
	}
	if c.proc != nil {
		c.renewNote() // an earlier berth may have kept none
	}
	return e.watch(c)
}

// find looks for the container's first process under the number that it had.
// Another process may have got the number since: one in this container's cgroup
// is ours.
func (c *Container) find(pid int) {
	proc, err := openPidfd(pid)
	if err == nil && c.engine.cgroups.holds(pid, c.ID) {
		c.pid, c.proc = pid, proc
	} else if err == nil {
		proc.Close()
	}
}

// holds tells whether a process belongs to a container.
func (g cgroups) holds(pid int, id string) bool {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	return err == nil && strings.Contains(string(data), g.path(id, false))
}

// watch closes c.done when c's first process has ended, and remembers c. It
// returns the one that is remembered already, if any.
func (e *Engine) watch(c *Container) *Container {
	e.mu.Lock()
	defer e.mu.Unlock()
	if known := e.containers[c.ID]; known != nil {
		c.release()
		return known
	}
	e.containers[c.ID] = c
	if c.proc == nil {
		close(c.done)
		return c
	}
	go func() {
		if awaitPidfd(context.Background(), c.proc) { // ends with release at the latest
			kills, limit := e.cgroups.oomKills(c.ID)
			c.oomKills.Store(kills)
			c.oomLimit.Store(limit)
			close(c.done)
		}
	}()
	return c
}

// release closes what c holds open.
func (c *Container) release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.released = true
	for _, f := range []*os.File{c.proc, c.ns, c.diag} {
		if f != nil {
			f.Close()
		}
	}
}

// stopSignal reads a signal's name or number, with or without SIG.
func stopSignal(name string) unix.Signal {
	if n, err := strconv.Atoi(name); err == nil && n > 0 && n < 65 {
		return unix.Signal(n)
	}
	return cmp.Or(unix.SignalNum("SIG"+strings.TrimPrefix(strings.ToUpper(name), "SIG")), unix.SIGTERM)
}

// Stop asks the program to end (SIGTERM, or what the spec says), waits up to grace, kills it (SIGKILL)
// and waits for its end. It is idempotent, and needs no containerd: the first
// process passes SIGTERM on, and its own death takes every other along.
func (c *Container) Stop(ctx context.Context, grace time.Duration) error {
	if grace > 0 && c.signal(c.stopWith) == nil {
		timer := time.NewTimer(grace)
		defer timer.Stop()
		select {
		case <-c.done:
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	err := c.signal(unix.SIGKILL)
	select {
	case <-c.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("stop container %s: %w", c.ID, errors.Join(ctx.Err(), err))
	}
}

// signal sends a signal to the first process.
func (c *Container) signal(sig unix.Signal) error {
	if c.proc == nil {
		return unix.ESRCH
	}
	return signalPidfd(c.proc, sig)
}

// Remove stops the container at once if need be and removes all that belongs
// to it: task, snapshot, network, control directory. It is idempotent and does
// not remove the log file.
func (c *Container) Remove(ctx context.Context) error {
	c.mu.Lock()
	released := c.released
	c.mu.Unlock()
	if !released {
		if err := c.Stop(ctx, 0); err != nil {
			return fmt.Errorf("remove container %s: %w", c.ID, err)
		}
	}
	if err := c.engine.discard(ctx, c.ID); err != nil {
		return fmt.Errorf("remove container %s: %w", c.ID, err)
	}
	return nil
}

// discard removes all that belongs to a container, whatever there is of it.
func (e *Engine) discard(ctx context.Context, id string) error {
	e.mu.Lock()
	if c := e.containers[id]; c != nil {
		delete(e.containers, id)
		defer c.release()
	}
	e.mu.Unlock()
	if id == "" {
		return nil
	}
	// Each step is tried even when one before it failed: what is left is swept
	// by the next Open, and the less the better.
	deleted, err := e.endTask(ctx, id)
	errs := []error{err}
	if !deleted {
		errs = append(errs, e.endOrphan(ctx, id))
	}
	errs = append(errs,
		e.cgroups.clear(ctx, id),
		outage.Retry(ctx, func() error { return e.client.ContainerService().Delete(ctx, id) }),
		outage.Retry(ctx, func() error { return e.Snapshots().Remove(ctx, id) }),
		e.net.drop(ctx, id),
		os.RemoveAll(e.state("io", id)),
		os.RemoveAll(e.state("e", id)))
	if err := errors.Join(errs...); err != nil {
		return err
	}
	// Last: its being there is how the sweep knows that there is something of ours.
	return os.RemoveAll(e.state("c", id))
}

// endTask kills the container's task, if containerd knows of one, and has it deleted.
func (e *Engine) endTask(ctx context.Context, id string) (deleted bool, err error) {
	service := e.client.TaskService()
	err = outage.Retry(ctx, func() error {
		resp, err := service.Get(ctx, &tasks.GetRequest{ContainerID: id})
		if err != nil {
			return err
		}
		switch resp.Process.Status {
		case tasktypes.Status_STOPPED, tasktypes.Status_UNKNOWN:
		default:
			kill := &tasks.KillRequest{ContainerID: id, Signal: uint32(unix.SIGKILL), All: true}
			if _, err := service.Kill(ctx, kill); err != nil && !errdefs.IsNotFound(outage.Native(err)) {
				return err
			}
			if _, err := service.Wait(ctx, &tasks.WaitRequest{ContainerID: id}); err != nil {
				return err
			}
		}
		_, err = service.Delete(ctx, &tasks.DeleteTaskRequest{ContainerID: id})
		deleted = err == nil
		return err
	})
	if err != nil {
		err = fmt.Errorf("end task: %w", err)
	}
	return deleted, err
}

// lowerFile returns a reader of files of /etc below a snapshot that nothing is
// mounted on yet. What the layers hold was written by apps: no symlink in it is
// followed out.
func lowerFile(mounts []mount.Mount) func(name string) []byte {
	return func(name string) []byte { return readLower(mounts, "etc/"+name) }
}

// maxLowerFile bounds what is read of a layer, in bytes.
const maxLowerFile = 1 << 20

// readLower reads a file of a snapshot that is not mounted; nil when there is none.
func readLower(mounts []mount.Mount, name string) []byte {
	for _, dir := range layerDirs(mounts) {
		root, err := os.OpenRoot(dir)
		if err != nil {
			continue
		}
		info, err := root.Stat(name)
		if err == nil && info.Mode().IsRegular() && info.Size() < maxLowerFile {
			data, err := root.ReadFile(name)
			root.Close()
			if err == nil {
				return data
			}
			continue
		}
		root.Close()
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil // something stands in the way: nothing below it shows
		}
	}
	return nil
}
