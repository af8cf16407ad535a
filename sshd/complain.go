package sshd

import (
	"errors"
	"io"
	"log/slog"
	"strings"

	"github.com/berthd/berth/store/fault"
)

// columns is how wide what we say may be: git puts "remote: " before it and
// pads it behind.
const columns = 72

// told wraps an error that the pusher has read already.
type told struct{ error }

func (t told) Unwrap() error { return t.error }

// complain tells the client what went wrong and returns the exit code. What is
// not theirs to know goes to the log, under a reference that both can quote.
func complain(w io.Writer, log *slog.Logger, err error) int {
	f := fault.From(err)
	if _, ok := errors.AsType[told](err); ok {
		if f == nil {
			return int(fault.Failed)
		}
		return int(f.Kind)
	}
	if f == nil {
		ref := fault.NewRef()
		log.Error("SSH session failed", "ref", ref, "error", err)
		f = fault.Internal(ref)
	}
	say(w, f)
	return int(f.Kind)
}

// say writes a fault: error, evidence, hints.
func say(w io.Writer, f *fault.Error) {
	io.WriteString(w, strings.Join(f.Lines(columns), "\n")+"\n")
}
