// Package runtime runs processes in containers and keeps their files in layers,
// on containerd. It knows no apps, only specs, containers, processes and layers, so
// that it could be used alone as a small container engine.
//
// What it keeps, and where:
//
//	Root/lock               held while an engine is open
//	Root/auto               a link that says what "auto" turned out to be
//	Root/containerd/        the embedded containerd's own: layers and records
//	Root/scratch/           Scratch; what is in it at Open is swept
//	Root/stack/             a base filesystem that install.sh made; taken by StackLayer
//	Root/images/OWNER/      BuildKit's books about an owner's build steps
//	State/containerd.*      the embedded containerd's socket, pid and configuration
//	State/runc/             runc's state, of our own so that no other containerd shares it
//	State/c/ID/             a container's control directory (/.berth/control inside)
//	State/e/ID/             files bound into it: hosts, passwd, group; what Survivors reads of it
//	State/b/ID/             where a build's layers are mounted while they are made
//	State/io/ID/            FIFOs of one-offs and builds
//	State/netns/ID          its pinned network namespace
//	State/cni/              addresses that are given out
//
// In containerd everything lies in the namespace "berth" and carries the
// installation's id, so that two installations on one containerd leave each
// other alone. Snapshots carry containerd's label for garbage collection roots
// from the moment they are prepared: containerd never collects one that is in use,
// and Open removes unused ones.
package runtime

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/dialer"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
)

const (
	// Namespace is where all of berth's containers lie in containerd.
	Namespace = "berth"
	// Snapshotter is the one that every containerd of the last eight years has.
	Snapshotter = "overlayfs"

	systemSocket = "/run/containerd/containerd.sock"

	// DefaultBridge is the network bridge of the only installation on a machine.
	DefaultBridge = "berth0"

	// maxState bounds the length of the state directory's path: a socket's
	// path has at most 107 bytes.
	maxState = 80
)

// Config says where the engine lives.
type Config struct {
	// Containerd is "embedded", "auto" or the address of a socket.
	Containerd string
	// Root is the directory of what must last: layers, containerd's own root.
	Root string
	// State is the directory of what a reboot may take: sockets, network
	// namespaces, the control sockets of containers.
	State string
	// Init is the path of the static program that is the first process of each
	// container (berth itself, see package pid1).
	Init string

	// Bridge is the network bridge's name; "" is DefaultBridge. Two
	// installations on one machine need two.
	Bridge string
	// Subnet is the containers' IPv4 range; "" is the first of a few that no
	// route of the host overlaps.
	Subnet string
	// LAN says whether containers reach the private networks around the machine,
	// until SetLAN does.
	LAN LAN
	// Entrances are ports of the machine that containers reach.
	Entrances []Entrance
	// StackCache is a directory where made base filesystems are kept and
	// looked for, so that a reinstallation need not bootstrap again; "" is none.
	StackCache string
}

// Validate returns all errors of the configuration.
func (c Config) Validate() error {
	var errs []error
	if c.Containerd != "embedded" && c.Containerd != "auto" && !filepath.IsAbs(c.Containerd) {
		errs = append(errs, fmt.Errorf("containerd must be embedded, auto or the path of a socket, not %q", c.Containerd))
	}
	for _, dir := range []struct{ what, path string }{{"root", c.Root}, {"state", c.State}, {"init", c.Init}} {
		if !filepath.IsAbs(dir.path) {
			errs = append(errs, fmt.Errorf("%s must be an absolute path, not %q", dir.what, dir.path))
		}
	}
	if len(c.State) > maxState {
		errs = append(errs, fmt.Errorf("state directory %s is longer than %d bytes: sockets in it would have no valid address", c.State, maxState))
	}
	if len(c.Bridge) > 15 {
		errs = append(errs, fmt.Errorf("bridge name %q is longer than the kernel's 15 bytes", c.Bridge))
	}
	if c.Subnet != "" {
		if p, err := netip.ParsePrefix(c.Subnet); err != nil || !p.Addr().Is4() || p.Bits() > 28 {
			errs = append(errs, fmt.Errorf("subnet %q is not an IPv4 range of at least 16 addresses", c.Subnet))
		}
	}
	return errors.Join(errs...)
}

// Engine is the container engine. It is safe for concurrent use.
type Engine struct {
	*LayerStore
	*pacer
	cgroups cgroups

	lock   *os.File // on Root
	daemon *daemon  // nil when containerd is not ours to keep alive
	net    *network

	sweeping *sweeping    // of what an earlier life left
	guarded  *http.Client // goes where containers may go
	armor    appArmor
	runc     runc

	mu         sync.Mutex            // guards what follows, held for memory only
	containers map[string]*Container // those whose end is watched
	doomed     map[string]bool       // containers that the sweep has still to remove
}

