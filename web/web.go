// Package web is the HTTP door: the JSON API and its client, and the admin
// pages.
//
// Every verb of the house ("apps:create", "ps:scale") is one entry in a table
// (verbs.go): its arguments, its result, the role it needs and the function
// that does it. Whoever comes in is turned into a store.User first, and then
// meets the same table:
//
//	the machine's own socket   who the kernel says is at the other end (root)
//	a command over SSH         whose key signed; a socket pair within the process
//	HTTPS at the admin host    whose session's cookie it is
//
// The package knows how to ask and answer. What a verb does is package
// deploy's business and what it shows is package store's.
package web

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/berthd/berth/access"
	"github.com/berthd/berth/buildpacks/mirror"
	"github.com/berthd/berth/deploy"
	"github.com/berthd/berth/router"
	"github.com/berthd/berth/router/certificates"
	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store"
)

// Config is what the door has to be told.
type Config struct {
	Version string
	// HTTPSPort stands in links when it is neither 0 nor 443.
	HTTPSPort int
	// SSHPort stands in commands when it is neither 0 nor 22.
	SSHPort int
	// RootCA returns the certificate of the appliance's own CA as PEM.
	RootCA func(certificates.Trust) ([]byte, error)
	// Certificate returns what is known of a host's certificate; may be nil.
	Certificate func(host string) certificates.State
	// Addresses are the machine's own; may be nil.
	Addresses func() ([]netip.Addr, error)
	// Resolver finds out where domains lead; nil is the system's.
	Resolver *net.Resolver
	// Keeper is asked to do something about certificates; may be nil.
	Keeper Keeper
	// Register has what is open in whose name, SSH connections too; nil is one
	// of the door's own.
	Register *access.Register
}

// Deployer is what the verbs ask of *deploy.Deployer, whose documentation is
// the contract. Tests of this package put one in its place that needs no
// containers.
type Deployer interface {
	CreateApp(ctx context.Context, name string, by store.User) (store.App, error)
	RenameApp(ctx context.Context, from, to string, by store.User, out io.Writer) (store.App, error)
	DestroyApp(ctx context.Context, name string, by store.User, out io.Writer) error
	Status(ctx context.Context, app string) (deploy.AppStatus, error)
	Statuses(ctx context.Context) ([]deploy.AppStatus, error)
	CancelBuild(ctx context.Context, app string, number int, by store.User) (store.Build, error)
	Caches(ctx context.Context, app string) (deploy.Caches, error)
	ClearCaches(ctx context.Context, app string, by store.User, out io.Writer) (deploy.Caches, error)
	FollowBuild(ctx context.Context, app string, number int, w io.Writer) error
	SetConfig(ctx context.Context, app string, set map[string]string, unset []string, noRestart bool, by store.User, out io.Writer) (store.Release, error)
	Rollback(ctx context.Context, app string, number int, by store.User, out io.Writer) (store.Release, error)
	SetLimit(ctx context.Context, app, property, value string, by store.User, out io.Writer) error
	SetRollout(ctx context.Context, app string, rollout store.Rollout, by store.User) error
	Scale(ctx context.Context, app string, formation map[string]int, by store.User, out io.Writer) error
	Restart(ctx context.Context, app, process string, by store.User, out io.Writer) error
	Stop(ctx context.Context, app string, by store.User, out io.Writer) error
	Start(ctx context.Context, app string, by store.User, out io.Writer) error
	AddDomains(ctx context.Context, app string, domains []store.Domain, by store.User) error
	RemoveDomains(ctx context.Context, app string, addresses []string, by store.User) error
	SetRouter(ctx context.Context, app, name, value string, by store.User) (deploy.RouterReport, error)
	SetMaintenance(ctx context.Context, app string, on bool, by store.User) error
	AddHTTPUser(ctx context.Context, app, name, password string, by store.User) error
	RemoveHTTPUser(ctx context.Context, app, name string, by store.User) error
	RouterReport(ctx context.Context, app string) (deploy.RouterReport, error)
	SetGlobalRouter(ctx context.Context, name, value string, by store.User) (deploy.RouterReport, error)
	GlobalRouterReport(ctx context.Context) (deploy.RouterReport, error)
	SetNetwork(ctx context.Context, name, value string, by store.User) (deploy.NetworkReport, error)
	NetworkReport(ctx context.Context) (deploy.NetworkReport, error)
	Findings(ctx context.Context) ([]deploy.Finding, error)
	AddPorts(ctx context.Context, app string, ports []store.Port, by store.User) (deploy.PortsReport, error)
	RemovePorts(ctx context.Context, app string, ports []store.Port, by store.User) (deploy.PortsReport, error)
	ClearPorts(ctx context.Context, app string, by store.User) (deploy.PortsReport, error)
	PortsReport(ctx context.Context, app string) (deploy.PortsReport, error)
	AddPair(ctx context.Context, app, host string, chain, key []byte, by store.User) error
	RemovePair(ctx context.Context, app, host string, by store.User) error
	SetLocalCertificates(ctx context.Context, app string, local bool, by store.User) error
	SetSettings(ctx context.Context, change func(*store.Settings) error, by store.User) (store.Settings, error)
	Logs(ctx context.Context, q deploy.LogQuery, fn func(deploy.LogLine) error) error
	Requests(ctx context.Context, q deploy.RequestQuery, fn func(deploy.RequestLine) error) error
	LostRequestLines() uint64
	RefusedConnections() uint64
	Traffic(ctx context.Context, app string) (deploy.Traffic, error)
	Counters() map[string]router.Stats
	RunOnce(ctx context.Context, app string, args []string, att runtime.Attachment, by store.User) (int, error)
	Jobs(ctx context.Context, app string) ([]deploy.JobStatus, error)
	RunJob(ctx context.Context, app, id string, by store.User, out io.Writer) (store.JobRun, error)
	Subscribe(ctx context.Context) <-chan string
	GitReport(ctx context.Context, app string) (deploy.GitReport, error)
	SetGit(ctx context.Context, app, property, value string, by store.User) (deploy.GitReport, error)
	FromImage(ctx context.Context, app, ref string, by store.User, out io.Writer) error
	LoginRegistry(ctx context.Context, app, host string, login store.RegistryLogin, by store.User) error
	LogoutRegistry(ctx context.Context, app, host string, by store.User) error
	SetBuilder(ctx context.Context, app, property, value string, by store.User) (deploy.BuilderReport, error)
	BuilderReport(ctx context.Context, app string) (deploy.BuilderReport, error)
	Mirror(ctx context.Context) (mirror.Report, error)
	PlanBuild(ctx context.Context, app, ref string) (deploy.Planned, error)
}

