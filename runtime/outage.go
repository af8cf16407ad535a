package runtime

import "github.com/berthd/berth/runtime/internal/outage"

// ErrInterrupted is a container that could not be made because containerd died
// meanwhile. Nothing of it is left and its program was never started: making
// another, with another id, will do.
var ErrInterrupted = outage.ErrInterrupted
