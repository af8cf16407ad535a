// Package verbs is the table of all commands of berth, below all doors.
//
// A verb ("apps:create", "ps:scale") is one entry: its name, who may call it, its
// arguments and result, its help, and the function that does it. The verbs of a
// noun are in the noun's file, with a small interface of what they need from the
// rooms below. Every door turns its caller into a store.User and calls the table:
//
//	the machine's own socket   who the kernel says is at the other end (root)
//	a command over SSH         whose key signed
//	HTTPS at the admin host    whose session's cookie it is: the API, the pages
//
// role.go alone decides who may call what. The package knows nothing about HTTP,
// terminals and the look of an answer.
package verbs

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"

	"github.com/berthd/berth/access"
	"github.com/berthd/berth/router/certificates"
	"github.com/berthd/berth/store"
)

// Config configures the table.
type Config struct {
	Version string
	// HTTPSPort stands in links when it is neither 0 nor 443.
	HTTPSPort int
	// RootCA returns a certificate of the appliance's own CA as PEM, which is good
	// for the hosts of the trust alone.
	RootCA func(certificates.Trust) ([]byte, error)
	// Certificate returns what is known of a host's certificate; may be nil.
	Certificate func(host string) certificates.State
	// Addresses are the machine's own; may be nil.
	Addresses func() ([]netip.Addr, error)
	// Resolver finds out where domains lead; nil is the system's.
	Resolver *net.Resolver
	// Keeper is asked to do something about certificates; may be nil.
	Keeper Keeper
	// Register has what is open in whose name; nil is one of the table's own.
	Register *access.Register
}

// Rooms do the work, by noun. A verb whose room is nil panics when it is called;
// the caller gets an internal error.
type Rooms struct {
	Apps        AppRoom
	Processes   ProcessRoom
	Rebuilds    RebuildRoom
	Inspect     InspectRoom
	Checks      CheckRoom
	Resources   ResourceRoom
	OneOffs     OneOffRoom
	Config      ConfigRoom
	Releases    ReleaseRoom
	Builds      BuildRoom
	Pushes      PushRoom
	Builder     BuilderRoom
	Git         GitRoom
	Registries  RegistryRoom
	Logs        LogRoom
	Cron        CronRoom
	Domains     DomainRoom
	Certs       CertRoom
	LetsEncrypt LetsEncryptRoom
	Router      RouterRoom
	Requests    RequestRoom
	Ports       PortRoom
	Keys        KeyRoom
	Network     NetworkRoom
	Storage     StorageRoom
	Mounts      MountRoom
	Doctor      DoctorRoom
}

// topic is a heading of the help, and the verbs beneath it.
type topic struct {
	title string
	verbs [][]Verb
}

// topics are all verbs. A new noun is a line here and a file of its own.
func topics(cfg Config, rooms Rooms, db *store.Store) []topic {
	r := records{db}
	now := open{cfg.Register}
	links := portSuffix(cfg.HTTPSPort)
	certs := certs{r, rooms.Certs, cfg.RootCA, cfg.Certificate}
	return []topic{
		{"Apps", [][]Verb{apps{r, rooms.Apps, rooms.Domains}.verbs()}},
		{"Processes", [][]Verb{processes{r, rooms.Processes, rooms.Rebuilds}.verbs(), oneOffs{r, rooms.OneOffs, rooms.Logs}.verbs(),
			inspect{rooms.Inspect}.verbs(), checks{rooms.Checks, rooms.Processes}.verbs(), resources{r, rooms.Resources}.verbs()}},
		{"Storage", [][]Verb{volumes{r, rooms.Storage, rooms.Mounts}.verbs()}},
		{"Config", [][]Verb{variables{r, rooms.Config}.verbs()}},
		{"Releases and builds", [][]Verb{
			releases{r, rooms.Releases}.verbs(), builds{r, rooms.Builds, rooms.Pushes}.verbs(), builder{rooms.Builder}.verbs(),
			repositories{r, rooms.Git}.verbs(), registries{r, rooms.Registries}.verbs(),
		}},
		{"Logs, events and cron", [][]Verb{appLogs{r, rooms.Logs}.verbs(), events{r}.verbs(), cron{r, rooms.Cron, rooms.Logs}.verbs()}},
		{"Domains and certificates", [][]Verb{
			domains{r, rooms.Domains, cfg.Addresses, cfg.Resolver}.verbs(),
			letsencrypt{r, rooms.LetsEncrypt, certs, cfg.Keeper}.verbs(), certs.verbs(),
		}},
		{"Requests", [][]Verb{
			routing{rooms.Router}.verbs(), requests{rooms.Requests}.verbs(), metrics{r, links}.verbs(), ports{rooms.Ports}.verbs(),
		}},
		{"Access", [][]Verb{keys{r, rooms.Keys, now}.verbs(), sessions{r, now}.verbs(), logins{r, &Sessions{db}, links}.verbs()}},
		{"The appliance", [][]Verb{network{rooms.Network}.verbs(), doctor{rooms.Doctor}.verbs(), version{cfg.Version}.verbs()}},
	}
}

// Table is the verbs with what they need. It is safe for concurrent use.
type Table struct {
	Sessions *Sessions
	Register *access.Register

	records
	log     *slog.Logger
	verbs   map[string]Verb
	closing chan struct{} // closed when whoever follows has to let go
}

// New returns the table over the rooms and the store.
func New(cfg Config, rooms Rooms, db *store.Store, log *slog.Logger) *Table {
	if cfg.Register == nil {
		cfg.Register = &access.Register{}
	}
	t := &Table{Sessions: &Sessions{db}, Register: cfg.Register, records: records{db}, log: log, verbs: map[string]Verb{}, closing: make(chan struct{})}
	for _, v := range all(cfg, rooms, db) {
		t.verbs[v.Name] = v
	}
	return t
}

// All returns the entries in the order of the help, for their texts and types.
// They cannot be called.
func All() []Verb { return all(Config{}, Rooms{}, nil) }

func all(cfg Config, rooms Rooms, db *store.Store) (verbs []Verb) {
	for _, t := range topics(cfg, rooms, db) {
		for _, noun := range t.verbs {
			for _, v := range noun {
				v.Topic = t.title
				verbs = append(verbs, v)
			}
		}
	}
	return verbs
}

// portSuffix stands behind a host in links.
func portSuffix(port int) string {
	if port != 0 && port != 443 {
		return fmt.Sprintf(":%d", port)
	}
	return ""
}
