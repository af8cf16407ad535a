package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/berthd/berth/access"
	"github.com/berthd/berth/build"
	"github.com/berthd/berth/buildpacks/mirror"
	"github.com/berthd/berth/deploy"
	"github.com/berthd/berth/edge"
	"github.com/berthd/berth/git"
	"github.com/berthd/berth/router"
	"github.com/berthd/berth/router/accesslog"
	"github.com/berthd/berth/router/certificates"
	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
	"github.com/berthd/berth/verbs"
	"github.com/berthd/berth/web"
	"github.com/berthd/berth/web/admin"
)

const (
	defaultData  = "/var/lib/berth"
	defaultState = "/run/berth"
	mirrorDir    = "mirror" // of the data directory, unless --mirror says otherwise

	// apiGrace is what a command in progress gets when berth stops.
	apiGrace = 30 * time.Second

	defaultGitUser = "berth" // the account that install.sh makes
)

// serve is the appliance's configuration.
type serve struct {
	data, engine, state, containerd string
	http, https, ssh, http3         string
	entrances                       []runtime.Entrance
	domain, stackCache, mirror      string
	bridge, subnet, gitUser         string
	builds, keepReleases            string
	logLevel                        string
}

func defaultServe() *serve { return &serve{} }

func (s *serve) flags(cmd *cobra.Command) {
	flag := func(into *string, name, fallback, usage string) {
		cmd.Flags().StringVar(into, name, fromEnv(strings.ReplaceAll(strings.ToUpper(name), "-", "_"), fallback), usage)
	}
	flag(&s.data, "data", defaultData, "directory of all that must last")
	flag(&s.engine, "engine", "", "directory of containers and layers (default DATA/engine)")
	flag(&s.state, "state", defaultState, "directory of what a reboot may take")
	flag(&s.containerd, "containerd", "auto", "auto, embedded or the path of its socket")
	flag(&s.http, "http", ":80", "address for HTTP")
	flag(&s.https, "https", ":443", "address for HTTPS")
	flag(&s.http3, "http3", http3Auto, "HTTP/3 at the UDP port of --https: on, off, or auto, which goes without where it cannot have the port")
	flag(&s.ssh, "ssh", ":2222", "address for SSH")
	flag(&s.domain, "domain", "", "the first domain; domains:set-global changes it")
	flag(&s.stackCache, "stack-cache", "", "directory of made base filesystems")
	flag(&s.mirror, "mirror", "", "directory of archives of tools (default DATA/mirror)")
	flag(&s.builds, "builds", "0", "builds at once, 0 is one for every two cores")
	flag(&s.keepReleases, "keep-releases", strconv.Itoa(build.DefaultKeepReleases), "releases of an app that can be rolled back to")
	flag(&s.logLevel, "log-level", "info", "debug, info, warn or error")
	flag(&s.bridge, "bridge", "", "name of the network bridge")
	flag(&s.subnet, "subnet", "", "IPv4 range of the containers")
	flag(&s.gitUser, "git-user", defaultGitUser, "system user that git runs as")
}

// fromEnv reads BERTH_NAME.
func fromEnv(name, fallback string) string {
	if value := os.Getenv("BERTH_" + name); value != "" {
		return value
	}
	return fallback
}

