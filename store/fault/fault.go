// Package fault has the errors that a user can act on: a sentence that says what
// happened, a stable code, the evidence and a hint, in a form that every door
// (CLI, SSH, git push, HTTP) can show.
//
// A package that must not import this one returns an error with the methods of
// Detailed; From finds it anywhere in the chain.
package fault

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/berthd/berth/store/fault/code"
)

// Kind is the class of a fault: it decides the exit code of the command and the
// status of the HTTP answer.
type Kind int

// The kinds, numbered as the exit codes of berth's commands.
const (
	Failed   Kind = 1 // the work was tried and did not succeed
	Usage    Kind = 2 // the request makes no sense as written
	NotFound Kind = 3
	Denied   Kind = 4
	Conflict Kind = 5 // the state of things forbids it now
	Timeout  Kind = 6
)

// Error is a failure that a user can act on.
type Error struct {
	Kind     Kind     `json:"kind"`
	Code     string   `json:"code"`               // stable, "E301"
	Message  string   `json:"message"`            // one plain sentence, no full stop
	Evidence []string `json:"evidence,omitempty"` // lines, as they were seen
	Hints    []string `json:"hints,omitempty"`    // what to do about it, what is still running
	Cause    error    `json:"-"`                  // for the log
}

// New returns a fault of the given kind and code.
func New(kind Kind, code, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Kind: kind, Code: code, Message: err.Error(), Cause: errors.Unwrap(err)}
}

// Hint adds a line of advice and returns the same fault.
func (e *Error) Hint(format string, args ...any) *Error {
	e.Hints = append(e.Hints, fmt.Sprintf(format, args...))
	return e
}

// With adds evidence and returns the same fault.
func (e *Error) With(lines ...string) *Error {
	e.Evidence = append(e.Evidence, lines...)
	return e
}

func (e *Error) Error() string {
	if e.Code == "" {
		return e.Message
	}
	return e.Message + " [" + e.Code + "]"
}

func (e *Error) Unwrap() error { return e.Cause }

// NewRef returns a reference for an internal error: the user sees the
// reference, and the log has the whole error under it.
func NewRef() string {
	raw := make([]byte, 4)
	rand.Read(raw)
	return hex.EncodeToString(raw)
}

// Internal is the fault that a user gets instead of an internal error, which
// was logged under ref.
func Internal(ref string) *Error {
	return New(Failed, code.Internal, "internal error (ref %s)", ref).Hint("berth's log has the cause under that ref")
}

// Detailed is what an error of a room that does not know this package offers
// to be shown as a fault.
type Detailed interface {
	error
	FaultCode() string       // "E201"
	FaultEvidence() []string // may be empty
	FaultHints() []string    // may be empty
}

// From finds the fault in err's chain. It returns nil when there is none: the
// error is then an internal one, not for a user's eyes.
func From(err error) *Error {
	if f, ok := errors.AsType[*Error](err); ok {
		return f
	}
	if d, ok := errors.AsType[Detailed](err); ok {
		return &Error{Kind: Failed, Code: d.FaultCode(), Message: d.Error(), Evidence: d.FaultEvidence(), Hints: d.FaultHints(), Cause: err}
	}
	return nil
}

// CodeOf returns the code that users see of an error: a fault's own, or E190 for
// one that is internal. It is empty when there is no error.
func CodeOf(err error) string {
	if err == nil {
		return ""
	}
	if f := From(err); f != nil {
		return f.Code
	}
	return code.Internal
}
