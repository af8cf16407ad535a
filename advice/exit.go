package advice

import (
	"fmt"
	"time"

	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/units"
)

// Exit is how a program ended.
type Exit struct {
	Code   int       // exit code; 128+signal when a signal ended it
	Signal int       // 0 when none
	At     time.Time // zero when not known
	Lost   bool      // the container vanished without a word

	// OOM is set when a process was killed for the memory limit: the program, or
	// one of its children at any time before.
	OOM         bool
	MemoryLimit int64 // in bytes; 0 when not known
}

// String says how the program ended: "exit code 1".
func (e Exit) String() string {
	how := fmt.Sprintf("exit code %d", e.Code)
	switch {
	case e.Lost:
		return "its container disappeared"
	case e.OOM && e.Killed():
		return how + ", killed for " + MemoryLimit(e.MemoryLimit)
	case e.OOM && e.Code != 0:
		return how + ", after one of its processes was killed for " + MemoryLimit(e.MemoryLimit)
	case e.Signal != 0:
		return fmt.Sprintf("killed by signal %d", e.Signal)
	}
	return how
}

// Killed tells whether SIGKILL ended the program, or the child whose end it
// passes on.
func (e Exit) Killed() bool { return e.Signal == 9 || e.Code == 137 }

// MemoryLimit names a limit: "the memory limit of 512 MiB".
func MemoryLimit(bytes int64) string {
	if bytes <= 0 {
		return "the memory limit"
	}
	return "the memory limit of " + units.Bytes(bytes)
}

// Size writes a size as commands take it: "512m".
func Size(bytes int64) string {
	if bytes >= 1<<30 && bytes%(1<<30) == 0 {
		return fmt.Sprintf("%dg", bytes>>30)
	}
	return fmt.Sprintf("%dm", bytes>>20)
}

// Give adds the hints that follow from what a program printed and how it ended.
func Give(f *fault.Error, logs []string, exit Exit) *fault.Error {
	Program(f, logs)
	switch {
	case exit.OOM:
		f.Hint("reduce its memory use")
	case exit.Code == 127:
		f.Hint("the command was not found: is its package among the app's dependencies?")
	}
	return f
}