// serve is the life of the appliance: it opens what lasts, opens the doors and
// runs until ctx ends. Apps run on without it.
func (s *serve) serve(ctx context.Context, version string, logTo io.Writer) (err error) {
	if os.Geteuid() != 0 {
		return fault.New(fault.Denied, code.ServeNotRoot, "berth serve has to be root").
			Hint("it makes containers and networks: sudo berth serve")
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(s.logLevel)); err != nil {
		return usage("%q is no log level", s.logLevel).Hint("the levels are debug, info, warn and error")
	}
	if !slices.Contains([]string{http3On, http3Auto, http3Off}, s.http3) {
		return usage("--http3 is on, off or auto, not %q", s.http3)
	}
	builds, err := parseCount("--builds", s.builds, 0)
	if err != nil {
		return err
	}
	keepReleases, err := parseCount("--keep-releases", s.keepReleases, 1)
	if err != nil {
		return err
	}
	log := newLog(logTo, level)
	var opened closers
	defer func() { err = errors.Join(err, opened.close()) }()

	passed, err := passedSockets()
	if err != nil {
		return err
	}
	repositories, err := s.directories(log)
	if err != nil {
		return err
	}
	// The state file comes first: it is what tells two berths apart.
	db, err := openStore(ctx, s.data)
	if err != nil || db == nil {
		return err
	}
	opened.add(db.Close)
	logs := filepath.Join(s.data, "logs")
	if err := deploy.AdoptFiles(db, repositories, logs, log); err != nil {
		return err
	}
	if err := s.nameMachine(db, log); err != nil {
		return err
	}
	doors, err := s.openDoors(passed, log)
	if err != nil {
		return err
	}
	opened.add(doors.close)

	keeper, err := s.certificates(ctx, db, doors, log)
	if err != nil {
		return err
	}
	opened.add(func() error { keeper.Close(); return nil })
	secret, err := db.Secret("quic")
	if err != nil {
		return err
	}
	requests := accesslog.New(logs, log)
	opened.add(writeAccess(ctx, requests)) // closed after the router: its last requests are told too
	sockets := takePortSockets(hostOf(s.http), passed.listeners, log)
	routes := router.Config{
		HTTPPort: port(doors.http), HTTPSPort: port(doors.https),
		Certificates: keeper, QUICSecret: secret, AccessLog: requests.Add, Sockets: sockets,
	}
	if err := routes.Validate(); err != nil {
		return fmt.Errorf("configure the router: %w", err)
	}
	table := router.New(routes, log)

	closed := &closedDoors{doors: doors, db: db, certificates: keeper, routes: routes, requests: requests, log: log}
	closed.survivors = func() ([]*runtime.Container, func() error, error) {
		cfg, err := s.engineConfig(db, log)
		if err != nil {
			return nil, nil, err
		}
		return runtime.Survivors(cfg, log)
	}
	opened.add(closed.close)
	s.entrances = doors.entrances()
	engine, err := awaitEngine(ctx, func(ctx context.Context) (*runtime.Engine, error) { return s.openEngine(ctx, db, log) }, closed.serve, log)
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil // asked to stop during the wait
	}
	if err != nil {
		return err
	}
	opened.add(engine.Close)
	forContainers := doors.within(engine.Network().Gateways(), log)
	opened.add(forContainers.close)

	hosts := &hostAnnouncer{table: table, certificates: keeper, log: log}
	deployer := deploy.New(deploy.Config{
		Logs:      logs,
		AccessLog: requests,
		Caches:    filepath.Join(s.data, "caches"),
		Volumes:   filepath.Join(s.data, "volumes"),
		Own:       []string{s.data, s.engine, s.state, s.mirror},
		Mirror:    mirror.Open(s.mirror),
		Git:       repositories,
		HTTPSPort: port(doors.https),
		SSHPort:   port(doors.ssh),
		Ports:     doors.ports(), Containers: engine.Network().Ranges(),
		Builds: builds, KeepReleases: keepReleases,
	}, db, engine, table, hosts, log)
	asked := edge.NewRequests(db, table, requests)
	if err := repositories.Sweep(); err != nil {
		log.Warn("what killed pushes left in the repositories is not all removed", "err", err)
	}
	register := &access.Register{}
	commands := verbs.New(verbs.Config{
		Version:     version,
		HTTPSPort:   port(doors.https),
		RootCA:      keeper.Root,
		Certificate: keeper.State,
		Addresses:   ownAddresses,
		Keeper:      keeper,
		Register:    register,
	}, rooms(deployer, asked, deploy.Doctor{Engine: engine, Outside: doors.outside()}), db, log)
	api := web.New(web.Config{Version: version, Certificate: keeper.State, Meter: asked}, commands, log)
	hosts.admin = api.Handler(admin.New(admin.Config{SSHPort: port(doors.ssh)}, api, commands, deployer, log))
	ssh, err := newSSH(db, repositories, deployer, api, register, version, log)
	if err != nil {
		return err
	}

	log.Info("berth starts", "version", version, "data", s.data)
	jobs := newGroup(ctx)
	jobs.run("state file", func(ctx context.Context) error { return db.Run(ctx, log) })
	jobs.run("engine", engine.Run)
	jobs.run("deployer", deployer.Run)
	jobs.run("traffic", asked.Run)
	jobs.run("consents", func(ctx context.Context) error {
		// What ran before has its passages still: they are not to be closed
		// before it is known what runs.
		select {
		case <-deployer.Routed():
		case <-ctx.Done():
			return nil
		}
		return deployer.Consents().Run(ctx, deployer.Subscribe(ctx))
	})
	jobs.run("names", func(ctx context.Context) error {
		return serveNames(ctx, engine.Network(), deployer.Consents(), &sites{network: engine.Network(), table: table, certificates: keeper, db: db}, log)
	})
	jobs.run("commands", func(ctx context.Context) error { return api.Serve(ctx, doors.local, apiGrace) })
	jobs.run("ssh", func(ctx context.Context) error { return serveSSH(ctx, ssh, doors.ssh) })
	jobs.run("router", func(ctx context.Context) error {
		// Until the apps are routed, whoever comes waits in the listener's
		// backlog: better late than told that there is no such app.
		select {
		case <-deployer.Routed():
		case <-ctx.Done():
			return nil
		}
		return table.Serve(ctx, router.Listeners{
			Plain: slices.Concat(doors.http, forContainers.http), Secure: slices.Concat(doors.https, forContainers.https), QUIC: doors.quic,
		})
	})
	jobs.run("stored sockets", func(ctx context.Context) error {
		select {
		case <-deployer.Booted():
			sockets.forgetRest() // what no app has taken by now, none will
			<-ctx.Done()
		case <-ctx.Done():
		}
		return nil
	})
	jobs.run("service manager", func(ctx context.Context) error { return keepNotified(ctx, db, log) })
	err = jobs.wait()
	log.Info("berth ends")
	return err
}

