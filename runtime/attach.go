package runtime

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/containerd/containerd/api/services/tasks/v1"
	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/berthd/berth/runtime/internal/lines"
	"github.com/berthd/berth/runtime/internal/outage"
	"github.com/berthd/berth/runtime/pid1"
)

// Size is a terminal's size in character cells.
type Size struct{ Rows, Cols uint16 }

// Attachment connects a one-off's standard streams to the caller.
type Attachment struct {
	Stdin          io.Reader // nil is empty
	Stdout, Stderr io.Writer // may be the same; Stderr is not used with a terminal
	Terminal       bool
	Size           Size
	Resize         <-chan Size   // may be nil
	Signals        <-chan string // "INT", "TERM", …; may be nil
}

// Attach runs a program in its own container with its streams attached, waits
// for its end and removes the container. Cancelling ctx kills it.
func (e *Engine) Attach(ctx context.Context, spec Spec, cmd Command, att Attachment) (Exit, error) {
	if att.Terminal {
		cmd.Env = slices.Insert(slices.Clone(cmd.Env), 0, "TERM=xterm-256color")
	}
	exit, err := e.run(ctx, job{spec: spec, snapshot: spec.ID, env: environment(spec.UID, caBundle, cmd.Env), cmd: cmd, att: att, caps: nil, ca: caBundle})
	if err != nil {
		return exit, fmt.Errorf("run in container %s: %w", spec.ID, err)
	}
	return exit, nil
}

// job is one program run to its end as a container's OCI process.
type job struct {
	spec     Spec
	snapshot string // its root; one that does not exist is prepared over spec.Layer and thrown away
	prepared []mount.Mount
	cmd      Command
	env      []string // all of it
	ca       string   // where the CA bundle is wanted
	caps     []string
	merged   bool // stderr goes where stdout goes, in the order of writing
	att      Attachment
}

// The program's environment may hold secrets, and containerd keeps the spec of
// a container on the disk, pages that were deleted included. So the spec holds
// none: the environment lies in a file of the state directory, for the
// container's user alone, until the run ends, and a shell reads it in. The
// shell stays as the first process, for the kernel spares that one the signals
// it has no handler for: a program in its place would not hear ^C.
const (
	readEnv   = `while IFS= read -r -d "" kv; do export "$kv"; done <` + envPath + `; `
	runMerged = readEnv + `"$@" 2>&1; exit $?`
	runApart  = readEnv + `"$@"; exit $?`
)

// run runs the job and removes its container.
func (e *Engine) run(ctx context.Context, j job) (exit Exit, err error) {
	if err := e.claim(j.spec.ID); err != nil {
		return exit, err
	}
	defer func() {
		ctx, cancel := outage.Lasting(ctx)
		defer cancel()
		err = errors.Join(err, e.discard(ctx, j.spec.ID))
	}()
	step := e.timer("run", j.spec.ID)
	spec := j.spec
	if err := e.net.makeNetns(e.net.path(spec.ID)); err != nil {
		return exit, err
	}
	var attached attachment
	join := attached.begin(ctx, e.net, spec)
	defer join()

	if j.prepared == nil {
		if j.prepared, err = e.Prepare(ctx, j.snapshot, spec.Layer); err != nil {
			return exit, fmt.Errorf("snapshot of layer %s: %w", spec.Layer, err)
		}
	}
	step("snapshot")
	if err := checkTargets(layerDirs(j.prepared), spec.Mounts); err != nil {
		return exit, err
	}
	users := lowerFile(j.prepared)
	if spec.UID == 0 {
		users = nil // dpkg adds users, and must find the real files
	}
	binds, err := e.etcFiles(spec, j.ca, users)
	if err != nil {
		return exit, err
	}
	env, err := e.envFile(spec, j.env)
	if err != nil {
		return exit, err
	}
	args := slices.Concat([]string{"/bin/bash", "-c", runApart, "bash"}, j.cmd.Args)
	switch {
	case spec.Foreign: // and may have no shell
		execute := pid1.Execute
		if j.merged {
			execute = pid1.ExecuteMerged
		}
		args = slices.Concat([]string{initPath, execute, envPath}, j.cmd.Args)
		binds = append(binds, bind(e.cfg.Init, initPath, false))
	case j.merged:
		args[2] = runMerged
	}
	dir := j.cmd.Dir
	if dir == "" {
		dir = homeOf(spec.UID)
	}
	s, err := e.ociSpec(ctx, spec, process{
		args: args,
		env:  []string{"PATH=/usr/bin:/bin"},
		dir:  dir, uid: spec.UID, caps: j.caps,
		terminal: j.att.Terminal, size: j.att.Size,
	}, append(binds, env))
	if err != nil {
		return exit, err
	}
	step("prepared")
	return e.runOCI(ctx, ociRun{
		spec: spec, oci: s, snapshot: j.snapshot, att: j.att,
		address: func() (string, error) {
			err := join()
			return attached.address, err
		},
	})
}

