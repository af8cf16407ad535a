package fleet

import (
	"context"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"
)

// StopGrace is the time between SIGTERM and SIGKILL. Heroku gives 30 s; on a
// single machine a stop should not take that long.
const StopGrace = 10 * time.Second

// State is what an instance is at.
type State string

// The states of an instance.
const (
	Starting State = "starting" // its program runs and does not answer yet
	Up       State = "up"       // healthy
	Crashed  State = "crashed"  // it ended by itself and will be started again
	Stopping State = "stopping" // replaced; finishing what it was at
)

// Instance is one running copy of a process type, in its current state.
type Instance struct {
	Name      string    `json:"name"` // "web.1"
	Process   string    `json:"process"`
	Number    int       `json:"number"`
	Release   int       `json:"release"`
	State     State     `json:"state"`
	Container string    `json:"container"`
	Since     time.Time `json:"since"`
	Restarts  int       `json:"restarts"`
	OOMKills  int64     `json:"oom_kills,omitempty"`   // processes killed for the memory limit while the program went on
	Memory    int64     `json:"memory,omitempty"`      // bytes
	Peak      int64     `json:"peak,omitempty"`        // the most of it that berth has seen since it looks
	Limit     int64     `json:"limit,omitempty"`       // of its memory, in bytes; 0 is the usual one
	CPU       float64   `json:"cpu_seconds,omitempty"` // of a processor, since its start
	Detail    string    `json:"detail,omitempty"`      // "exit code 1", "listens on 127.0.0.1:5000"
}

// instance fills one slot of a formation, by one container after the other.
type instance struct {
	app     *App
	release Release
	process Process
	number  int

	retire     context.CancelFunc // ends its supervision
	supervised sync.WaitGroup

	mu        sync.Mutex // guards what follows
	container Container  // nil until the first one is made
	address   string     // where it listens; "" until that is found out
	state     State
	since     time.Time
	restarts  int
	detail    string
	failing   string // checks of a running instance that fail now; it is out of turn then
	limits    limits
	peak      int64  // the most memory that was seen in use, in bytes
	oomKills  int64  // processes of its containers that were killed while the program went on
	root      answer // of GET / for the host rootHost, when the usual check asked it
	rootHost  string
}

func (a *App) instance(r Release, s Slot) *instance {
	return &instance{
		app: a, release: r, process: s.Process, number: s.Number, retire: func() {},
		limits: limits{wanted: s.Process.Limits, has: s.Process.Limits},
	}
}

// again returns a new instance for the slot and release of i.
func (i *instance) again() *instance {
	again := i.app.instance(i.release, Slot{i.process, i.number})
	i.mu.Lock()
	defer i.mu.Unlock()
	again.limits = limits{wanted: i.limits.wanted, has: i.limits.wanted}
	return again
}

func (i *instance) fleet() *Fleet { return i.app.fleet }

func (i *instance) name() string { return slotName(i.process.Type, i.number) }

func (i *instance) set(state State, detail string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.state != state {
		i.since = time.Now().UTC()
	}
	i.state, i.detail = state, detail
}

// lastDetail returns the last detail of the instance's state.
func (i *instance) lastDetail() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.detail
}

// age is how long the instance has been in its state, for people.
func (i *instance) age() time.Duration {
	i.mu.Lock()
	defer i.mu.Unlock()
	return time.Since(i.since).Round(time.Second)
}

// running returns the container that fills the slot now, and its state.
func (i *instance) running() (c Container, state State, address string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.container, i.state, i.address
}

// fill puts a container into the slot.
func (i *instance) fill(c Container) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.container, i.address = c, ""
}

// snapshot returns the instance as it is now.
func (i *instance) snapshot(ctx context.Context) Instance {
	i.mu.Lock()
	seen := Instance{
		Name: i.name(), Process: i.process.Type, Number: i.number, Release: i.release.Number,
		State: i.state, Since: i.since, Limit: max(0, i.limits.wanted.Memory), Restarts: i.restarts, Detail: i.detail,
	}
	if i.failing != "" && i.state == Up {
		seen.Detail = i.failing
	}
	if seen.OOMKills = i.oomKills; i.oomKills > 0 {
		killed := killedProcesses(i.oomKills) + " killed for the memory limit"
		seen.Detail = strings.TrimPrefix(seen.Detail+", "+killed, ", ")
	}
	c := i.container
	i.mu.Unlock()
	if c == nil {
		return seen
	}
	seen.Container = c.About().ID
	if usage, err := c.Usage(ctx); err == nil { // it may be gone by now
		seen.Memory, seen.CPU, seen.Peak = usage.Memory, usage.CPU.Seconds(), i.peaked(usage.Memory)
	}
	return seen
}

// backend is the instance as the router sees it; ok is false while it takes no
// requests.
func (i *instance) backend() (b Backend, ok bool) {
	c, state, address := i.running()
	if i.process.Type != "web" || state != Up || address == "" {
		return b, false
	}
	i.mu.Lock()
	failing := i.failing != ""
	i.mu.Unlock()
	return Backend{
		ID:       c.About().ID,
		Dial:     func(ctx context.Context) (net.Conn, error) { return c.Dial(ctx, address) },
		DialPort: func(ctx context.Context, port int) (net.Conn, error) { return dialPort(ctx, c, port) },
		Name:     i.name(), Release: i.release.Number, Resting: failing,
	}, true
}

// serves tells whether requests go to the instance.
func serves(i *instance) bool {
	_, is := i.backend()
	return is
}

// create makes a container for the instance.
func (i *instance) create(ctx context.Context) (Container, error) {
	_, c, err := Create(ctx, i.fleet().cfg.Host, func() Spec { return i.spec() })
	return c, err
}

func (i *instance) spec() Spec {
	app := i.app.ref()
	spec := i.release.Spec(app.Name, KindInstance, map[string]string{
		LabelRelease: strconv.Itoa(i.release.Number), LabelProcess: i.process.Type, LabelNumber: strconv.Itoa(i.number),
	})
	i.mu.Lock()
	spec.Limits = i.limits.wanted
	i.limits.has, i.limits.tight = spec.Limits, false
	i.mu.Unlock()
	spec.Labels[labelLimits] = spec.Limits.String()
	spec.LogFile = i.fleet().cfg.Logs.File(app, i.release.Number, i.name(), spec.ID)
	return spec
}

// launch starts the instance's program in its container.
func (i *instance) launch(ctx context.Context) error {
	c, _, _ := i.running()
	return c.Launch(ctx, i.command(i.process.Args))
}

// command is a program with the instance's environment.
func (i *instance) command(args []string) Command {
	return Command{
		Args: args, Dir: i.process.Dir,
		Env: WithIdentity(i.release.Env, i.app.Name(), i.release.Number, i.name()),
	}
}

// lastLines returns the end of what the instance's program printed.
func (i *instance) lastLines(n int) (texts []string) {
	c, _, _ := i.running()
	app, logs := i.app.ref(), i.fleet().cfg.Logs
	lines, err := logs.Last(logs.File(app, i.release.Number, i.name(), c.About().ID), n)
	i.fleet().warn("the log of an instance cannot be read", err, "app", app.Name, "instance", i.name())
	for _, line := range lines {
		texts = append(texts, "| "+line)
	}
	return texts
}