// openStore opens the state. It returns nil when ctx ends first: whatever the
// file holds, a start can be stopped.
func openStore(ctx context.Context, dir string) (*store.Store, error) {
	type result struct {
		db  *store.Store
		err error
	}
	opened := make(chan result, 1)
	go func() {
		db, err := store.Open(dir)
		opened <- result{db, err}
	}()
	select {
	case r := <-opened:
		return r.db, r.err
	case <-ctx.Done():
		return nil, nil // and the process ends
	}
}

// writeAccess has the access log written until what it returns is called.
func writeAccess(ctx context.Context, access *accesslog.Log) (end func() error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	written := make(chan error, 1)
	go func() { written <- access.Run(ctx) }()
	return func() error {
		cancel()
		return <-written
	}
}

// directories makes what is missing and returns the repositories' place. git
// runs as its own user, who may pass through the data directory and no more.
func (s *serve) directories(log *slog.Logger) (git.Repositories, error) {
	repositories := git.Repositories{Dir: filepath.Join(s.data, "git")}
	if s.engine == "" {
		s.engine = filepath.Join(s.data, "engine")
	}
	if s.mirror == "" {
		s.mirror = filepath.Join(s.data, mirrorDir)
	}
	for _, dir := range []*string{&s.data, &s.engine, &s.state, &s.mirror} {
		abs, err := filepath.Abs(*dir)
		if err != nil {
			return repositories, err
		}
		*dir = abs
	}
	if err := errors.Join(os.MkdirAll(s.data, 0o700), os.MkdirAll(s.engine, 0o711), os.MkdirAll(s.state, 0o711)); err != nil {
		return repositories, fmt.Errorf("make berth's directories: %w", err)
	}
	account, err := user.Lookup(s.gitUser)
	if err != nil && s.gitUser != defaultGitUser {
		return repositories, usage("--git-user: there is no user %q on this machine", s.gitUser).
			Hint("useradd --system %s makes it", s.gitUser)
	}
	if err != nil {
		log.Warn("git runs as root: there is no user for it", "user", s.gitUser, "err", err)
		return repositories, own(s.data, -1, 0o700)
	}
	uid, uidErr := strconv.Atoi(account.Uid)
	gid, gidErr := strconv.Atoi(account.Gid)
	if err := errors.Join(uidErr, gidErr); err != nil {
		return repositories, fmt.Errorf("read the user %s: %w", s.gitUser, err)
	}
	repositories.UID, repositories.GID = uid, gid
	return repositories, own(s.data, gid, 0o710)
}

// own gives a directory to root and the group, unless it is so already: a
// filesystem that is read-only refuses even a change of nothing. Group -1 is any.
func own(dir string, group int, mode os.FileMode) error {
	var is unix.Stat_t
	if err := unix.Stat(dir, &is); err != nil {
		return fmt.Errorf("look at %s: %w", dir, err)
	}
	if group >= 0 && (is.Uid != 0 || is.Gid != uint32(group)) {
		if err := os.Chown(dir, 0, group); err != nil {
			return fmt.Errorf("open the data directory to git: %w", err)
		}
	}
	if os.FileMode(is.Mode)&os.ModePerm == mode {
		return nil
	}
	return os.Chmod(dir, mode)
}