// ociRun is an OCI process that is run to its end, in a container that
// the caller discards.
type ociRun struct {
	spec     Spec
	oci      *specs.Spec
	snapshot string                 // its root, or
	rootfs   []mount.Mount          // what is mounted as its root
	address  func() (string, error) // waits until it is on the network
	att      Attachment
}

func (e *Engine) runOCI(ctx context.Context, p ociRun) (exit Exit, err error) {
	step := e.timer("run", p.spec.ID)
	record, err := e.record(ctx, p.spec, kindRun, p.snapshot, p.oci)
	if err != nil {
		return exit, fmt.Errorf("record: %w", err)
	}
	step("record")

	gone := make(chan struct{})
	defer close(gone)
	stdin := &finiteReader{r: p.att.Stdin, end: make(chan struct{}), terminal: p.att.Terminal, gone: gone}
	task, err := record.NewTask(ctx, e.streams(p.spec.ID, p.att, stdin), containerd.WithRootFS(p.rootfs))
	if exit, killed := e.killedAtStart(p.spec.ID, err); killed {
		return exit, nil
	}
	if err != nil {
		return exit, fmt.Errorf("task: %w", outage.Interrupted(err))
	}
	streams := task.IO()
	defer streams.Close()
	defer streams.Cancel()
	step("task")
	address, err := p.address()
	if err != nil {
		return exit, err
	}
	if err := e.nameAddress(p.spec, address); err != nil {
		return exit, err
	}
	proc, err := openPidfd(int(task.Pid()))
	if errors.Is(err, unix.ESRCH) {
		return e.killedExit(p.spec.ID, false), nil // since its creation
	}
	if err != nil {
		return exit, err
	}
	defer proc.Close()
	if err := task.Start(ctx); err != nil {
		if exit, killed := e.killedAtStart(p.spec.ID, err); killed {
			return exit, nil
		}
		if pidfdEnded(proc) && ctx.Err() == nil && !outage.Transient(outage.Native(err)) {
			return e.killedExit(p.spec.ID, false), nil
		}
		return exit, fmt.Errorf("start: %w", err)
	}
	step("start")

	ended := make(chan struct{})
	var kills, limit int64 // written before ended is closed
	go func() {
		defer close(ended)
		awaitPidfd(context.Background(), proc)
		kills, limit = e.cgroups.oomKills(p.spec.ID)
	}()
	attended{engine: e, container: p.spec.ID}.attend(ctx, p.att, stdin.end, ended)
	if ctx.Err() != nil {
		signalPidfd(proc, unix.SIGKILL)
		<-ended
		return exit, context.Cause(ctx)
	}
	code, at, err := e.taskExit(ctx, p.spec.ID)
	switch {
	case errors.Is(err, outage.ErrGone):
		exit = Exit{Code: 137, Signal: int(unix.SIGKILL), Lost: true}
	case err != nil:
		return exit, err
	default:
		exit = exitOf(code, at)
	}
	exit.OOM, exit.MemoryLimit = kills > 0, limit
	streams.Wait() // for the last of the output
	step("end")
	return exit, nil
}

// killedAtStart tells whether a program could not be started because the kernel,
// or somebody, killed what was to become it. To whoever asked for the program,
// that is how it ended.
func (e *Engine) killedAtStart(id string, err error) (exit Exit, killed bool) {
	if err == nil {
		return exit, false
	}
	text := err.Error() // runc says it in words alone
	exit = e.killedExit(id, strings.Contains(text, "OOM-killed"))
	return exit, exit.OOM || strings.Contains(text, "signal: killed")
}

// killedExit is the end of a program by SIGKILL; oom is what is known already of
// the memory limit.
func (e *Engine) killedExit(id string, oom bool) Exit {
	kills, limit := e.cgroups.oomKills(id)
	return Exit{Code: 137, Signal: int(unix.SIGKILL), OOM: oom || kills > 0, MemoryLimit: limit}
}

// attended is a program whose streams are somebody's.
type attended struct {
	engine    *Engine
	container string
	exec      string            // its id beside the container's own; "" is that one
	signal    func(unix.Signal) // signals it; nil is all of the container
}

