package fleet

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"strings"
	"time"

	"github.com/berthd/berth/advice"
)

// Host is what containers run on. It is safe for concurrent use.
type Host interface {
	// Create makes a container up to the point where only the program is
	// missing. What it made before an error is removed again, at the latest by
	// the host's own next start. The error is ErrInterrupted when the host's
	// engine died meanwhile; the call can be repeated with another ID.
	Create(ctx context.Context, spec Spec) (Container, error)

	// Containers returns all containers that Create made and that were not
	// removed, those of an earlier life of berth among them.
	Containers(ctx context.Context) ([]Container, error)
}

// ErrInterrupted is a container that could not be made because the host's engine
// died meanwhile.
var ErrInterrupted = errors.New("the engine of the containers died meanwhile")

// ErrEnded is a container that ended while a command ran in it.
var ErrEnded = errors.New("the container ended meanwhile")

// Container is one container of a host, with its own network. It is safe for
// concurrent use.
type Container interface {
	About() About

	// Launch starts the program, once.
	Launch(ctx context.Context, cmd Command) error

	// Launched tells whether Launch was called, in this life of berth or an
	// earlier one.
	Launched() bool

	// Done is closed when the program has ended.
	Done() <-chan struct{}

	// Exit returns how the program ended; valid once Done is closed.
	Exit(ctx context.Context) Exit

	// Stop asks the program to end, waits up to grace, kills it and waits for
	// its end. It is idempotent.
	Stop(ctx context.Context, grace time.Duration) error

	// Remove stops the program at once and removes all that belongs to the
	// container, but for its log. It is idempotent.
	Remove(ctx context.Context) error

	// Dial connects to an address as the program sees it.
	Dial(ctx context.Context, address string) (net.Conn, error)

	// Listening returns the TCP addresses on which the program listens, in the
	// order of their ports.
	Listening() ([]string, error)

	// Fill copies the directory tree into dir of the container.
	Fill(ctx context.Context, tree, dir string) error

	// Exec runs a command beside the program, copies what it prints to out and
	// waits for its end. The end of ctx kills it.
	Exec(ctx context.Context, cmd Command, out io.Writer) (Exit, error)

	// OOMKills returns how many processes of the container were killed for the
	// memory limit, and the limit in bytes.
	OOMKills() (kills, limit int64)

	Usage(ctx context.Context) (Usage, error)

	// DiskUsed returns how many bytes of disk the program has written outside of
	// mounts since its launch.
	DiskUsed(ctx context.Context) (int64, error)

	// SetLimits gives the container other limits while its program runs, but for
	// those that Limits.Live leaves out. It is an error, and changes nothing, when
	// more is in use than the new ones allow.
	SetLimits(ctx context.Context, l Limits) error
}

// About is what does not change in the life of a container.
type About struct {
	ID      string
	Labels  map[string]string
	Created time.Time
}

// Spec describes a container.
type Spec struct {
	ID       string // from NewID; never used twice
	Layer    string // key of its root filesystem
	UID      int    // Unix user and group of its processes
	Hostname string
	Labels   map[string]string // kept with the container
	Limits   Limits
	Mounts   []Mount

	// Foreign is set when the root filesystem is an image that berth did not build.
	Foreign bool

	// StopSignal is what Stop sends first; "" is SIGTERM.
	StopSignal string

	// LogFile is the file that gets the output of the program. Two containers
	// never share one.
	LogFile string
}

// Mount is where the programs of a container find a volume, or a directory of
// the host.
type Mount struct {
	Volume   string // its id
	Host     string // a directory of the host, in the place of a volume
	Path     string // in the container
	ReadOnly bool
	Process  string // the process type whose instances have it; "" is every one
}

// NewID returns an id for a container that was never used before.
func NewID() string { return strings.ToLower(rand.Text()) }

// Command is a program with its arguments.
type Command struct {
	Args []string
	Env  []string // KEY=value; added to the host's own
	Dir  string   // "" is the home directory
}

// Usage is what a container takes.
type Usage struct {
	Memory int64         // bytes, without the page cache that can be dropped
	CPU    time.Duration // since its start
	Pids   int64
}

// Exit is how a program ended.
type Exit = advice.Exit

// Create makes a container of what spec returns, which has another ID and log
// each time. The host's engine may die and come back meanwhile.
func Create(ctx context.Context, host Host, spec func() Spec) (Spec, Container, error) {
	for {
		s := spec()
		c, err := host.Create(ctx, s)
		if !errors.Is(err, ErrInterrupted) || ctx.Err() != nil {
			return s, c, err
		}
	}
}

// Ended tells whether a container's program has ended.
func Ended(c Container) bool {
	select {
	case <-c.Done():
		return true
	default:
		return false
	}
}
