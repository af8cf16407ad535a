package pid1

import (
	"os"
	"syscall"
	"time"
)

// program is what runs in the container, and all that came from it.
type program struct {
	pid    int // its process group and session, too
	log    *logger
	passed map[syscall.Signal]bool // signals it was sent
}

// forwarded are the signals that are passed on: all that a person or a program
// sends on purpose. Those that speak of an error of the receiver's own are not.
var forwarded = []os.Signal{
	syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGHUP,
	syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGALRM, syscall.SIGIO, syscall.SIGPWR,
	syscall.SIGWINCH, syscall.SIGCONT, syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU,
}

// forward passes a signal on to the program's first process alone, as tini
// does. dumb-init sends it to the whole process group, which ends the work of
// servers that manage processes of their own: a Celery worker loses its tasks
// to a TERM that only its master should get, a gunicorn worker dies of a HUP
// that means "reload" to its master.
//
// What dumb-init is right about is a shell that started the server as its
// child: it dies of the TERM at once and the server never hears of it. That
// case shows itself: the first process is ended by the very signal it was
// sent, so it had no plan for it. finish then tells those it left behind.
func (p *program) forward(sig syscall.Signal) {
	p.passed[sig] = true
	syscall.Kill(p.pid, sig)
}

// reap waits for all children that have ended, orphans that have become ours
// included, and tells whether the program's first process was among them.
func reap(p *program) (status syscall.WaitStatus, ended bool) {
	for {
		var ws syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &ws, syscall.WNOHANG, nil)
		if err == syscall.EINTR {
			continue
		}
		if pid <= 0 {
			return status, ended
		}
		if p != nil && pid == p.pid {
			status, ended = ws, true
		}
	}
}

// finish sees the container to its end after the program's first process has
// ended: it lets the others finish where they may, saves their last words,
// kills the rest and leaves word of how the program ended.
func (p *program) finish(ctl *control, status syscall.WaitStatus, children, signals <-chan os.Signal) (code int, err error) {
	exit := Exit{Code: status.ExitStatus(), At: time.Now().UTC()}
	if status.Signaled() {
		exit.Signal = int(status.Signal())
		exit.Code = 128 + exit.Signal
		if p.passed[status.Signal()] {
			p.endGroup(children, signals)
		}
	}
	wait(p.log.done(), lastWords)
	syscall.Kill(-1, syscall.SIGKILL) // all but ourselves
	wait(p.log.done(), lastDrain)
	return exit.Code, ctl.leave(exit)
}

// endGroup asks those whom the program has left behind to end too, and waits
// for them. What signals come meanwhile are theirs.
func (p *program) endGroup(children, signals <-chan os.Signal) {
	late := time.NewTimer(linger)
	defer late.Stop()
	sig := syscall.SIGTERM
	for syscall.Kill(-p.pid, sig) == nil { // there is somebody
		sig = 0
		select {
		case <-children: // their parent is dead, so they are ours to wait for
			reap(nil)
		case s := <-signals:
			sig = s.(syscall.Signal)
		case <-late.C:
			return
		}
	}
}

func wait(done <-chan struct{}, limit time.Duration) {
	late := time.NewTimer(limit)
	defer late.Stop()
	select {
	case <-done:
	case <-late.C:
	}
}
