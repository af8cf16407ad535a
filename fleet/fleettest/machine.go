// Package fleettest has a host, a router and a journal for tests of what runs
// instances. They keep time under testing/synctest, and start no program.
//
// A Machine has the containers, which outlive berth. A Life is one run of berth on
// it, with its own router. Everything that a life does to the machine is a step.
// Any step can be made to fail, and a life can be made to crash before or after
// any step.
package fleettest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/berthd/berth/fleet"
)

// How long a machine takes for what it does.
const (
	CreateTakes = 50 * time.Millisecond
	LaunchTakes = 10 * time.Millisecond
	RemoveTakes = 20 * time.Millisecond
)

// Program is how a program behaves.
type Program struct {
	// Listens is how long after its launch it listens on its port and answers;
	// negative is never.
	Listens time.Duration

	// Status is what it answers; 0 is 200.
	Status int

	// Ends is how long after its launch it ends by itself; 0 is never.
	Ends time.Duration
	Exit fleet.Exit

	// Stops is how long after SIGTERM it ends; negative ignores SIGTERM.
	Stops time.Duration

	// Unkillable is one that the kernel cannot end.
	Unkillable bool

	// Unlaunchable is why it cannot be launched.
	Unlaunchable error
}

// Machine is what containers run on. It is safe for concurrent use.
type Machine struct {
	mu       sync.Mutex // guards what follows
	boxes    []*Box
	programs func(spec fleet.Spec, cmd fleet.Command) Program
}

// SetProgram says how programs behave that are launched from now on; nil is one
// that answers after 100 ms and ends at once when it is asked to.
func (m *Machine) SetProgram(programs func(spec fleet.Spec, cmd fleet.Command) Program) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.programs = programs
}

func (m *Machine) program(spec fleet.Spec, cmd fleet.Command) Program {
	m.mu.Lock()
	programs := m.programs
	m.mu.Unlock()
	if programs == nil {
		return Program{Listens: 100 * time.Millisecond}
	}
	return programs(spec, cmd)
}

// Boxes returns the containers that were not removed, in the order in which they
// were made.
func (m *Machine) Boxes() []*Box {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(m.boxes), func(b *Box) bool { return b.removed })
}

// Every returns all containers that were ever made.
func (m *Machine) Every() []*Box {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.boxes)
}

// Reboot ends every program, as the end of the machine's power does. The
// containers stay, as files.
func (m *Machine) Reboot() {
	for _, b := range m.Boxes() {
		b.end(fleet.Exit{Code: 137, Signal: 9, Lost: true})
	}
}

// Box is a container.
type Box struct {
	Spec    fleet.Spec
	created time.Time
	done    chan struct{}

	m        *Machine
	removed  bool // the rest is guarded by the machine's mu
	launched time.Time
	command  fleet.Command
	ended    time.Time
	program  Program
	exit     fleet.Exit
	kills    int64
	limits   fleet.Limits
	uses     int64
	written  int64
}

// Limits returns what the container is bound to now.
func (b *Box) Limits() fleet.Limits {
	b.m.mu.Lock()
	defer b.m.mu.Unlock()
	return b.limits
}

// Uses says how much memory the program has in use.
func (b *Box) Uses(memory int64) {
	b.m.mu.Lock()
	defer b.m.mu.Unlock()
	b.uses = memory
}

// Writes says how much the program has written to its disk.
func (b *Box) Writes(bytes int64) {
	b.m.mu.Lock()
	defer b.m.mu.Unlock()
	b.written = bytes
}

// limit is Container.SetLimits.
func (b *Box) limit(l fleet.Limits) error {
	b.m.mu.Lock()
	defer b.m.mu.Unlock()
	if l.Memory != 0 && b.uses > l.Memory {
		return errInUse
	}
	l.Files, l.Shm = b.limits.Files, b.limits.Shm
	b.limits = l
	return nil
}

// errInUse is what a container answers that has more in use than a limit.
var errInUse = errors.New("more memory than that is in use")

// Name is the slot that the container is for ("web.1 v2").
func (b *Box) Name() string {
	l := b.Spec.Labels
	return l[fleet.LabelProcess] + "." + l[fleet.LabelNumber] + " v" + l[fleet.LabelRelease]
}