// nameMachine gives the machine a domain if it has none.
func (s *serve) nameMachine(db *store.Store, log *slog.Logger) (err error) {
	first := s.domain
	if first != "" {
		if first, err = verbs.NormalHost(first); err != nil {
			return err
		}
	}
	var stored string
	err = db.View(func(tx *store.Tx) error {
		settings, err := tx.Settings()
		stored = settings.Domain
		return err
	})
	if err != nil {
		return err
	}
	if stored != "" {
		if first != "" && first != stored {
			log.Info("the stored domain stands, --domain is for the first start; domains:set-global changes it",
				"domain", stored, "flag", first)
		}
		return nil
	}
	if first == "" {
		first = guessDomain()
	}
	return db.Update(func(tx *store.Tx) error {
		settings, err := tx.Settings()
		if err != nil {
			return err
		}
		settings.Domain = first
		return tx.PutSettings(settings)
	})
}

// doors are all that berth listens on.
type doors struct {
	http, https, ssh []net.Listener
	quic             []net.PacketConn
	local            net.Listener
}

func (s *serve) openDoors(passed passed, log *slog.Logger) (d doors, err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, d.close())
		}
	}()
	for _, door := range []struct {
		into          *[]net.Listener
		name, address string
	}{{&d.http, "http", s.http}, {&d.https, "https", s.https}, {&d.ssh, "ssh", s.ssh}} {
		if *door.into, err = listen(passed.listeners, door.name, door.address); err != nil {
			return d, err
		}
	}
	if err := s.openQUIC(&d, passed.packets["quic"], log); err != nil {
		return d, err
	}
	d.local, err = listenLocal(socketPath(s.state))
	return d, err
}

// openQUIC opens the doors of HTTP/3. Where --http3 is not told to insist, the
// sites go without: every browser has HTTP/2 too.
func (s *serve) openQUIC(d *doors, given []net.PacketConn, log *slog.Logger) (err error) {
	if s.http3 == http3Off {
		for _, c := range given {
			c.Close()
		}
		return nil
	}
	d.quic, err = listenQUIC(given, d.https)
	if err != nil && s.http3 == http3Auto {
		log.Warn("HTTPS is served without HTTP/3", "err", err)
		return nil
	}
	return err
}

// ports are those of the machine that the doors are at.
func (d doors) ports() (ports []int) {
	for _, l := range slices.Concat(d.http, d.https, d.ssh) {
		if addr, ok := l.Addr().(*net.TCPAddr); ok {
			ports = append(ports, addr.Port)
		}
	}
	return ports
}

// outside are those of the ports that other machines can reach, unless a
// firewall closes them.
func (d doors) outside() (ports []runtime.InputPort) {
	add := func(address net.Addr) {
		at, err := netip.ParseAddrPort(address.String())
		if err != nil || at.Addr().IsLoopback() {
			return
		}
		p := runtime.InputPort{Number: int(at.Port()), Protocol: address.Network()}
		if !slices.Contains(ports, p) {
			ports = append(ports, p)
		}
	}
	for _, l := range slices.Concat(d.http, d.https, d.ssh) {
		add(l.Addr())
	}
	for _, c := range d.quic {
		add(c.LocalAddr())
	}
	return ports
}

// entrances are the doors of the sites as containers reach them: at the ports
// that URLs name, and at those where the doors are.
func (d doors) entrances() (list []runtime.Entrance) {
	add := func(at net.Addr, usual int) {
		where, err := netip.ParseAddrPort(at.String())
		if err != nil {
			return
		}
		where = netip.AddrPortFrom(where.Addr().Unmap().WithZone(""), where.Port())
		for _, number := range []int{usual, int(where.Port())} {
			e := runtime.Entrance{InputPort: runtime.InputPort{Number: number, Protocol: at.Network()}, Listens: where}
			if !slices.Contains(list, e) {
				list = append(list, e)
			}
		}
	}
	for _, l := range d.http {
		add(l.Addr(), 80)
	}
	for _, l := range d.https {
		add(l.Addr(), 443)
	}
	for _, c := range d.quic {
		if at, ok := c.LocalAddr().(*net.UDPAddr); ok && !at.IP.IsLoopback() { // within opens none there
			add(at, 443)
		}
	}
	return list
}