var _ Deployer = (*deploy.Deployer)(nil)

// Server is the door. It is safe for concurrent use.
type Server struct {
	cfg      Config
	deployer Deployer
	db       *store.Store
	log      *slog.Logger

	API      *API
	Sessions *Sessions
	inside   *insideListener
}

// New returns a door to the deployer and the store. Handler answers at the
// admin host at once; the local doors open with Serve.
func New(cfg Config, deployer Deployer, db *store.Store, log *slog.Logger) *Server {
	if cfg.Register == nil {
		cfg.Register = &access.Register{}
	}
	sessions := &Sessions{db: db}
	return &Server{
		cfg: cfg, deployer: deployer, db: db, log: log,
		API:      newAPI(cfg, deployer, db, sessions, log),
		Sessions: sessions,
		inside:   newInsideListener(),
	}
}

// Closing is closed when berth is on its way out, and whoever follows
// something has to let go.
func (s *Server) Closing() <-chan struct{} { return s.API.closing }

// Handler serves the admin host: the pages, and the API to whoever has a
// session. A browser's request that changes something must come from the admin
// host's own pages, over HTTPS.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/api/v1/", s.API.handler(func(r *http.Request) (store.User, error) { return s.Sessions.User(r) }))
	mux.Handle("GET /metrics", s.API.metrics())
	mux.Handle("/", newAdmin(s))
	return s.harden(http.NewCrossOriginProtection().Handler(s.registered(mux)))
}

// hstsAge is how long browsers insist on HTTPS after a visit. It is shorter
// than a certificate of a public CA lasts, so that whoever loses that CA is not
// locked out for long.
const hstsAge = 30 * 24 * time.Hour

// harden sets what all answers of the admin host have in common; the pages have
// a policy of their own that says more. Origins over plain HTTP are refused:
// net/http compares their hosts alone, and whoever can change what a browser is
// sent by plain HTTP has a page at this very host.
func (s *Server) harden(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		if s.publiclyCertified(r) {
			h.Set("Strict-Transport-Security", fmt.Sprintf("max-age=%d", int(hstsAge.Seconds())))
		}
		if origin := r.Header.Get("Origin"); len(origin) >= 5 && strings.EqualFold(origin[:5], "http:") {
			http.Error(w, "a page over plain HTTP may ask nothing here", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// publiclyCertified tells whether the host is served by a certificate of an ACME
// CA. With one of berth's own, which browsers warn of, HSTS would forbid to go on.
func (s *Server) publiclyCertified(r *http.Request) bool {
	if r.TLS == nil || s.cfg.Certificate == nil {
		return false
	}
	served := s.cfg.Certificate(hostName(r))
	return !served.Local && !served.Own && time.Now().Before(served.NotAfter)
}
