package git

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
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

// ErrUnanswered is a push that broke off before its updates could be decided
// on, mostly because the connection dropped.
var ErrUnanswered = errors.New("the push ended before it was decided on")

// hookName is the hook that git asks once it has checked a push and put its
// objects in place. Git leaves the refs to this hook (see config).
const hookName = "proc-receive"

// hook is that hook in every repository. It holds no decision: it carries what
// git says to the process that started receive-pack (descriptor 3), that
// process's answer back (5), and its text to the pusher (4). Text and answer
// have a pipe each, so nothing that is said can pass for an answer; no answer
// is a refusal.
//
// The end of the answer ends the hook. git keeps the hook's input open until
// then, so a hook that waited for the end of its input would stay for ever, and
// receive-pack with it, once berth has been killed.
const hook = `#!/bin/sh
# Written by berth; changes are overwritten.
if [ "$BERTH_RECEIVE" != 1 ]; then
	echo "error: push to berth, not into its directory" >&2
	exit 1
fi
cat <&4 >&2 &
exec 6<&0
cat <&6 >&3 &
updates=$!
cat <&5
kill $updates 2>/dev/null
wait
`

var errNoUpdates = errors.New("no updates")

// Update is one ref that a push asks to change.
type Update struct {
	Old, New string // object ids; all zeros for none
	Ref      string

	tag string // the tag that was pushed where New is its commit
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

// IsTag tells whether the update is one of a tag.
func (u Update) IsTag() bool { return strings.HasPrefix(u.Ref, "refs/tags/") }

// Receive runs receive-pack on the streams. decide is called once, when git has
// checked everything that it checks of a push but the locks on its refs, with
// the push and a writer whose text reaches the pusher as it is written. Its
// error refuses the whole push (it must have been written to out already) and
// is returned; the objects of a refused push are removed. When decide returns
// nil, the refs are moved, unless it has had that done itself (Accept): whoever
// may move the repository then does it while nobody can. A push that broke off
// before is ErrUnanswered; one that asked for nothing, or whose objects git
// refused and said so, is nil.
//
// A dropped connection is an end of stdin and a stdout that fails: before
// decide it ends the push, and after that it changes nothing. So whoever wants
// a build to survive its pusher passes a ctx that is not the connection's.
// Cancelling ctx kills git; Receive still waits for decide, which gets the
// same ctx. stdin may be read from until it ends, even after Receive returned.
func (r Repository) Receive(ctx context.Context, stdin io.Reader, stdout, stderr io.Writer, protocol string,
	decide func(ctx context.Context, in *Incoming, out io.Writer) error) error {

	ctx, kill := context.WithCancelCause(ctx)
	defer kill(nil)

	var pipes pipes
	defer pipes.close()
	asked, hookAsks := pipes.open()
	hookHears, text := pipes.open()
	hookAnswers, answer := pipes.open()
	if pipes.err != nil {
		return fmt.Errorf("receive-pack: %w", pipes.err)
	}
	arrival, err := r.arrive()
	if err != nil {
		return fmt.Errorf("receive-pack: %w", err)
	}
	defer arrival.dir.Close()
	shallow, err := r.shallowFile(arrival.dir)
	if err != nil {
		return fmt.Errorf("receive-pack: %w", err)
	}
	defer shallow.remove()

	cmd := r.command(ctx, "receive-pack", r.Path)
	cmd.Env = append(cmd.Env, "BERTH_RECEIVE=1", shallow.env())
	cmd.Env = append(cmd.Env, protocolEnv(protocol)...)
	cmd.ExtraFiles = []*os.File{hookAsks, hookHears, hookAnswers}
	cmd.Stdout = &audience{to: stdout}
	cmd.Stderr = &audience{to: stderr}
	to, err := cmd.StdinPipe()
	if err != nil {
		return fmt.Errorf("receive-pack: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("receive-pack: %w", err)
	}
	hookAsks.Close()
	hookHears.Close()
	hookAnswers.Close()

	idle := time.AfterFunc(receiveIdle, func() {
		kill(fmt.Errorf("nothing came in for %v", receiveIdle))
	})
	wanted := &wanted{Reader: stdin, write: shallow.write}
	go func() { // ends with stdin, which is the caller's
		io.Copy(to, &watched{Reader: wanted, timer: idle})
		to.Close()
	}()

	in := &Incoming{Repository: r, wanted: wanted, shallow: shallow}
	decision := make(chan error, 1)
	go func() {
		decision <- func() error {
			defer answer.Close()
			defer text.Close() // the hook ends once both are closed
			if err := in.read(asked, answer); err != nil {
				return err
			}
			idle.Stop()
			out := &progress{file: text}
			err := decide(ctx, in, out)
			if err == nil {
				err = in.Accept(ctx, out)
			}
			in.refs.abort()
			in.answer(answer, err)
			return err
		}()
	}()

	err = cmd.Wait()
	idle.Stop()
	decided := <-decision
	if left := arrival.end(in.accepted); left != nil && !in.accepted {
		decided = errors.Join(decided, fmt.Errorf("remove the objects of a refused push: %w", left))
	}
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

// audience is a stream to a client that may leave, or stop reading: git must
// not notice, or it would die of a broken pipe, or wait for ever, between a
// deploy and the ref that records it. Whoever takes nothing for lastBytes has
// left. It has one writer.
type audience struct {
	to   io.Writer
	gone bool
}

func (a *audience) Write(p []byte) (int, error) {
	if a.gone {
		return len(p), nil
	}
	written := make(chan error, 1)
	text := slices.Clone(p) // the writing may go on after this has returned
	go func() {
		_, err := a.to.Write(text)
		written <- err
	}()
	stalled := time.NewTimer(lastBytes)
	defer stalled.Stop()
	select {
	case err := <-written:
		a.gone = err != nil
	case <-stalled.C:
		a.gone = true
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
