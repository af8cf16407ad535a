package fleettest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/berthd/berth/fleet"
)

// Trap is what goes wrong in a life. Its zero value is nothing.
type Trap struct {
	// Fail is the number of the step that fails, from 1.
	Fail int

	// End is the number of the step at which the life ends: before the step has
	// done anything, or right after it with After.
	End   int
	After bool

	// Chance, when not nil, says in the place of the numbers what happens at a step.
	Chance func(step string) (fail, end bool)
}

// Life is one run of berth on a machine. Its fields are set before it is used.
type Life struct {
	Machine *Machine

	// Watch is called before and after every step, to look at the machine.
	Watch func(l *Life, step string)

	// Away says that the host's engine is away: while it does, nothing can be
	// made.
	Away func() bool

	// Ended is called at the end of the life, before anything of it can see that:
	// to close what the life wrote to.
	Ended func()

	Context context.Context // ends with the life

	mu    sync.Mutex // guards what follows
	end   context.CancelFunc
	over  bool
	trap  Trap
	endAt string   // the name of a step
	steps []string // since the trap was set
}

// NewLife returns a life on a machine.
func NewLife(m *Machine) *Life {
	l := &Life{Machine: m}
	l.Context, l.end = context.WithCancel(context.Background())
	return l
}

// ErrFailed is the error of the step that was made to fail.
var ErrFailed = errors.New("this step was made to fail")

// errOver is what everything answers after the end of a life. Nothing has an
// effect any more.
var errOver = errors.New("this life is over")

// End ends the life without a word.
func (l *Life) End() {
	l.mu.Lock()
	was := l.over
	l.over = true
	l.mu.Unlock()
	if !was && l.Ended != nil {
		l.Ended()
	}
	l.end()
}

// Over tells whether the life has ended.
func (l *Life) Over() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.over
}

// Steps returns the steps since the last Set.
func (l *Life) Steps() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.steps...)
}

// Set sets a trap. Its steps are counted from now on.
func (l *Life) Set(trap Trap) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.trap, l.steps = trap, nil
}

// EndAtStep ends the life before the next step of that name.
func (l *Life) EndAtStep(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.endAt = name
}

// Sprung returns the step at which the trap had its effect; "" when that step
// was not reached.
func (l *Life) Sprung() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := l.trap.Fail + l.trap.End; n > 0 && n <= len(l.steps) {
		return l.steps[n-1]
	}
	return ""
}

// Step is something that the life does to the machine or to its record of it.
func (l *Life) Step(name string, effect func() error) error {
	l.mu.Lock()
	if l.over {
		l.mu.Unlock()
		return errOver
	}
	l.steps = append(l.steps, name)
	n, trap := len(l.steps), l.trap
	if name == l.endAt {
		trap = Trap{End: n}
	}
	if trap.Chance != nil {
		fail, end := trap.Chance(name)
		trap = Trap{After: trap.After}
		switch {
		case fail:
			trap.Fail = n
		case end:
			trap.End = n
		}
	}
	l.mu.Unlock()
	l.watch(name)
	switch {
	case n == trap.End && !trap.After:
		l.End()
		return errOver
	case n == trap.Fail:
		return fmt.Errorf("%s: %w", name, ErrFailed)
	}
	err := effect()
	if l.Over() {
		return errOver
	}
	l.watch(name)
	if n == trap.End {
		l.End()
		return errOver
	}
	return err
}

func (l *Life) watch(step string) {
	if l.Watch != nil {
		l.Watch(l, step)
	}
}

// pause takes time, unless ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Host returns the machine as the life sees it.
func (l *Life) Host() fleet.Host { return host{l} }

type host struct{ l *Life }

