package deploy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/berthd/berth/router"
	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store"
)

// usualPort is what PORT is unless the config sets it. Each container has a
// network namespace of its own, so all can have the same.
const usualPort = 5000

// portFor is the value of PORT with a config. Values that are no port are
// refused when they are set; one from before there was that rule is passed over.
func portFor(config map[string]string) int {
	if n, ok := store.ConfigPort(config); ok {
		return n
	}
	return usualPort
}

// port is where the instance is told to listen.
func (i *instance) port() int { return portFor(i.release.Config) }

// stopGrace is what a process gets between SIGTERM and SIGKILL; Heroku's 30 s
// less what nobody waits for on a machine of one's own.
const stopGrace = 10 * time.Second

// Labels on containers, by which they are known again after a restart.
const (
	labelApp     = "berth.app" // the app's user id, which outlives a change of name
	labelKind    = "berth.kind"
	labelRelease = "berth.release"
	labelProcess = "berth.process"
	labelNumber  = "berth.number"

	kindInstance = "instance"
	kindJob      = "job"
	kindOneOff   = "one-off"
)

// InstanceState is what an instance is at.
type InstanceState string

// The states of an instance.
const (
	InstanceStarting InstanceState = "starting" // its program runs and does not answer yet
	InstanceUp       InstanceState = "up"       // healthy
	InstanceCrashed  InstanceState = "crashed"  // it ended by itself and will be started again
	InstanceStopping InstanceState = "stopping" // replaced; finishing what it was at
)

// instance is one running copy of a process type: a place in the formation,
// and the container that fills it now.
type instance struct {
	app     *app
	release store.Release
	process store.Process
	number  int

	retire     context.CancelFunc // ends its supervision
	supervised sync.WaitGroup

	mu        sync.Mutex // guards what follows
	container *runtime.Container
	address   string // where it listens, once known
	state     InstanceState
	since     time.Time
	restarts  int
	detail    string
	failing   string // checks of a running instance that fail now; it is out of turn then
	oomKills  int64  // processes of its containers that were killed while the program went on
	root      answer // of GET / for the host rootHost, when the usual check asked it
	rootHost  string
}

func (i *instance) name() string { return i.process.Type + "." + strconv.Itoa(i.number) }

func (i *instance) set(state InstanceState, detail string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.state != state {
		i.since = time.Now().UTC()
	}
	i.state, i.detail = state, detail
}

// said returns the last detail of the instance's state.
func (i *instance) said() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.detail
}

// age is how long the instance has been what it is, for people.
func (i *instance) age() time.Duration {
	i.mu.Lock()
	defer i.mu.Unlock()
	return time.Since(i.since).Round(time.Second)
}

func (i *instance) running() (c *runtime.Container, state InstanceState, address string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.container, i.state, i.address
}

// backend is the instance as the router sees it; ok is false while it takes no
// requests. A container is one backend: its successor in the same place is another.
func (i *instance) backend() (b router.Backend, ok bool) {
	c, state, address := i.running()
	if i.process.Type != "web" || state != InstanceUp || address == "" {
		return b, false
	}
	i.mu.Lock()
	failing := i.failing != ""
	i.mu.Unlock()
	return router.Backend{
		ID:       c.ID,
		Dial:     func(ctx context.Context) (net.Conn, error) { return c.Dial(ctx, address) },
		DialPort: func(ctx context.Context, port int) (net.Conn, error) { return dialPort(ctx, c, port) },
		Name:     i.name(), Release: i.release.Number, Resting: failing,
	}, true
}

// spec describes the container of something that runs in a release's image.
func (d *Deployer) spec(record store.App, release store.Release, kind string, labels map[string]string) runtime.Spec {
	all := map[string]string{labelApp: strconv.Itoa(record.UID), labelKind: kind}
	maps.Copy(all, labels)
	spec := runtime.Spec{
		ID: runtime.NewID(), Layer: release.Layer, UID: record.UID, Hostname: record.Name, Labels: all,
		Limits: runtime.Limits{Memory: record.Limits.Memory, CPUs: record.Limits.CPUs, Pids: record.Limits.Pids},
	}
	if release.Image != nil {
		spec.Foreign, spec.StopSignal = true, release.Image.StopSignal
	}
	return spec
}

