package git

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// The limits of a push in time.
const (
	// receiveIdle is how long a push may send nothing before its updates are
	// in. It is long because the pusher's own pre-push hook runs meanwhile.
	receiveIdle = 10 * time.Minute

	// textStall is how long the pusher may refuse to take a line of progress;
	// after that the work goes on without an audience.
	textStall = 30 * time.Second
)

// maxUpdates bounds the refs of one push.
const maxUpdates = 10_000

// ErrUnanswered is a push that broke off before its updates could be decided
// on, mostly because the connection dropped.
var ErrUnanswered = errors.New("the push ended before it was decided on")

// hook is the pre-receive hook of every repository. It holds no decision: it
// hands the updates to the process that started receive-pack (descriptor 3),
// lets that process speak to the pusher (4), and exits with its verdict (5).
// Text and verdict have a pipe each, so nothing that is said can pass for a
// verdict; no verdict is a refusal.
const hook = `#!/bin/sh
# Written by berth; changes are overwritten.
if [ "$BERTH_RECEIVE" != 1 ]; then
	echo "error: push through berth, not into its directory" >&2
	exit 1
fi
{
	printf '%s\n' "$GIT_QUARANTINE_PATH"
	while IFS= read -r update; do printf '%s\n' "$update"; done
	echo
} >&3
cat <&4 >&2
read -r verdict <&5
case $verdict in
accept) exit 0 ;;
refuse) exit 1 ;;
esac
echo "error: berth stopped before it had decided on this push" >&2
echo "hint:  push again when it is back" >&2
exit 1
`

// Update is one ref that a push asks to change.
type Update struct {
	Old, New string // object ids; all zeros for none
	Ref      string
}

// Deletes tells whether the update removes the ref.
func (u Update) Deletes() bool { return strings.Trim(u.New, "0") == "" }

// Branch returns the name of the branch that the update changes; "" when the
// ref is none.
func (u Update) Branch() string {
	if name, ok := strings.CutPrefix(u.Ref, "refs/heads/"); ok {
		return name
	}
	return ""
}

// Receive runs receive-pack on the streams. decide is called once, while the
// pre-receive hook waits, with the updates and a Repository that sees the
// quarantined objects; what it writes to out reaches the pusher as it is
// written, and its error refuses the whole push (it must have been written to
// out already) and is returned. A push that broke off before is ErrUnanswered;
// one that asked for nothing, or whose objects git refused and said so, is nil.
//
// A dropped connection is an end of stdin and a stdout that fails: before
// decide it ends the push, and after that it changes nothing. So whoever wants
// a build to survive its pusher passes a ctx that is not the connection's.
// Cancelling ctx kills git; Receive still waits for decide, which gets the
// same ctx. stdin may be read from until it ends, even after Receive returned.
func (r Repository) Receive(ctx context.Context, stdin io.Reader, stdout, stderr io.Writer, protocol string,
	decide func(ctx context.Context, quarantined Repository, updates []Update, out io.Writer) error) error {

	ctx, kill := context.WithCancelCause(ctx)
	defer kill(nil)

	var pipes pipes
	defer pipes.close()
	asked, hookAsks := pipes.open()
	hookHears, text := pipes.open()
	hookObeys, verdict := pipes.open()
	if pipes.err != nil {
		return fmt.Errorf("receive-pack: %w", pipes.err)
	}

	cmd := r.command(ctx, "receive-pack", r.Path)
	cmd.Env = append(cmd.Env, "BERTH_RECEIVE=1")
	cmd.Env = append(cmd.Env, protocolEnv(protocol)...)
	cmd.ExtraFiles = []*os.File{hookAsks, hookHears, hookObeys}
	cmd.Stdout = &audience{Writer: stdout}
	cmd.Stderr = &audience{Writer: stderr}
	in, err := cmd.StdinPipe()
	if err != nil {
		return fmt.Errorf("receive-pack: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("receive-pack: %w", err)
	}
	hookAsks.Close()
	hookHears.Close()
	hookObeys.Close()

	idle := time.AfterFunc(receiveIdle, func() {
		kill(fmt.Errorf("nothing came in for %v", receiveIdle))
	})
	go func() { // ends with stdin, which is the caller's
		io.Copy(in, &watched{Reader: stdin, timer: idle})
		in.Close()
	}()

	decision := make(chan error, 1)
	go func() {
		err := func() error {
			updates, quarantined, err := r.readUpdates(asked)
			if err != nil {
				return err
			}
			idle.Stop()
			return decide(ctx, quarantined, updates, &progress{file: text})
		}()
		text.Close() // the hook's cat ends, and it goes on to the verdict
		word := "accept\n"
		if err != nil {
			word = "refuse\n"
		}
		verdict.WriteString(word)
		verdict.Close()
		decision <- err
	}()

	err = cmd.Wait()
	idle.Stop()
	decided := <-decision
	switch {
	case err != nil && context.Cause(ctx) != nil:
		return failed(ctx, "receive-pack", err, "")
	case errors.Is(decided, errNoUpdates) && err == nil:
		return nil // everything was up to date, or a push --dry-run
	case errors.Is(decided, errNoUpdates):
		return fmt.Errorf("receive-pack: %w: %w", ErrUnanswered, err)
	case decided != nil:
		return decided
	case err != nil:
		return failed(ctx, "receive-pack", err, "")
	}
	return nil
}

var errNoUpdates = errors.New("no updates")

// readUpdates reads what the hook says: the path of the quarantine, a line per
// update, an empty line. receive-pack holds the same pipe open, so the end of
// the file only comes when the push is over and no hook ran.
func (r Repository) readUpdates(asked io.Reader) ([]Update, Repository, error) {
	lines := bufio.NewReader(asked)
	quarantine, err := lines.ReadString('\n')
	if err != nil {
		return nil, Repository{}, errNoUpdates
	}
	quarantined := r
	if quarantine = strings.TrimSuffix(quarantine, "\n"); quarantine != "" {
		objects := filepath.Join(r.Path, "objects")
		if filepath.Dir(quarantine) != objects && !sameDir(filepath.Dir(quarantine), objects) {
			return nil, Repository{}, fmt.Errorf("quarantine %q lies outside the repository", quarantine)
		}
		quarantined.Env = append(slices.Clone(r.Env),
			"GIT_QUARANTINE_PATH="+quarantine, // git refuses to move refs while it is set
			"GIT_OBJECT_DIRECTORY="+quarantine,
			"GIT_ALTERNATE_OBJECT_DIRECTORIES="+objects)
	}
	var updates []Update
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return nil, Repository{}, errNoUpdates
		}
		if line == "\n" {
			return updates, quarantined, nil
		}
		if len(updates) == maxUpdates {
			return nil, Repository{}, fmt.Errorf("more than %d refs in one push", maxUpdates)
		}
		fields := strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 3)
		if len(fields) != 3 || checkID(fields[0]) != nil || checkID(fields[1]) != nil {
			return nil, Repository{}, fmt.Errorf("unreadable update %q", line)
		}
		updates = append(updates, Update{Old: fields[0], New: fields[1], Ref: fields[2]})
	}
}

