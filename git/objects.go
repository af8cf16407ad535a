package git

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
)

// objects is a running git cat-file, asked for objects by id. One process
// serves a whole tree; starting one takes 2 ms, an object some microseconds.
type objects struct {
	ctx    context.Context
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	stderr bytes.Buffer
	cancel context.CancelFunc
}

// objects starts cat-file. The caller closes it.
func (r Repository) objects(ctx context.Context) (*objects, error) {
	ctx, cancel := context.WithCancel(ctx)
	o := &objects{ctx: ctx, cancel: cancel}
	// --buffer: it writes when its buffer is full or it is told to flush, not
	// once or twice for every object.
	o.cmd = r.command(ctx, "cat-file", "--batch-command", "--buffer")
	o.cmd.Stderr = &o.stderr
	var err error
	if o.in, err = o.cmd.StdinPipe(); err == nil {
		var out io.ReadCloser
		if out, err = o.cmd.StdoutPipe(); err == nil {
			o.out = bufio.NewReaderSize(out, 64<<10)
			err = o.cmd.Start()
		}
	}
	if err != nil {
		cancel()
		return nil, fmt.Errorf("git cat-file: %w", err)
	}
	return o, nil
}

// close ends the process. It may be in the middle of an answer that nobody
// wants any more.
func (o *objects) close() {
	o.in.Close()
	o.cancel()
	o.cmd.Wait()
}

// ask sends a request ("info" or "contents") for each id, while the answers
// are being read. It returns a function that waits for the last one to be sent.
func (o *objects) ask(what string, ids []string) (sent func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		w := bufio.NewWriterSize(o.in, 64<<10)
		for _, id := range ids {
			w.WriteString(what + " " + id + "\n")
		}
		w.WriteString("flush\n")
		w.Flush() // when it fails, so does reading the answer, which says more
	}()
	return func() { <-done }
}

// errMissing is an object that the repository does not have.
var errMissing = errors.New("no such object")

// header reads the first line of an answer.
func (o *objects) header() (kind string, size int64, err error) {
	line, err := o.out.ReadString('\n')
	if err != nil {
		o.cancel()
		o.cmd.Wait() // stderr is whole only now
		return "", 0, failed(context.Background(), "cat-file", err, o.stderr.String())
	}
	fields := strings.Fields(line)
	if len(fields) == 2 && fields[1] == "missing" {
		return "", 0, fmt.Errorf("object %s: %w", fields[0], errMissing)
	}
	if len(fields) != 3 {
		return "", 0, fmt.Errorf("git cat-file answered %q", line)
	}
	size, err = strconv.ParseInt(fields[2], 10, 64)
	return fields[1], size, err
}

// content reads the answer to one "contents", which must be of the kind and no
// larger than max.
func (o *objects) content(kind string, max int64) ([]byte, error) {
	have, size, err := o.header()
	if err != nil {
		return nil, err
	}
	if have != kind {
		return nil, fmt.Errorf("the object is a %s, not a %s", have, kind)
	}
	if size > max {
		return nil, fmt.Errorf("a %s of %d bytes is over the limit of %d", kind, size, max)
	}
	data := make([]byte, size)
	if _, err := io.ReadFull(o.out, data); err != nil {
		return nil, fmt.Errorf("git cat-file: %w", err)
	}
	return data, o.endOfAnswer()
}

// endOfAnswer reads the newline after an object's content.
func (o *objects) endOfAnswer() error {
	if c, err := o.out.ReadByte(); err != nil || c != '\n' {
		return errors.New("git cat-file: answer cut short")
	}
	return nil
}

// one fetches a single object.
func (o *objects) one(id, kind string, max int64) ([]byte, error) {
	defer o.ask("contents", []string{id})()
	return o.content(kind, max)
}
