package mirror

import (
	"fmt"
	"path"
	goruntime "runtime"
	"slices"
	"strings"

	"github.com/berthd/berth/buildpacks/source"
)

// Archive is a version of a tool as the mirror has it.
type Archive struct {
	Tool    string `json:"tool"`    // "node"
	Version string `json:"version"` // "22.9.0", as upstream writes it
	Name    string `json:"name"`    // "node-v22.9.0-linux-x64.tar.xz"

	// Sum is the SHA-256 of its content, in hex; "" where nobody has asked yet.
	Sum string `json:"sum,omitempty"`

	// Kept tells that the app was built with it the last time.
	Kept bool `json:"-"`
}

// File is the archive's path in the mirror.
func (a Archive) File() string { return path.Join(a.Tool, a.Name) }

// String is what an app remembers of the archive it was built with:
// "node-v22.9.0-linux-x64.tar.xz@sha256:5d0f...".
func (a Archive) String() string { return a.Name + "@sha256:" + a.Sum }

var remembered = source.NewPattern(`^([^/@]{1,255})@sha256:([0-9a-f]{64})$`)

// Remembered returns the archive that an app remembers; ok is false when the
// text is none's, or it was for another machine.
func Remembered(tool, text string) (a Archive, ok bool) {
	m := remembered.FindStringSubmatch(text)
	if m == nil {
		return Archive{}, false
	}
	version, ok := parse(tool, m[1], goruntime.GOARCH)
	return Archive{Tool: tool, Version: version, Name: m[1], Sum: m[2], Kept: true}, ok
}

// Archives are those of one tool.
type Archives []Archive

// Find returns the first whose version is wanted.
func (all Archives) Find(wanted func(version string) bool) (Archive, bool) {
	for _, a := range all {
		if wanted(a.Version) {
			return a, true
		}
	}
	return Archive{}, false
}

// Tell adds to a problem which versions the mirror has, if it has any.
func (all Archives) Tell(e *source.Problem) *source.Problem {
	const most = 10
	var versions []string
	for _, a := range all {
		if !slices.Contains(versions, a.Version) {
			versions = append(versions, a.Version)
		}
	}
	if len(versions) == 0 {
		return e
	}
	more := ""
	if n := len(versions) - most; n > 0 {
		more = fmt.Sprintf(" and %d more", n)
	}
	return e.Hint("the mirror of this machine has %s%s", strings.Join(versions[:min(len(versions), most)], ", "), more)
}
