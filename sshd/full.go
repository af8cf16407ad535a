package sshd

import (
	"bytes"
	"io"
	"sync/atomic"
	"syscall"

	"github.com/berthd/berth/store/fault"
)

// spaceWatch passes on what git says to a pusher, and notes when git says that
// the disk is full. git itself names neither the disk nor what to do.
type spaceWatch struct {
	io.Writer
	last []byte // the end of what was written before
	met  atomic.Bool
}

// saysFull tells whether a text says that the disk is full.
func saysFull(text []byte) bool {
	text = bytes.ToLower(text)
	return bytes.Contains(text, []byte(syscall.ENOSPC.Error())) || bytes.Contains(text, []byte(syscall.EDQUOT.Error()))
}

func (w *spaceWatch) Write(p []byte) (int, error) {
	w.last = append(w.last, p...)
	if saysFull(w.last) {
		w.met.Store(true)
	}
	w.last = bytes.Clone(w.last[max(0, len(w.last)-64):])
	return w.Writer.Write(p)
}

// noSpace is a push that git could not take.
func noSpace() error {
	return fault.NoSpace("the disk is full: git could not store what was pushed").
		Hint("free some space and push again; nothing was changed, and running apps are served").
		Hint("to free some: berth builds:cache-clear APP, or apps:destroy")
}