// within opens, for containers, the doors that are at loopback addresses, where
// a proxy on the machine has them. What fails is a door that containers do not
// have.
func (d doors) within(gateways []netip.Addr, log *slog.Logger) (inside doors) {
	open := func(into *[]net.Listener, from []net.Listener) {
		taken := map[netip.AddrPort]bool{}
		for _, l := range from {
			at, ok := l.Addr().(*net.TCPAddr)
			if !ok || !at.IP.IsLoopback() {
				continue
			}
			for _, gateway := range gateways {
				where := netip.AddrPortFrom(gateway, uint16(at.Port))
				if taken[where] {
					continue
				}
				taken[where] = true
				another, err := net.Listen("tcp", where.String())
				if err != nil {
					log.Warn("apps do not reach the sites of this machine", "at", where, "err", err)
					continue
				}
				*into = append(*into, another)
			}
		}
	}
	open(&inside.http, d.http)
	open(&inside.https, d.https)
	return inside
}

// close closes what nobody has closed yet.
func (d doors) close() (err error) {
	var all []io.Closer
	for _, l := range slices.Concat(d.http, d.https, d.ssh) {
		all = append(all, l)
	}
	for _, c := range d.quic {
		all = append(all, c)
	}
	if d.local != nil {
		all = append(all, d.local)
	}
	for _, l := range all {
		if closeErr := l.Close(); closeErr != nil && !errors.Is(closeErr, net.ErrClosed) {
			err = errors.Join(err, closeErr)
		}
	}
	return err
}

func (s *serve) certificates(ctx context.Context, db *store.Store, doors doors, log *slog.Logger) (*certificates.Keeper, error) {
	addresses, err := ownAddresses()
	if err != nil {
		return nil, fmt.Errorf("list the machine's addresses: %w", err)
	}
	cfg := certificates.Config{
		Storage: db.Certificates(), Addresses: addresses,
		HTTPPort: port(doors.http), HTTPSPort: port(doors.https),
	}
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("configure certificates: %w", err)
	}
	return certificates.New(ctx, cfg, log)
}

func (s *serve) openEngine(ctx context.Context, db *store.Store, log *slog.Logger) (*runtime.Engine, error) {
	cfg, err := s.engineConfig(db, log)
	if err != nil {
		return nil, err
	}
	return runtime.Open(ctx, cfg, log)
}

func (s *serve) engineConfig(db *store.Store, log *slog.Logger) (cfg runtime.Config, err error) {
	// The path and not /proc/self/exe: an upgrade puts a new program in its
	// place, and the next container gets that.
	self, err := os.Executable()
	if err != nil {
		return cfg, err
	}
	if self, err = filepath.EvalSymlinks(self); err != nil {
		return cfg, fmt.Errorf("find the program of the containers' first process: %w", err)
	}
	cfg = runtime.Config{
		Containerd: s.containerd, Root: s.engine, State: s.state, Init: self,
		Bridge: s.bridge, Subnet: s.subnet, StackCache: s.stackCache, Entrances: s.entrances,
	}
	if err := db.View(func(tx *store.Tx) error {
		settings, err := tx.Settings()
		if err != nil {
			return err
		}
		if cfg.LAN, err = edge.LAN(settings); err != nil {
			log.Warn("apps reach no private network", "err", err)
		}
		return nil
	}); err != nil {
		return cfg, err
	}
	if err := cfg.Validate(); err != nil {
		return cfg, usage("%w", err).Hint("berth help serve lists the flags")
	}
	return cfg, nil
}

// hostAnnouncer tells the router which hosts are the admin page's, and the keeper
// of certificates which hosts need one.
type hostAnnouncer struct {
	table        *router.Router
	certificates *certificates.Keeper
	admin        http.Handler
	log          *slog.Logger
}

// SetHosts is one of edge.Hosts.
func (p *hostAnnouncer) SetHosts(domain string, hosts []certificates.Host, acme certificates.ACME) {
	own := edge.AdminHosts(domain)
	if err := p.table.Handle(own, p.admin); err != nil {
		p.log.Error("the admin page has no host", "hosts", own, "err", err)
	}
	if err := p.certificates.SetHosts(context.Background(), hosts, acme); err != nil {
		p.log.Error("certificates are not kept", "err", err)
	}
}

// SetHostsFor is one of edge.Hosts too.
func (p *hostAnnouncer) SetHostsFor(whom string, hosts []certificates.Host) {
	if err := p.certificates.SetHostsFor(context.Background(), whom, hosts); err != nil {
		p.log.Error("certificates of an app are not kept", "err", err)
	}
}
