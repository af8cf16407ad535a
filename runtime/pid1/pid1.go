// Package pid1 is the first process of every container: it waits for the command,
// runs it, writes its output to a rotated log file, forwards signals, reaps
// orphans and exits with the program's exit code.
//
//	listen on control.sock ──launch──▶ program runs ──ends──▶ drain its output
//	        │                         signals, orphans          kill what is left
//	        └─ nobody for 10 min ─▶ exit                        exit.json, exit
//
// It runs inside the container so that nothing outside can block the app or lose
// its output: berth and containerd may die, and if this process dies, the kernel
// ends the container, which berth handles like any other end.
//
// It knows nothing of the house but three things in its environment and file
// system: BERTH_CONTROL, the directory where it listens and leaves word (see
// control.go), BERTH_LOG, the name of its log file in /.berth/log, and the
// format of that file (package logline). There is one such process for each
// instance of each app, so it keeps itself small.
package pid1

import (
	"errors"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	name = "berth-init"

	defaultControl = "/.berth/control"
	logDir         = "/.berth/log"

	unlaunched = 10 * time.Minute // the house died between create and launch, and its next life made another container
	lastWords  = time.Second      // for output that others still write when the program has ended
	lastDrain  = 5 * time.Second  // for the rest, when nobody is left to write: only a stuck disk takes that long
	linger     = 30 * time.Second // for those whom the program has left behind when a signal ended it; the longest request we promise to finish
)

// Invoked tells whether this process was started as a container's first
// process. main asks before anything else.
func Invoked() bool {
	return len(os.Args) > 0 && filepath.Base(os.Args[0]) == name
}

// Main is the life of the first process. It returns its exit code.
func Main() int {
	stayModest()
	if os.Getpid() != 1 {
		// It kills every process it sees before it goes.
		complain(errors.New("not the first process of a container"))
		return 1
	}
	if len(os.Args) > 3 && os.Args[1] == ExecuteMerged {
		unix.Dup3(1, 2, 0)
		os.Args[1] = Execute
	}
	if len(os.Args) > 3 && os.Args[1] == Execute {
		return execute(os.Args[2], os.Args[3:])
	}
	code, err := run()
	if err != nil {
		complain(err)
	}
	return code
}

// stayModest bounds what the process takes: two goroutines that copy bytes
// need one processor and next to no heap.
func stayModest() {
	runtime.GOMAXPROCS(1)
	debug.SetGCPercent(20)
	debug.SetMemoryLimit(8 << 20)
	// What the container's runtime may have left open is not for the program.
	unix.CloseRange(3, uint(^uint32(0)), unix.CLOSE_RANGE_CLOEXEC)
}

func run() (code int, err error) {
	children := make(chan os.Signal, 1) // one stands for many
	signal.Notify(children, syscall.SIGCHLD)
	signals := make(chan os.Signal, 32)
	signal.Notify(signals, forwarded...)

	ctl, err := listen(controlDir())
	if err != nil {
		return 1, err
	}
	defer ctl.close()
	nobody := time.NewTimer(unlaunched)

	var app *program // nil until launched
	for {
		select {
		case req := <-ctl.requests:
			if app != nil {
				req.answer(0, errors.New("a program was launched already"))
				continue
			}
			app, err = ctl.launch(req)
			if err != nil {
				req.answer(0, err)
				continue
			}
			req.answer(app.pid, nil)
			nobody.Stop()
			debug.FreeOSMemory() // the request may have been large
		case <-children:
			if status, ended := reap(app); ended {
				return app.finish(ctl, status, children, signals)
			}
		case sig := <-signals:
			if app == nil {
				if sig == syscall.SIGTERM || sig == syscall.SIGINT || sig == syscall.SIGQUIT {
					return 128 + int(sig.(syscall.Signal)), nil
				}
				continue
			}
			app.forward(sig.(syscall.Signal))
		case <-nobody.C:
			return 0, errors.New("nobody launched a program")
		}
	}
}

func controlDir() string {
	if dir := os.Getenv("BERTH_CONTROL"); dir != "" {
		return dir
	}
	return defaultControl
}

// logName is the path of the log file, or "" when the output is not wanted. An
// absolute BERTH_LOG is taken as it is.
func logName() string {
	name := os.Getenv("BERTH_LOG")
	if name == "" || strings.HasPrefix(name, "/") {
		return name
	}
	return filepath.Join(logDir, filepath.Base(name))
}

// complain says what nobody asked for on the only stream there is; the shim keeps it.
func complain(err error) {
	os.Stderr.WriteString(name + ": " + err.Error() + "\n")
}
