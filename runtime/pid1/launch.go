package pid1

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	// oomMargin is by how much sooner the kernel takes the program than us when
	// memory runs out, in thousandths of the container's limit: we are needed to
	// tell of it, and our end is the program's. It is all that there are. The
	// kernel counts the pages of our file against us as well, which the limit does
	// not: with a tenth, under a limit of 96 MB, it took us and so the whole app,
	// where a child of the program had eaten the memory.
	//
	// When the machine itself runs out, apps go before what they run on.
	oomMargin = 1000
	oomFile   = "/proc/self/oom_score_adj"
	oomMax    = 1000
)

// start runs the program with its output going to the log file; "" is none.
func start(req Request, logName string) (*program, error) {
	if len(req.Args) == 0 || req.Args[0] == "" {
		return nil, errors.New("no program to run")
	}
	var log *logFile
	if logName != "" {
		var err error
		if log, err = openLog(logName); err != nil {
			return nil, fmt.Errorf("open the log: %w", err)
		}
	}
	out, err := newOutput()
	if err != nil {
		if log != nil {
			log.close()
		}
		return nil, fmt.Errorf("make pipes: %w", err)
	}

	type result struct {
		pid int
		err error
	}
	started := make(chan result)
	go func() {
		// Capabilities and the identity for file access belong to a thread. This
		// one gives them up, and ends with its goroutine as it is never unlocked.
		runtime.LockOSThread()
		pid, err := spawn(req, out)
		started <- result{pid, err}
	}()
	r := <-started
	out.closeWriters()
	if r.err != nil {
		out.closeReaders()
		if log != nil {
			log.close()
		}
		return nil, r.err
	}
	return &program{
		pid:    r.pid,
		log:    newLogger(log, out.stdout, out.stderr),
		passed: make(map[syscall.Signal]bool),
	}, nil
}

// output is the pair of pipes between the program and the logger.
type output struct {
	stdout, stderr *os.File // the ends to read
	writers        [2]int
}

func newOutput() (*output, error) {
	var p [2][2]int
	for i := range p {
		if err := unix.Pipe2(p[i][:], unix.O_CLOEXEC); err != nil {
			if i == 1 {
				unix.Close(p[0][0])
				unix.Close(p[0][1])
			}
			return nil, err
		}
		unix.SetNonblock(p[i][0], true) // for read deadlines; the program's end blocks as programs expect
		// The program may open its output again by /dev/stdout, for which its user
		// needs the right to write.
		unix.Fchmod(p[i][1], 0o622)
	}
	return &output{
		stdout:  os.NewFile(uintptr(p[0][0]), "stdout"),
		stderr:  os.NewFile(uintptr(p[1][0]), "stderr"),
		writers: [2]int{p[0][1], p[1][1]},
	}, nil
}

func (o *output) closeWriters() {
	unix.Close(o.writers[0])
	unix.Close(o.writers[1])
}

func (o *output) closeReaders() {
	o.stdout.Close()
	o.stderr.Close()
}

// spawn starts the program as a child of this thread, with nothing of ours but
// its three streams.
func spawn(req Request, out *output) (pid int, err error) {
	if req.UID != 0 {
		// A program that runs as root is the engine's own (it builds layers), and
		// has the capabilities that the engine gave the container.
		if err := dropCapabilities(); err != nil {
			return 0, err
		}
	}
	dir := req.Dir
	if dir == "" {
		dir = "/"
	}
	env := dedupe(req.Env)
	path, err := lookUp(req.Args[0], dir, env, req.UID, req.GID)
	if err != nil {
		return 0, err
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return 0, err
	}
	defer null.Close()

	defer raiseOOM()()
	pid, err = syscall.ForkExec(path, req.Args, &syscall.ProcAttr{
		Dir:   dir,
		Env:   env,
		Files: []uintptr{null.Fd(), uintptr(out.writers[0]), uintptr(out.writers[1])},
		Sys: &syscall.SysProcAttr{
			Setsid:     true,
			Credential: &syscall.Credential{Uid: uint32(req.UID), Gid: uint32(req.GID)},
		},
	})
	if err != nil {
		return 0, fmt.Errorf("start %s: %w", path, explain(path, err))
	}
	return pid, nil
}

// dropCapabilities empties this thread's bounding and inheritable sets, so that
// nothing the program executes can ever gain a capability. The permitted ones
// go with the change of user.
func dropCapabilities() error {
	for c := uintptr(0); ; c++ {
		has, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, c, 0, 0, 0)
		if err != nil {
			break // beyond the kernel's last one
		}
		if has == 0 {
			continue
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil {
			return fmt.Errorf("drop capability %d: %w", c, err)
		}
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	if err := unix.Capget(&header, &sets[0]); err != nil {
		return fmt.Errorf("read capabilities: %w", err)
	}
	sets[0].Inheritable, sets[1].Inheritable = 0, 0
	if err := unix.Capset(&header, &sets[0]); err != nil {
		return fmt.Errorf("drop inheritable capabilities: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("set no_new_privs: %w", err)
	}
	return nil
}

// dedupe keeps the last entry for each key, in the order of the first ones:
// of two, some programs would take one and some the other.
func dedupe(env []string) []string {
	at := make(map[string]int, len(env))
	var out []string
	for _, kv := range env {
		key, _, _ := strings.Cut(kv, "=")
		if i, seen := at[key]; seen {
			out[i] = kv
			continue
		}
		at[key] = len(out)
		out = append(out, kv)
	}
	return out
}

// raiseOOM makes this process, and thereby the child it is about to have, a
// better victim for the kernel's OOM killer, and returns the way back. Only the
// raise is always allowed. The way back is for a process whose score was set
// from outside; where it is refused, both are equal, as they would have been.
// Once the child has changed its user, its file is no longer ours to write.
func raiseOOM() (back func()) {
	old, err := os.ReadFile(oomFile)
	if err != nil {
		return func() {}
	}
	score, err := strconv.Atoi(strings.TrimSpace(string(old)))
	if err != nil {
		return func() {}
	}
	os.WriteFile(oomFile, []byte(strconv.Itoa(min(score+oomMargin, oomMax))), 0)
	return func() { os.WriteFile(oomFile, old, 0) }
}