// Runs tells whether the program was launched and has not ended.
func (b *Box) Runs() bool {
	b.m.mu.Lock()
	defer b.m.mu.Unlock()
	return !b.launched.IsZero() && b.ended.IsZero()
}

// Command returns what was launched.
func (b *Box) Command() fleet.Command {
	b.m.mu.Lock()
	defer b.m.mu.Unlock()
	return b.command
}

// Launched returns when the program was launched; the zero time when it was not.
func (b *Box) Launched() time.Time {
	b.m.mu.Lock()
	defer b.m.mu.Unlock()
	return b.launched
}

// Answers tells whether the program runs and listens.
func (b *Box) Answers() bool {
	b.m.mu.Lock()
	defer b.m.mu.Unlock()
	p := b.program
	return !b.launched.IsZero() && b.ended.IsZero() && p.Listens >= 0 && time.Since(b.launched) >= p.Listens
}

// End ends the program from outside of berth.
func (b *Box) End(exit fleet.Exit) { b.end(exit) }

// Behave changes how the program behaves from now on; its times count from its
// launch.
func (b *Box) Behave(p Program) {
	b.m.mu.Lock()
	defer b.m.mu.Unlock()
	b.program = p
}

// KillChild says that the kernel killed a process of the container for the
// memory limit.
func (b *Box) KillChild() {
	b.m.mu.Lock()
	defer b.m.mu.Unlock()
	b.kills++
}

func (b *Box) end(exit fleet.Exit) {
	b.m.mu.Lock()
	defer b.m.mu.Unlock()
	if b.ended.IsZero() {
		b.ended, b.exit = time.Now(), exit
		close(b.done)
	}
}

func (b *Box) port() string {
	port := "5000"
	return "0.0.0.0:" + port
}

// launch starts the program.
func (b *Box) launch(cmd fleet.Command, p Program) {
	b.m.mu.Lock()
	b.launched, b.command, b.program = time.Now(), cmd, p
	b.m.mu.Unlock()
	if p.Ends > 0 {
		timer := time.AfterFunc(p.Ends, func() { b.end(p.Exit) })
		go func() { <-b.done; timer.Stop() }()
	}
}

// stop is Container.Stop, in a life. What the life has not done at its end is not
// done.
func (b *Box) stop(ctx context.Context, life context.Context, grace time.Duration) error {
	b.m.mu.Lock()
	p := b.program
	runs := !b.launched.IsZero() && b.ended.IsZero()
	b.m.mu.Unlock()
	if !runs {
		b.end(fleet.Exit{})
		return nil
	}
	if grace > 0 {
		stops := time.NewTimer(p.Stops)
		if p.Stops < 0 {
			stops.Reset(grace + time.Second)
		}
		defer stops.Stop()
		limit := time.NewTimer(grace)
		defer limit.Stop()
		select {
		case <-stops.C:
			b.end(fleet.Exit{Code: 143, Signal: 15})
		case <-limit.C:
		case <-b.done:
		case <-ctx.Done():
		case <-life.Done():
			return errOver
		}
	}
	if !p.Unkillable {
		b.end(fleet.Exit{Code: 137, Signal: 9})
	}
	select {
	case <-b.done:
		return nil
	case <-life.Done():
		return errOver
	case <-ctx.Done():
		return fmt.Errorf("stop %s: %w", b.Name(), ctx.Err())
	}
}

// dial connects to the program, which answers one request of HTTP.
func (b *Box) dial() (net.Conn, error) {
	b.m.mu.Lock()
	status := b.program.Status
	b.m.mu.Unlock()
	if !b.Answers() {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	}
	mine, theirs := net.Pipe()
	go func() {
		defer mine.Close()
		mine.SetDeadline(time.Now().Add(time.Minute))
		req, err := http.ReadRequest(bufio.NewReader(mine))
		if err != nil {
			return
		}
		if status == 0 {
			status = http.StatusOK
		}
		var answer bytes.Buffer
		resp := &http.Response{StatusCode: status, ProtoMajor: 1, ProtoMinor: 1, Request: req, Close: true, Body: http.NoBody}
		if resp.Write(&answer) == nil {
			io.Copy(mine, &answer)
		}
	}()
	return theirs, nil
}

// errNoContainer is what a container that was removed answers.
var errNoContainer = errors.New("there is no such container")
