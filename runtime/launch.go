package runtime

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/berthd/berth/runtime/internal/outage"
	"github.com/berthd/berth/runtime/pid1"
	"github.com/containerd/containerd/api/services/tasks/v1"
	"golang.org/x/sys/unix"
)

// Exit is how a process ended.
type Exit struct {
	Code   int       // exit code; 128+signal when a signal ended it
	Signal int       // 0 when none
	At     time.Time // zero when not known
	Lost   bool      // the container vanished without a word (its shim or the machine died)

	// OOM is set when a process was killed for the memory limit: the one whose
	// end this is, or one of its children at any time before.
	OOM         bool
	MemoryLimit int64 // in bytes; 0 when not known
}

// Launch starts the container's program, once. Its environment reaches the
// first process through the control socket: containerd never sees it, and it
// is written nowhere.
func (c *Container) Launch(ctx context.Context, cmd Command) error {
	dir := cmd.Dir
	if dir == "" {
		dir = homeOf(c.uid)
	}
	answer, err := c.ask(ctx, pid1.Request{
		Args: cmd.Args,
		Env:  environment(c.uid, caBundle, cmd.Env),
		Dir:  dir,
		UID:  c.uid,
		GID:  c.uid,
	})
	if err == nil && answer.Error != "" {
		err = errors.New(answer.Error)
	}
	if err != nil {
		return fmt.Errorf("launch in container %s: %w", c.ID, err)
	}
	return nil
}

// connect connects to the first process's control socket.
func (c *Container) connect(ctx context.Context) (net.Conn, error) {
	// A socket's path has at most 107 bytes; through a descriptor of its
	// directory it always has few.
	dir, err := unix.Open(c.control(""), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("control directory: %w", err)
	}
	defer unix.Close(dir)
	var d net.Dialer
	return d.DialContext(ctx, "unix", fmt.Sprintf("/proc/self/fd/%d/control.sock", dir))
}

// ask sends one request to the first process.
func (c *Container) ask(ctx context.Context, req pid1.Request) (pid1.Answer, error) {
	conn, err := c.connect(ctx)
	if err != nil {
		return pid1.Answer{}, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	var answer pid1.Answer
	if err := json.NewEncoder(conn).Encode(req); err != nil {
		return answer, err
	}
	line, err := bufio.NewReader(conn).ReadBytes('\n')
	if err != nil {
		return answer, errors.Join(err, ctx.Err())
	}
	return answer, json.Unmarshal(line, &answer)
}

// Launched tells whether Launch has been called, by us or by an earlier life of ours.
func (c *Container) Launched() bool {
	_, err := os.Stat(c.control("launched"))
	return err == nil
}

// Done is closed when the container's first process has ended. It needs no
// containerd to notice.
func (c *Container) Done() <-chan struct{} { return c.done }

// Exit returns how the program ended; valid once Done is closed. The first
// process leaves word of it; when it was killed itself, containerd knows; when
// neither does, the container is lost.
func (c *Container) Exit(ctx context.Context) Exit {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.exit != nil {
		return *c.exit
	}
	exit := Exit{Code: 137, Signal: int(unix.SIGKILL), Lost: true}
	known := true
	if word, err := c.lastWord(); err == nil {
		exit = Exit{Code: word.Code, Signal: word.Signal, At: word.At}
	} else if code, at, err := c.engine.taskExit(ctx, c.ID); err == nil {
		exit = exitOf(code, at)
	} else if !errors.Is(err, outage.ErrGone) {
		known = false // containerd may say more another time
	}
	exit.OOM, exit.MemoryLimit = c.oomKills.Load() > 0, c.oomLimit.Load()
	if known {
		c.exit = &exit
	}
	return exit
}

func (c *Container) lastWord() (pid1.Exit, error) {
	var word pid1.Exit
	data, err := os.ReadFile(c.control("exit.json"))
	if err != nil {
		return word, err
	}
	return word, json.Unmarshal(data, &word)
}

// exitOf reads a shell's kind of exit code.
func exitOf(code int, at time.Time) Exit {
	exit := Exit{Code: code, At: at}
	if code > 128 && code <= 128+64 {
		exit.Signal = code - 128
	}
	return exit
}

// taskExit waits for the end of a container's OCI process and returns its exit
// code as containerd has it. A task that containerd does not know is outage.ErrGone.
func (e *Engine) taskExit(ctx context.Context, id string) (code int, at time.Time, err error) {
	err = outage.RetryGone(ctx, func() error {
		resp, err := e.client.TaskService().Wait(ctx, &tasks.WaitRequest{ContainerID: id})
		if err == nil {
			code, at = int(resp.ExitStatus), resp.ExitedAt.AsTime()
		}
		return err
	})
	return code, at, err
}

// Dial opens a connection to a port inside the container's network namespace.
// The host is 127.0.0.1, ::1 or the bridge address, as Listening found it.
func (c *Container) Dial(ctx context.Context, addr string) (net.Conn, error) {
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, fmt.Errorf("dial into container %s: %w", c.ID, err)
	}
	switch to.Addr() {
	case netip.IPv4Unspecified():
		to = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), to.Port())
	case netip.IPv6Unspecified():
		to = netip.AddrPortFrom(netip.IPv6Loopback(), to.Port())
	}
	ns, err := c.netns()
	if err != nil {
		return nil, fmt.Errorf("dial into container %s: %w", c.ID, err)
	}
	return c.engine.net.dial(ctx, ns, to)
}

// Listening returns the TCP addresses that processes of the container listen
// on, found in its network namespace: "127.0.0.1:5000", "0.0.0.0:8000", "[::]:3000".
// Dial accepts each of them as it is.
func (c *Container) Listening() ([]string, error) {
	found, err := c.listening()
	if err != nil {
		return nil, fmt.Errorf("listening sockets of container %s: %w", c.ID, err)
	}
	list := make([]string, 0, len(found))
	for _, a := range found {
		list = append(list, a.String())
	}
	slices.Sort(list)
	return slices.Compact(list), nil
}

func (c *Container) listening() ([]netip.AddrPort, error) {
	ns, err := c.netns()
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock() // the socket takes one question at a time
	if c.diag == nil && !c.released {
		if c.diag, err = c.engine.net.diagSocket(ns); err != nil {
			return procListeners(c.pid)
		}
	}
	found, err := listeners(c.diag)
	if errors.Is(err, unix.ENOENT) { // no handler: the kernel has sock_diag, but not for TCP
		return procListeners(c.pid)
	}
	return found, err
}

// netns returns the container's network namespace.
func (c *Container) netns() (*os.File, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.released {
		return nil, os.ErrClosed
	}
	if c.ns == nil {
		f, err := os.Open(c.engine.net.path(c.ID))
		if err != nil {
			return nil, err
		}
		c.ns = f
	}
	return c.ns, nil
}
