package sshd

import (
	"bytes"
	"errors"
	"io"
	"math"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/gliderlabs/ssh"
	gossh "golang.org/x/crypto/ssh"

	"github.com/berthd/berth/runtime"
)

// desk stands between a channel and gliderlabs/ssh. It lets through what the
// door offers, refuses what the library would nod at (agents, environment,
// subsystems), and takes sizes and signals itself: the library blocks the
// whole channel while nobody reads them.
type desk struct {
	gossh.NewChannel
	channel gossh.Channel
	resize  chan runtime.Size
	signals chan string
	closed  chan struct{} // when the client has closed the channel
	unread  atomic.Bool   // the client reads no more of the output
}

// Accept is called by the library.
func (d *desk) Accept() (gossh.Channel, <-chan *gossh.Request, error) {
	channel, in, err := d.NewChannel.Accept()
	if err != nil {
		return nil, nil, err
	}
	d.channel = channel
	out := make(chan *gossh.Request)
	go d.sort(in, out)
	return channel, out, nil
}

func (d *desk) sort(in <-chan *gossh.Request, out chan<- *gossh.Request) {
	defer close(out)
	defer close(d.closed)
	for req := range in {
		switch req.Type {
		case "exec", "shell", "pty-req":
			out <- req
		case "env":
			var kv struct{ Key, Value string }
			if gossh.Unmarshal(req.Payload, &kv) == nil && kv.Key == "GIT_PROTOCOL" && kv.Value == "version=2" {
				out <- req
			} else {
				req.Reply(false, nil)
			}
		case "window-change":
			var size struct{ Cols, Rows, Width, Height uint32 }
			if gossh.Unmarshal(req.Payload, &size) == nil {
				newest(d.resize, cells(int(size.Cols), int(size.Rows)))
			}
			req.Reply(true, nil)
		case "signal":
			var signal struct{ Name string }
			if gossh.Unmarshal(req.Payload, &signal) == nil {
				select {
				case d.signals <- signal.Name:
				default:
				}
			}
		case "eow@openssh.com": // the reader of the client's output has gone, as head does
			d.unread.Store(true)
		default:
			req.Reply(false, nil)
		}
	}
}

// ErrUnread says that nobody reads the command's output any longer.
var ErrUnread = errors.New("nobody reads the output any more")

// output is what a command writes to. It breaks as a pipe does when nobody reads
// it any more: otherwise yes would be written for ever.
type output struct {
	*desk
	w io.Writer
}

func (o output) Write(p []byte) (int, error) {
	if o.unread.Load() {
		return 0, ErrUnread
	}
	return o.w.Write(p)
}

// newest puts a size in the channel, over one that nobody has taken.
func newest(sizes chan runtime.Size, size runtime.Size) {
	for {
		select {
		case sizes <- size:
			return
		case <-sizes:
		}
	}
}

// cells is a size as a client gave it, made usable.
func cells(cols, rows int) runtime.Size {
	usable := func(n, otherwise int) uint16 {
		if n <= 0 || n > math.MaxInt16 {
			return uint16(otherwise)
		}
		return uint16(n)
	}
	return runtime.Size{Rows: usable(rows, 24), Cols: usable(cols, 80)}
}

// goodTerm is what a terminal's name may be: it goes into an environment.
var goodTerm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$`)

// request is the session as a Command sees it, but for user and words.
func (d *desk) request(session ssh.Session) Request {
	r := Request{
		RemoteAddr: session.RemoteAddr().String(),
		Stdin:      d.channel,
		Stdout:     output{d, d.channel},
		Stderr:     d.channel.Stderr(),
		Raw:        output{d, d.channel},
		Resize:     d.resize,
		Signals:    d.signals,
	}
	if pty, _, ok := session.Pty(); ok {
		r.Terminal = true
		r.Size = cells(pty.Window.Width, pty.Window.Height)
		r.Term = "xterm"
		if goodTerm.MatchString(pty.Term) {
			r.Term = pty.Term
		}
		out := &lines{w: r.Raw}
		r.Stdout, r.Stderr = out, out
	}
	return r
}

// lines gives each newline its carriage return: a client that asked for a
// terminal has put its own into raw mode.
type lines struct {
	mu sync.Mutex // Stdout and Stderr are one
	w  io.Writer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, err := l.w.Write(bytes.ReplaceAll(p, []byte("\n"), []byte("\r\n"))); err != nil {
		return 0, err
	}
	return len(p), nil
}

// gitCommand tells a git service from a command of berth. The app's name is
// what the client wrote, without what is only spelling.
func gitCommand(args []string) (service, app string, ok bool) {
	if len(args) > 0 && args[0] == "git" {
		args = args[1:]
	} else if len(args) > 0 {
		first, found := strings.CutPrefix(args[0], "git-")
		if !found {
			return "", "", false
		}
		args = append([]string{first}, args[1:]...)
	}
	if len(args) != 2 || !slices.Contains([]string{"receive-pack", "upload-pack"}, args[0]) {
		return "", "", false
	}
	app = strings.TrimPrefix(args[1], "~")
	app = strings.Trim(app, "/")
	app = strings.TrimSuffix(app, ".git")
	return args[0], app, true
}

// gitProtocol is the value of GIT_PROTOCOL; the desk lets one value pass.
func gitProtocol(environ []string) string {
	for _, kv := range environ {
		if value, ok := strings.CutPrefix(kv, "GIT_PROTOCOL="); ok {
			return value
		}
	}
	return ""
}
