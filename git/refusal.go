package git

import "fmt"

// Refusal is a push that git would refuse. It is the pusher's to mend.
type Refusal struct {
	code, message string
	evidence      []string
	hints         []string
	cause         error
}

func refusal(code, format string, args ...any) *Refusal {
	return &Refusal{code: code, message: fmt.Sprintf(format, args...)}
}

func (r *Refusal) with(line string) *Refusal {
	if line != "" {
		r.evidence = append(r.evidence, line)
	}
	return r
}

func (r *Refusal) hint(format string, args ...any) *Refusal {
	r.hints = append(r.hints, fmt.Sprintf(format, args...))
	return r
}

func (r *Refusal) because(err error) *Refusal {
	r.cause = err
	return r
}

func (r *Refusal) Error() string { return r.message }
func (r *Refusal) Unwrap() error { return r.cause }

// FaultCode, FaultEvidence and FaultHints let a door show the error as a fault.
func (r *Refusal) FaultCode() string       { return r.code }
func (r *Refusal) FaultEvidence() []string { return r.evidence }
func (r *Refusal) FaultHints() []string    { return r.hints }
