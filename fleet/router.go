package fleet

import (
	"context"
	"net"
	"time"

	"github.com/berthd/berth/store"
)

// Ref is how the fleet names an app to others: by the user id that it keeps and
// the name that it has now.
type Ref struct {
	UID  int
	Name string
}

// Router leads requests to the instances of apps. It is safe for concurrent use, and its methods do not wait for requests.
type Router interface {
	// Swap leads the requests of an app to these backends and to no others. The
	// drain is of those that got requests before; it may be nil when there are
	// none.
	Swap(app Ref, backends []Backend) (Drain, error)

	// Remove takes an app out of the routing. The drain may be nil.
	Remove(app Ref) Drain

	// Hold makes up to so many requests of an app wait, each for so long, until
	// Resume. An app without a route is an error.
	Hold(app Ref, requests int, patience time.Duration) error

	// Resume ends a Hold. Without one it does nothing.
	Resume(app Ref)

	// Hosts returns the hosts by which visitors reach an app, its own domains
	// first, and the host that it has by its name, which may be the last of them.
	Hosts(app Ref) (hosts []string, usual string)

	// Ports returns the ports of web instances to which the app's TCP ports lead.
	Ports(app Ref) []string

	// StreamGrace is how long the WebSockets and event streams of instances
	// that are replaced may go on.
	StreamGrace(app Ref) time.Duration
}

// Backend is an instance that takes requests, as router.Backend is.
type Backend struct {
	ID   string                                      // the container's: its successor in the same slot is another backend
	Dial func(ctx context.Context) (net.Conn, error) // a fresh connection; safe for concurrent use

	Name    string // "web.1"
	Release int

	// Resting is a backend that is asked only when all others have been.
	Resting bool

	// DialPort opens a connection to another port.
	DialPort func(ctx context.Context, port int) (net.Conn, error)
}

// Drain is a set of backends that get no new requests.
type Drain interface {
	// Wait returns when their requests have been answered. It cuts requests
	// and upgraded connections after their times, and returns how many. The end
	// of ctx ends the waiting and cuts nothing.
	Wait(ctx context.Context, requests, upgraded time.Duration) (cut int)
}

// Journal hears what happens to instances. Its methods do not call back.
type Journal interface {
	// RecordEvent is an event for the app's history.
	RecordEvent(e store.Event)

	// Changed says that something about an app looks different now.
	Changed(app string)

	// FellOver says that a release on trial is not worth it. The one before it
	// is to be rolled out again. It does not wait for that.
	FellOver(a *App, t Trial, why string)
}

// Logs keeps what instances print.
type Logs interface {
	// File is where the output of one container of a source ("web.1") goes.
	File(app Ref, release int, source, container string) string

	// Last returns the last n lines of a file.
	Last(file string, n int) ([]string, error)

	// Note writes a line of berth's own among those of a source. An app that is
	// gone gets none.
	Note(a *App, release int, source, text string)

	// Trim removes the oldest logs of a source.
	Trim(app Ref, release int, source string)
}
