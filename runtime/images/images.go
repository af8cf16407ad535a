// Package images turns images into layers: images of a registry, and images that a
// Dockerfile describes. It pulls with containerd and builds with BuildKit, both as
// libraries in this process. The result is a layer of package runtime with the
// image's configuration.
package images

import (
	"log/slog"

	containerd "github.com/containerd/containerd/v2/client"

	"github.com/berthd/berth/runtime"
)

// Maker makes layers of images. It is safe for concurrent use.
type Maker struct {
	engine *runtime.Engine
	log    *slog.Logger
}

// New returns a maker that keeps its layers in the engine.
func New(engine *runtime.Engine, log *slog.Logger) *Maker {
	return &Maker{engine: engine, log: log}
}

func (m *Maker) client() *containerd.Client { return m.engine.Client() }