func (d *Deployer) instanceSpec(record store.App, release store.Release, process string, number int) runtime.Spec {
	spec := d.spec(record, release, kindInstance, map[string]string{
		labelRelease: strconv.Itoa(release.Number), labelProcess: process, labelNumber: strconv.Itoa(number),
	})
	spec.LogFile = d.logFile(record.ID(), release.Number, process+"."+strconv.Itoa(number), spec.ID)
	return spec
}

// create makes a container of what spec returns, which has another id and log
// each time. containerd may die and come back meanwhile.
func (d *Deployer) create(ctx context.Context, spec func() runtime.Spec) (runtime.Spec, *runtime.Container, error) {
	for {
		s := spec()
		c, err := d.engine.Create(ctx, s)
		if !errors.Is(err, runtime.ErrInterrupted) || ctx.Err() != nil {
			return s, c, err
		}
	}
}

// logFile is where the output of one container is kept, of the app with the id.
// Two containers never share a file.
func (d *Deployer) logFile(id string, release int, source, container string) string {
	return filepath.Join(d.releaseLogs(id, release), source+"."+container+".log")
}

func (d *Deployer) releaseLogs(id string, release int) string {
	return filepath.Join(d.cfg.Logs, id, "v"+strconv.Itoa(release))
}

// command is what a process of the release runs: the shell line of the
// Procfile, with the release's config.
func command(record store.App, r store.Release, line, name string) runtime.Command {
	env := maps.Clone(r.Env)
	if env == nil {
		env = map[string]string{}
	}
	maps.Copy(env, r.Config)
	env["PORT"] = strconv.Itoa(portFor(r.Config)) // for every kind of process: all of them read the app's settings
	list := make([]string, 0, len(env)+8)
	for _, k := range slices.Sorted(maps.Keys(env)) {
		list = append(list, k+"="+env[k])
	}
	list = append(list,
		"BERTH_APP="+record.Name,
		fmt.Sprintf("BERTH_RELEASE=v%d", r.Number),
		"BERTH_PROCESS="+name,
	)
	if r.Image != nil {
		// As Docker runs a command: as the arguments of the entry point.
		args := slices.Concat(r.Image.Entrypoint, []string{"/bin/sh", "-c", line})
		return runtime.Command{Args: args, Env: list, Dir: r.Image.Dir}
	}
	return runtime.Command{Args: []string{"/bin/bash", "-c", line}, Env: list, Dir: "/app"}
}

// processCommand is what runs a process of the release.
func processCommand(record store.App, r store.Release, p store.Process, name string) runtime.Command {
	cmd := command(record, r, p.Command, name)
	if len(p.Args) > 0 {
		cmd.Args = p.Args
	}
	return cmd
}

// launch starts the instance's program in its container.
func (i *instance) launch(ctx context.Context, record store.App) error {
	return i.container.Launch(ctx, processCommand(record, i.release, i.process, i.name()))
}

// notice writes a line of berth's own to the instance's log.
func (i *instance) notice(d *Deployer, format string, args ...any) {
	d.notice(i.app, i.release.Number, i.name(), format, args...)
}

// lastLines returns the end of what the instance's program printed.
func (d *Deployer) lastLines(i *instance, n int) []string {
	c, _, _ := i.running()
	name := i.app.called()
	lines, err := runtime.ReadLog(d.logFile(i.app.id(), i.release.Number, i.name(), c.ID), n)
	d.warn("the log of an instance cannot be read", err, "app", name, "instance", i.name())
	var texts []string
	for _, l := range lines {
		texts = append(texts, "| "+l.Text)
	}
	return texts
}
