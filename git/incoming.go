package git

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/berthd/berth/store/fault/code"
)

// The limits of a push in number.
const (
	// maxUpdates bounds the refs of one push: each is a file that is locked and
	// synced. Repositories with more are rare, and one branch of them deploys.
	maxUpdates = 2000

	// maxShallow bounds the commits at which a shallow clone ends. A clone with
	// --depth has one for each of its branches.
	maxShallow = 2000
)

// Incoming is a push whose objects have arrived: what it asks of which refs.
// Nothing is moved yet.
type Incoming struct {
	Repository
	Updates []Update

	wanted   *wanted
	surplus  int // updates above maxUpdates
	refs     *refTransaction
	shallow  *shallowFile
	accepted bool // refs lead to the objects from now on, whatever comes
}

// Lock sees to it that git has no reason left to refuse the push: the objects
// are those of commits where they have to be, their history is whole, and each
// ref is locked at the value that the pusher has seen. Until the push ends,
// only its own process can move them. A tag for a branch becomes the commit
// that it names. What the pusher can mend is a *Refusal.
func (in *Incoming) Lock(ctx context.Context) error {
	if in.surplus > 0 {
		return refusal(code.PushTooManyRefs, "this push changes %d refs; the limit is %d", len(in.Updates)+in.surplus, maxUpdates).
			hint("push only the branch to deploy: git push berth main")
	}
	shallow, sent := in.wanted.seen()
	if sent > len(in.Updates) {
		return refusal(code.PushRefRefused, "git rejects %d of the %d refs of this push, so none is changed", sent-len(in.Updates), sent).
			hint("the reason is shown for each of them below")
	}
	if err := in.peel(ctx); err != nil {
		return err
	}
	var tips []string
	for _, u := range in.Updates {
		if !u.Deletes() {
			tips = append(tips, u.New)
		}
	}
	err := in.shallow.cut(ctx, shallow, tips)
	if err == nil {
		in.refs, err = in.lockRefs(ctx, in.Updates)
	}
	return err
}

