package runtime

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/berthd/berth/runtime/internal/outage"
	"github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/api/types/runc/options"
	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/typeurl/v2"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// ErrEnded is a container that ended while a command ran in it.
var ErrEnded = errors.New("the container ended meanwhile")

// Exec runs a program beside the container's own, copies what it prints to out
// and waits for its end. Cancelling ctx kills it. Its environment reaches the
// shim and is not kept by containerd.
func (c *Container) Exec(ctx context.Context, cmd Command, out io.Writer) (Exit, error) {
	exit, err := c.exec(ctx, cmd, Attachment{Stdout: out, Stderr: out})
	if err != nil {
		return exit, fmt.Errorf("run in container %s: %w", c.ID, err)
	}
	return exit, nil
}

// Enter is Exec in the container with an id, with the streams of whoever asks, at
// a terminal perhaps. The error is ErrEnded when the container ends meanwhile, or
// there is none.
func (e *Engine) Enter(ctx context.Context, id string, cmd Command, att Attachment) (Exit, error) {
	e.mu.Lock()
	c := e.containers[id]
	e.mu.Unlock()
	if c == nil {
		return Exit{}, fmt.Errorf("enter container %s: %w", id, ErrEnded)
	}
	if att.Terminal {
		cmd.Env = slices.Insert(slices.Clone(cmd.Env), 0, "TERM=xterm-256color")
	}
	exit, err := c.exec(ctx, cmd, att)
	if err == nil && exit.Signal != int(unix.SIGKILL) {
		return exit, nil
	}
	select {
	case <-c.done: // its end is what killed the program
		return exit, fmt.Errorf("enter container %s: %w", id, ErrEnded)
	case <-time.After(endSeen):
	case <-ctx.Done():
	}
	if err != nil {
		return exit, fmt.Errorf("enter container %s: %w", id, err)
	}
	return exit, nil
}

const (
	// endSeen is how long it may take until the end of a container is known, after
	// that of the programs in it.
	endSeen = time.Second

	// lastOutput is how long the output of a program is waited for after its end.
	lastOutput = 5 * time.Second
)

func (c *Container) exec(ctx context.Context, cmd Command, att Attachment) (exit Exit, err error) {
	record, err := c.engine.client.LoadContainer(ctx, c.ID)
	if err != nil {
		return exit, err
	}
	task, err := record.Task(ctx, nil)
	if err != nil {
		return exit, err
	}
	dir := cmd.Dir
	if dir == "" {
		dir = homeOf(c.uid)
	}
	id := NewID()
	defer os.RemoveAll(c.engine.state("io", id))
	gone := make(chan struct{})
	defer close(gone)
	stdin := &finiteReader{r: att.Stdin, end: make(chan struct{}), terminal: att.Terminal, gone: gone}
	spec := &specs.Process{
		Args: cmd.Args, Env: environment(c.uid, caBundle, cmd.Env), Cwd: dir, Terminal: att.Terminal,
		User:            specs.User{UID: uint32(c.uid), GID: uint32(c.uid)},
		NoNewPrivileges: true, ApparmorProfile: c.engine.armor.profile,
		Capabilities: &specs.LinuxCapabilities{},
	}
	if att.Terminal && att.Size != (Size{}) {
		spec.ConsoleSize = &specs.Box{Height: uint(att.Size.Rows), Width: uint(att.Size.Cols)}
	}
	process, err := task.Exec(ctx, id, spec, c.engine.streams(id, att, stdin))
	if err != nil {
		return exit, err
	}
	pid := 0
	defer func() {
		ctx, cancel := outage.Lasting(ctx)
		defer cancel()
		c.killSession(pid)
		_, deleted := process.Delete(ctx, containerd.WithProcessKill)
		err = errors.Join(err, deleted)
	}()
	// A start that is broken off may have started the program all the same, and
	// without its pid nothing of what it has forked could be found.
	starting, cancel := outage.Lasting(ctx)
	err = process.Start(starting)
	cancel()
	if err != nil {
		return exit, err
	}
	pid = int(process.Pid())
	waiting, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var result Exit // written, with failed, before ended is closed
	var failed error
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		failed = outage.RetryGone(waiting, func() error {
			status, err := process.Wait(waiting)
			if err != nil {
				return err
			}
			code, at, err := (<-status).Result()
			result = exitOf(int(code), at)
			return err
		})
	}()
	attended{engine: c.engine, container: c.ID, exec: id, signal: func(sig unix.Signal) { c.signalSession(pid, sig) }}.attend(ctx, att, stdin.end, ended)
	if ctx.Err() != nil {
		c.killSession(pid)
		select {
		case <-ended:
		case <-time.After(lastOutput):
		}
		return Exit{}, context.Cause(ctx)
	}
	c.killSession(pid) // what it left behind would hold its output open
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		process.IO().Wait() // for the last of the output
	}()
	select {
	case <-drained:
	case <-time.After(lastOutput):
	}
	return result, failed
}

// signalSession signals all processes of the session that a program in the
// container leads, and tells whether there are any. What has left the session, as
// a daemon does, is left alone.
func (c *Container) signalSession(leader int, sig unix.Signal) (any bool) {
	if leader <= 1 {
		return false
	}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range stats {
		data, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		// PID (NAME) STATE PPID PGRP SESSION; the name may hold anything.
		fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		if err != nil || len(fields) < 4 || fields[3] != strconv.Itoa(leader) || fields[0] == "Z" || !c.engine.cgroups.holds(pid, c.ID) {
			continue
		}
		any = unix.Kill(pid, sig) == nil || any
	}
	return any
}

// killSession kills the session of a program, and what is forked meanwhile.
func (c *Container) killSession(leader int) {
	for n := 0; n < 100 && c.signalSession(leader, unix.SIGKILL); n++ {
		time.Sleep(time.Millisecond)
	}
}

// endExecs ends the programs that an earlier life ran beside the container's own:
// nobody reads what they print any more.
func (c *Container) endExecs(ctx context.Context) error {
	service := c.engine.client.TaskService()
	list, err := service.ListPids(ctx, &tasks.ListPidsRequest{ContainerID: c.ID})
	if err != nil {
		return err
	}
	for _, p := range list.Processes {
		if p.Info == nil {
			continue
		}
		info, err := typeurl.UnmarshalAny(p.Info)
		details, ok := info.(*options.ProcessDetails)
		if err != nil || !ok || details.ExecID == "" {
			continue
		}
		c.killSession(int(p.Pid))
		_, err = service.DeleteProcess(ctx, &tasks.DeleteProcessRequest{ContainerID: c.ID, ExecID: details.ExecID})
		if err != nil {
			return err
		}
	}
	return nil
}