// Open connects to containerd, starting it when it is embedded, sets up the
// network and begins to sweep what a crash left behind. The engine works as
// soon as Open returns; the sweep goes on beside it (see Swept).
func Open(ctx context.Context, cfg Config, log *slog.Logger) (_ *Engine, err error) {
	if cfg.Bridge == "" {
		cfg.Bridge = DefaultBridge
	}
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("open engine: %w", err)
	}
	e := newEngine(cfg, log)
	defer func() {
		if err != nil {
			e.Close()
		}
	}()
	for _, dir := range []string{cfg.Root, e.scratchDir(), cfg.State, e.state("c"), e.state("e"), e.state("b"), e.state("io"), e.state("netns")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("open engine: %w", err)
		}
	}
	if e.lock, err = lockFile(filepath.Join(cfg.Root, "lock")); err != nil {
		return nil, fmt.Errorf("open engine: %w", err)
	}
	if err := e.connect(ctx); err != nil {
		return nil, fmt.Errorf("open engine: %w", err)
	}
	if e.net, err = openNetwork(ctx, cfg, e.id, log); err != nil {
		return nil, fmt.Errorf("open network: %w", err)
	}
	if e.armor = loadAppArmor(); e.armor.missing != nil {
		log.Debug("no AppArmor profile", "err", e.armor.missing) // a finding too
	}
	e.guarded = GuardedClient(func(addr netip.Addr) bool { return e.net.firewall.current().allows(addr) })
	if err := e.beginSweep(ctx); err != nil {
		return nil, fmt.Errorf("list what is left over: %w", err)
	}
	return e, nil
}

// newEngine returns an engine that is connected to nothing.
func newEngine(cfg Config, log *slog.Logger) *Engine {
	id := installationID(cfg)
	return &Engine{
		LayerStore: newLayerStore(cfg, id, log),
		pacer:      &pacer{cgroups: cgroups{id}, logger: log},
		cgroups:    cgroups{id},
		containers: make(map[string]*Container),
		doomed:     make(map[string]bool),
	}
}

// installationID tells installations on one machine apart.
func installationID(cfg Config) string {
	sum := sha256.Sum256([]byte(filepath.Clean(cfg.Root)))
	return hex.EncodeToString(sum[:4])
}

// ErrNoContainerd is what Open fails with while containerd does not answer. It
// may later.
var ErrNoContainerd = errors.New("containerd cannot be reached")

// connect finds or starts containerd.
func (e *Engine) connect(ctx context.Context) error {
	address, err := e.address(ctx)
	if err != nil {
		return err
	}
	if address == "embedded" {
		e.daemon = newDaemon(e.cfg, e.log)
		if err := e.daemon.ensure(ctx); err != nil {
			return err
		}
		address = e.daemon.socket
	} else if err := answers(ctx, address); err != nil {
		return fmt.Errorf("%w at %s: %w", ErrNoContainerd, address, err)
	}
	client, err := dial(address)
	if err != nil {
		return err
	}
	e.client = client
	e.log.Debug("connected to containerd", "address", address, "embedded", e.daemon != nil)
	return nil
}

// address resolves "auto", and does so once: layers and containers are in one
// containerd, and to another one every running app is an orphan to be ended. So
// neither a system's containerd that is down for the moment nor one that is
// installed later changes what was found first.
func (e *Engine) address(ctx context.Context) (string, error) {
	if e.cfg.Containerd != "auto" {
		return e.cfg.Containerd, nil
	}
	link := filepath.Join(e.cfg.Root, "auto")
	found, err := os.Readlink(link)
	if !errors.Is(err, os.ErrNotExist) {
		return found, err
	}
	found = "embedded"
	if answers(ctx, systemSocket) == nil {
		found = systemSocket
	}
	return found, os.Symlink(found, link)
}

// dial returns a client whose calls wait for a containerd that is away, up to
// their context, rather than fail.
func dial(address string, call ...grpc.CallOption) (*containerd.Client, error) {
	if call == nil {
		call = []grpc.CallOption{grpc.WaitForReady(true)}
	}
	return containerd.New(address,
		containerd.WithDefaultNamespace(Namespace),
		containerd.WithDefaultRuntime("io.containerd.runc.v2"),
		containerd.WithDialOpts([]grpc.DialOption{
			grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithContextDialer(dialer.ContextDialer),
			// A restarted containerd answers after 0.13 s; grpc's usual pauses
			// of up to 120 s would be most of an outage.
			grpc.WithConnectParams(grpc.ConnectParams{
				Backoff:           backoff.Config{BaseDelay: 20 * time.Millisecond, Multiplier: 1.5, MaxDelay: 250 * time.Millisecond},
				MinConnectTimeout: 5 * time.Second,
			}),
		}),
		containerd.WithCallOpts(call))
}