// attend passes on signals, sizes and the end of the input until the program ends.
func (to attended) attend(ctx context.Context, att Attachment, inputEnd, ended <-chan struct{}) {
	service := to.engine.client.TaskService()
	call := func(what string, err error) {
		if err != nil && ctx.Err() == nil {
			to.engine.log.Debug("one-off: "+what, "id", to.container, "err", err)
		}
	}
	if to.signal == nil {
		to.signal = func(sig unix.Signal) { // All: the shell that came first does not pass signals on.
			_, err := service.Kill(ctx, &tasks.KillRequest{ContainerID: to.container, Signal: uint32(sig), All: true})
			call("signal", err)
		}
	}
	for {
		select {
		case <-ended:
			return
		case <-ctx.Done():
			return
		case <-inputEnd:
			inputEnd = nil
			_, err := service.CloseIO(ctx, &tasks.CloseIORequest{ContainerID: to.container, ExecID: to.exec, Stdin: true})
			call("close input", err)
		case size, ok := <-att.Resize:
			if !ok {
				att.Resize = nil
				continue
			}
			_, err := service.ResizePty(ctx, &tasks.ResizePtyRequest{ContainerID: to.container, ExecID: to.exec, Width: uint32(size.Cols), Height: uint32(size.Rows)})
			call("resize", err)
		case name, ok := <-att.Signals:
			if !ok {
				att.Signals = nil
				continue
			}
			if sig := unix.SignalNum("SIG" + strings.TrimPrefix(name, "SIG")); sig != 0 {
				to.signal(sig)
			}
		}
	}
}

// streams makes the FIFOs between the shim and us.
func (e *Engine) streams(id string, att Attachment, stdin *finiteReader) cio.Creator {
	if att.Stdout == nil {
		att.Stdout = io.Discard
	}
	if att.Stderr == nil {
		att.Stderr = io.Discard
	}
	if !att.Terminal && sameWriter(att.Stdout, att.Stderr) {
		both := lines.Locked(att.Stdout)
		att.Stdout, att.Stderr = both, both
	}
	var in io.Reader
	if att.Stdin != nil {
		in = stdin
	}
	opts := []cio.Opt{cio.WithStreams(in, att.Stdout, att.Stderr), cio.WithFIFODir(e.state("io", id))}
	if att.Terminal {
		opts = append(opts, cio.WithTerminal)
	}
	return cio.NewCreator(opts...)
}

// sameWriter compares writers of whatever types.
func sameWriter(a, b io.Writer) bool {
	defer func() { recover() }() // types that cannot be compared are not the same
	return a == b
}

// finiteReader tells when its input has ended: the shim keeps the container's
// input open until it is told. The end of a terminal's input is typed instead,
// for a terminal that is closed hangs up on its program.
type finiteReader struct {
	r    io.Reader
	once sync.Once
	end  chan struct{}

	terminal bool
	gone     <-chan struct{} // closed when nobody reads any more
	typed    bool            // that it has ended
	midline  bool
}

// eot is what ^D types. In the middle of a line it ends the line, and another
// one the input.
const eot = 0x04

func (f *finiteReader) Read(p []byte) (int, error) {
	if f.typed {
		<-f.gone
		return 0, io.EOF
	}
	n, err := f.r.Read(p)
	if n > 0 {
		f.midline = p[n-1] != '\n' && p[n-1] != '\r'
	}
	switch {
	case err == nil:
		return n, nil
	case !f.terminal:
		f.once.Do(func() { close(f.end) })
		return n, err
	case n > 0:
		return n, nil // the next Read is told again
	}
	f.typed = true
	if f.midline && len(p) > 1 {
		p[0], p[1] = eot, eot
		return 2, nil
	}
	p[0] = eot
	return 1, nil
}

// envFile writes the program's environment and returns the mount that brings
// it in. It is removed with the container.
func (e *Engine) envFile(spec Spec, env []string) (specs.Mount, error) {
	var data strings.Builder
	for _, kv := range env {
		data.WriteString(kv)
		data.WriteByte(0)
	}
	name := e.state("e", spec.ID, "env")
	if err := os.WriteFile(name, []byte(data.String()), 0o400); err != nil {
		return specs.Mount{}, err
	}
	return bind(name, envPath, false), os.Chown(name, spec.UID, spec.UID)
}

func homeOf(uid int) string {
	if uid == 0 {
		return "/root"
	}
	return HomeDir
}