func (h host) Create(ctx context.Context, spec fleet.Spec) (fleet.Container, error) {
	b := &Box{Spec: spec, limits: spec.Limits, m: h.l.Machine, done: make(chan struct{})}
	err := h.l.Step("create "+b.Name(), func() error {
		if err := pause(ctx, CreateTakes); err != nil {
			return err
		}
		if h.l.Away != nil && h.l.Away() {
			return fleet.ErrInterrupted
		}
		if h.l.Over() {
			return errOver
		}
		h.l.Machine.mu.Lock()
		defer h.l.Machine.mu.Unlock()
		b.created = time.Now()
		h.l.Machine.boxes = append(h.l.Machine.boxes, b)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return container{h.l, b}, nil
}

func (h host) Containers(context.Context) (list []fleet.Container, err error) {
	err = h.l.Step("list", func() error {
		for _, b := range h.l.Machine.Boxes() {
			list = append(list, container{h.l, b})
		}
		return nil
	})
	return list, err
}

// container is a box as a life sees it.
type container struct {
	l *Life
	b *Box
}

func (c container) About() fleet.About {
	return fleet.About{ID: c.b.Spec.ID, Labels: c.b.Spec.Labels, Created: c.b.created}
}

func (c container) Launch(ctx context.Context, cmd fleet.Command) error {
	return c.l.Step("launch "+c.b.Name(), func() error {
		if err := pause(ctx, LaunchTakes); err != nil {
			return err
		}
		if c.l.Over() {
			return errOver
		}
		c.b.m.mu.Lock()
		removed := c.b.removed
		c.b.m.mu.Unlock()
		if removed {
			return errNoContainer
		}
		p := c.b.m.program(c.b.Spec, cmd)
		if p.Unlaunchable != nil {
			return p.Unlaunchable
		}
		c.b.launch(cmd, p)
		return nil
	})
}

func (c container) Launched() bool { return !c.b.Launched().IsZero() }

func (c container) Done() <-chan struct{} { return c.b.done }

func (c container) Exit(context.Context) fleet.Exit {
	c.b.m.mu.Lock()
	defer c.b.m.mu.Unlock()
	return c.b.exit
}

func (c container) Stop(ctx context.Context, grace time.Duration) error {
	return c.l.Step("stop "+c.b.Name(), func() error { return c.b.stop(ctx, c.l.Context, grace) })
}

func (c container) Remove(ctx context.Context) error {
	return c.l.Step("remove "+c.b.Name(), func() error {
		if err := c.b.stop(ctx, c.l.Context, 0); err != nil {
			return err
		}
		if err := pause(ctx, RemoveTakes); err != nil {
			return err
		}
		if c.l.Over() {
			return errOver
		}
		c.b.m.mu.Lock()
		defer c.b.m.mu.Unlock()
		c.b.removed = true
		return nil
	})
}

func (c container) Dial(_ context.Context, address string) (conn net.Conn, err error) {
	err = c.l.Step("dial "+c.b.Name(), func() (err error) {
		conn, err = c.b.dial()
		return err
	})
	return conn, err
}

func (c container) Listening() (addresses []string, err error) {
	err = c.l.Step("look at "+c.b.Name(), func() error {
		if c.b.Answers() {
			addresses = []string{c.b.port()}
		}
		return nil
	})
	return addresses, err
}

func (c container) Fill(ctx context.Context, tree, dir string) error {
	return c.l.Step("fill "+c.b.Name(), func() error { return pause(ctx, RemoveTakes) })
}

func (c container) Exec(ctx context.Context, cmd fleet.Command, out io.Writer) (exit fleet.Exit, err error) {
	err = c.l.Step("exec in "+c.b.Name(), func() error {
		if !c.b.Answers() {
			exit.Code = 1
		}
		fmt.Fprintln(out, strings.Join(cmd.Args, " "))
		return pause(ctx, LaunchTakes)
	})
	return exit, err
}

func (c container) OOMKills() (kills, limit int64) {
	c.b.m.mu.Lock()
	defer c.b.m.mu.Unlock()
	return c.b.kills, c.b.limits.Memory
}

func (c container) DiskUsed(context.Context) (int64, error) {
	c.b.m.mu.Lock()
	defer c.b.m.mu.Unlock()
	return c.b.written, nil
}

func (c container) SetLimits(_ context.Context, l fleet.Limits) error {
	return c.l.Step("limit "+c.b.Name(), func() error { return c.b.limit(l) })
}

func (c container) Usage(context.Context) (fleet.Usage, error) { return fleet.Usage{}, nil }