func sameDir(a, b string) bool {
	left, err := os.Stat(a)
	if err != nil {
		return false
	}
	right, err := os.Stat(b)
	return err == nil && os.SameFile(left, right)
}

// protocolEnv passes on the one value of GIT_PROTOCOL that berth speaks.
func protocolEnv(protocol string) []string {
	if protocol == "version=2" {
		return []string{"GIT_PROTOCOL=version=2"}
	}
	return nil
}

// pipes opens pipes and closes both ends of all of them.
type pipes struct {
	files []*os.File
	err   error
}

func (p *pipes) open() (read, write *os.File) {
	if p.err != nil {
		return nil, nil
	}
	read, write, p.err = os.Pipe()
	if p.err == nil {
		p.files = append(p.files, read, write)
	}
	return read, write
}

func (p *pipes) close() {
	for _, f := range p.files {
		f.Close()
	}
}

// audience is a stream to a client that may leave: git must not notice, or it
// would die of a broken pipe between a deploy and the ref that records it.
type audience struct {
	io.Writer
	gone atomic.Bool
}

func (a *audience) Write(p []byte) (int, error) {
	if !a.gone.Load() {
		if _, err := a.Writer.Write(p); err != nil {
			a.gone.Store(true)
		}
	}
	return len(p), nil
}

// progress is the pipe of text to the hook. A pusher that reads nothing holds
// up nobody for longer than textStall. The file is not embedded: its other ways
// to write would go past the deadline's being set anew.
type progress struct {
	file *os.File
	gone atomic.Bool
}

func (p *progress) Write(text []byte) (int, error) {
	if !p.gone.Load() {
		p.file.SetWriteDeadline(time.Now().Add(textStall))
		if _, err := p.file.Write(text); err != nil {
			p.gone.Store(true)
		}
	}
	return len(text), nil
}

// watched pushes a timer back with everything that is read.
type watched struct {
	io.Reader
	timer *time.Timer
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.Reader.Read(p)
	// Stop tells whether the timer still ran; a stopped one stays stopped.
	if w.timer.Stop() && err == nil {
		w.timer.Reset(receiveIdle)
	}
	return n, err
}