// peel makes sure that each branch gets a commit: of an annotated tag, the one
// that it names.
func (in *Incoming) peel(ctx context.Context) error {
	var ids []string
	var branches []*Update
	for i := range in.Updates {
		if u := &in.Updates[i]; u.Branch() != "" && !u.Deletes() {
			branches = append(branches, u)
			ids = append(ids, u.New)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	objects, err := in.objects(ctx)
	if err != nil {
		return err
	}
	defer objects.close()
	defer objects.ask("info", ids)()
	for _, u := range branches {
		kind, _, err := objects.header()
		if err != nil {
			return err
		}
		if kind == "commit" {
			continue
		}
		id, ok := "", false
		if kind == "tag" {
			if id, ok, err = in.Resolve(ctx, u.New); err != nil {
				return err
			}
		}
		if !ok {
			return refusal(code.PushNoCommit, "%s would be a %s, but a branch must be a commit", Printable(u.Branch(), 60), kind).
				hint("push a commit: git push berth HEAD:%s", Printable(u.Branch(), 60))
		}
		u.New, u.tag = id, u.New
	}
	return nil
}

// Accept moves the refs, once. Their commits are live already, so Accept works
// around obstacles where it can. Until Accept returns, nobody may move the
// repository: git has the locks by their path. An error has been written to
// out.
func (in *Incoming) Accept(ctx context.Context, out io.Writer) error {
	if in.accepted {
		return nil
	}
	if in.refs == nil {
		return errors.New("a push was accepted before its refs were locked")
	}
	in.accepted = true
	if err := in.shallow.keep(); err != nil {
		return in.undone(out, err)
	}
	err := in.refs.commit()
	if err == nil {
		return nil
	}
	if again := in.force(context.WithoutCancel(ctx), in.Updates); again != nil {
		return in.undone(out, errors.Join(err, again))
	}
	return nil
}

func (in *Incoming) undone(out io.Writer, err error) error {
	fmt.Fprint(out, "error: the push is accepted, but git could not update the refs\nhint:  push again\n")
	return fmt.Errorf("move the refs of a push that was accepted: %w", err)
}

// read reads what git says in the hook: the version of its protocol, then the
// updates (gitprotocol, "proc-receive"). receive-pack holds the same pipe open, so the end of
// the file only comes when the push is over and no hook ran. All is read, even
// what is too much: git writes until somebody has.
func (in *Incoming) read(asked io.Reader, answer io.Writer) error {
	lines := bufio.NewReader(asked)
	version, flush, err := readPacket(lines)
	if err != nil {
		return errNoUpdates
	}
	for !flush {
		if _, flush, err = readPacket(lines); err != nil {
			return errNoUpdates
		}
	}
	if !strings.HasPrefix(version, "version=1") {
		return fmt.Errorf("git's hook speaks %q", Printable(version, 80))
	}
	if err := writePackets(answer, "version=1"); err != nil {
		return err
	}
	for {
		line, flush, err := readPacket(lines)
		if err != nil {
			return errNoUpdates
		}
		if flush {
			return nil
		}
		fields := strings.SplitN(line, " ", 3)
		if len(fields) != 3 || checkID(fields[0]) != nil || checkID(fields[1]) != nil {
			return fmt.Errorf("unreadable update %q", Printable(line, 200))
		}
		if len(in.Updates) == maxUpdates {
			in.surplus++
			continue
		}
		in.Updates = append(in.Updates, Update{Old: fields[0], New: fields[1], Ref: fields[2]})
	}
}

// declined is what git's client shows behind each ref of a refused push. It
// is what git says when a hook refuses, which people and their tools know.
const declined = "pre-receive hook declined"

// answer tells git what became of the refs. When nothing is said of a ref, git
// itself calls it refused. A git that has been killed hears nothing, and what
// became of the refs stands.
func (in *Incoming) answer(w io.Writer, refused error) {
	lines := make([]string, 0, len(in.Updates))
	for _, u := range in.Updates {
		if refused != nil {
			lines = append(lines, "ng "+u.Ref+" "+declined)
			continue
		}
		lines = append(lines, "ok "+u.Ref)
		if u.tag != "" {
			lines = append(lines, "option new-oid "+u.New)
		}
	}
	_ = writePackets(w, lines...)
}

// wanted reads along what a client asks of receive-pack before the pack, and
// counts its commands. The commits at which a shallow clone ends are kept back:
// git refuses a hook the refs of such a push (it dies of "connectivity check
// skipped"). They are given to it in a file instead, by write, before it reads
// on. git is the judge of what makes no sense.
type wanted struct {
	io.Reader
	write func(shallow []string) error

	in, out []byte // what is no whole packet yet, and what git has not read yet
	err     error  // of Reader, for when out is empty
	over    bool   // the pack follows

	mu      sync.Mutex // guards what follows
	shallow []string
	refs    int
}

func (w *wanted) Read(p []byte) (int, error) {
	for len(w.out) == 0 {
		if w.err != nil {
			return 0, w.err
		}
		if w.over {
			return w.Reader.Read(p)
		}
		chunk := make([]byte, len(p))
		n, err := w.Reader.Read(chunk)
		w.in, w.err = append(w.in, chunk[:n]...), err
		w.parse()
		if w.err != nil {
			w.out, w.in = append(w.out, w.in...), nil
		}
	}
	n := copy(p, w.out)
	w.out = w.out[n:]
	return n, nil
}

// parse takes whole packets off in.
func (w *wanted) parse() {
	for !w.over {
		size, ok := packetSize(w.in)
		if !ok && len(w.in) < 4 || ok && len(w.in) < size {
			return // more is on its way
		}
		if !ok || size == 0 {
			w.over = true
			if err := w.write(w.shallow); err != nil {
				w.err, w.in = err, nil
				return
			}
			w.out, w.in = append(w.out, w.in...), nil
			return
		}
		packet := w.in[:size]
		w.in = w.in[size:]
		id, isShallow := strings.CutPrefix(strings.TrimSuffix(string(packet[4:]), "\n"), "shallow ")
		if !isShallow {
			w.out = append(w.out, packet...)
		}
		w.note(id, isShallow)
	}
}

func (w *wanted) note(id string, isShallow bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case !isShallow:
		w.refs++
	case len(w.shallow) <= maxShallow && checkID(id) == nil:
		w.shallow = append(w.shallow, id)
	}
}

func (w *wanted) seen() (shallow []string, refs int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.shallow, w.refs
}
