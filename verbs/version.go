package verbs

import (
	"context"
	"runtime"
)

type version struct {
	version string
}

func (n version) verbs() []Verb {
	return []Verb{
		look(Verb{
			Name: "version", Role: reads,
			Short:   "print the version",
			Example: "version",
		}, n.info),
	}
}

// Version is what answers.
type Version struct {
	Version string `json:"version"`
	Go      string `json:"go"`
}

func (n version) info(context.Context, Call, NoArgs) (Version, error) {
	return Version{n.version, runtime.Version()}, nil
}
