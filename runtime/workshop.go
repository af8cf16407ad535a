package runtime

import (
	"context"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
)

// What builders of images need of the engine beside the layer store, RunStep
// and Outlet. Package images is their user.

// BeginBuild waits until no earlier build's container is left that could write
// where a new build does, and lets builds give way to apps until done is called.
func (e *Engine) BeginBuild(ctx context.Context) (done func(), err error) {
	if err := e.awaitCleared(ctx); err != nil {
		return nil, err
	}
	return e.giveWay(), nil
}

// MountPool returns the path of a new directory in which a build may mount
// filesystems. It is not there yet. After a crash the sweep finds it.
func (e *Engine) MountPool() string { return e.state("b", NewID()) }

// ImageRoot returns the directory of what lasts about images.
func (e *Engine) ImageRoot() string { return filepath.Join(e.cfg.Root, "images") }

// GuardedClient returns an HTTP client that connects to what a container may
// connect to. Another address is an *AddressError.
func (e *Engine) GuardedClient() *http.Client { return e.guarded }

// RuncFixed tells whether the machine's runc has the repairs without which
// containers that start together and share a writable mount may escape.
func (e *Engine) RuncFixed(ctx context.Context) bool {
	fixed, _ := e.runc.fixed(ctx)
	return fixed
}

// BaseEnvironment returns the variables that every program of ours has, in the
// form KEY=value: what an image begins with.
func BaseEnvironment() []string {
	return slices.DeleteFunc(environment(0, "", nil), func(kv string) bool {
		return !strings.HasPrefix(kv, "PATH=") && !strings.HasPrefix(kv, "LANG=")
	})
}