// answers tells whether a containerd serves at the address, now.
func answers(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	client, err := dial(address, grpc.WaitForReady(false))
	if err != nil {
		return err
	}
	defer client.Close()
	_, err = client.Version(ctx)
	return err
}

// Run keeps the engine alive until ctx ends: it restarts an embedded
// containerd that died and reconnects, and puts the firewall's tables back when
// another program removes them. Containers outlive it.
func (e *Engine) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return e.net.run(ctx) })
	g.Go(func() error { e.logFindings(ctx); return nil })
	if e.daemon != nil { // a system's containerd is kept alive by the system, and grpc reconnects by itself
		g.Go(func() error { return e.daemon.run(ctx) })
	}
	return g.Wait()
}

// Close lets go of containerd and leaves it, and all containers, running.
func (e *Engine) Close() error {
	if e.sweeping != nil {
		e.sweeping.stop()
	}
	e.mu.Lock()
	for id, c := range e.containers {
		c.release()
		delete(e.containers, id)
	}
	e.mu.Unlock()
	var errs []error
	if e.net != nil {
		errs = append(errs, e.net.close())
	}
	if e.client != nil {
		errs = append(errs, e.client.Close())
	}
	if e.lock != nil {
		errs = append(errs, e.lock.Close())
	}
	return errors.Join(errs...)
}

// Shutdown stops an embedded containerd too, and takes the bridge and the
// firewall's table down (for tests and uninstall). All containers must have
// been removed. Call it instead of Close.
func (e *Engine) Shutdown(ctx context.Context) error {
	if err := e.Swept(ctx); err != nil {
		return fmt.Errorf("shut down: %w", err)
	}
	left, err := e.client.ContainerService().List(ctx, e.Filter())
	if err != nil {
		return fmt.Errorf("shut down: %w", err)
	}
	if len(left) > 0 {
		return fmt.Errorf("shut down: %d containers are left", len(left))
	}
	errs := []error{e.net.remove(ctx), e.cgroups.remove()}
	if e.daemon != nil {
		errs = append(errs, e.daemon.stop(ctx))
	}
	return errors.Join(append(errs, e.Close())...)
}

// RemoveNamespace removes what purging an installation leaves in a containerd
// that others use too: the namespace, and its directories below containerd's
// own. All layers and containers must have been removed. A namespace in which
// another installation has something stays.
func (e *Engine) RemoveNamespace(ctx context.Context) error {
	if e.daemon != nil {
		return nil // all of its containerd goes with the engine's root
	}
	if err := e.Collect(ctx); err != nil { // blobs whose lease is gone
		return fmt.Errorf("collect what nothing refers to: %w", err)
	}
	others := false
	err := e.Snapshots().Walk(ctx, func(_ context.Context, info snapshots.Info) error {
		owner := info.Labels[LabelInstallation]
		others = others || owner != "" && owner != e.id
		return nil
	})
	if err != nil || others {
		return err
	}
	address, err := e.address(ctx)
	if err != nil {
		return err
	}
	plugins, err := e.client.IntrospectionService().Plugins(ctx, "type==io.containerd.snapshotter.v1,id=="+Snapshotter)
	if err != nil {
		return fmt.Errorf("ask containerd for its directory: %w", err)
	}
	if err := e.client.NamespaceService().Delete(ctx, Namespace); err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("remove containerd's namespace %s: %w", Namespace, err)
	}
	dirs := []string{filepath.Dir(address)}
	for _, p := range plugins.Plugins {
		if root := p.Exports["root"]; root != "" {
			dirs = append(dirs, filepath.Dir(root))
		}
	}
	for _, dir := range dirs {
		dir = filepath.Join(dir, "io.containerd.runtime.v2.task", Namespace)
		if err := os.Remove(dir); err != nil && !errors.Is(err, os.ErrNotExist) { // only when it is empty
			return err
		}
	}
	return nil
}

// in returns ctx within containerd's namespace of ours. The client does so by
// itself for its calls; the helpers that make specs want it too.
func in(ctx context.Context) context.Context { return namespaces.WithNamespace(ctx, Namespace) }

// lockFile takes the file's lock for as long as the process lives. It fails
// when another process has it: two engines on one root would sweep each other's
// containers.
func lockFile(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if errors.Is(err, syscall.EROFS) {
		f, err = os.Open(name)
	}
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s is locked: another engine runs on this root", name)
	}
	return f, nil
}
