package verbs

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/berthd/berth/edge"
	"github.com/berthd/berth/router/certificates"
	"github.com/berthd/berth/store"
)

// CertRoom is what the verbs of certs ask for; *edge.Edge documents it.
type CertRoom interface {
	AddPair(ctx context.Context, app, host string, chain, key []byte, by store.User) error
	RemovePair(ctx context.Context, app, host string, by store.User) error
}

type certs struct {
	records
	CertRoom
	rootCA func(certificates.Trust) ([]byte, error)
	state  func(host string) certificates.State
}

func (n certs) verbs() []Verb {
	return []Verb{
		look(Verb{
			Name: "certs:report", Role: seesHost,
			Short:   "show the certificates of hosts",
			Example: "certs:report shop",
			Whole:   true,
			Keys:    keysOf(certKeys),
			Aliases: []string{"certs"},
		}, n.report),
		act(Verb{
			Name: "certs:add", Role: deploysHost,
			Short: "add your own certificate",
			Long: "With APP it is used for all hosts of the app that it covers, with HOST only for\n" +
				"that one, and in preference to a CA's. Without files, standard input is a tar of\n" +
				"server.crt and server.key, or both as PEM. CRT includes the chain.",
			Example: "certs:add shop server.crt server.key\ncerts:add www.example.com <both.pem",
			Done:    "served from now on",
		}, n.add),
		act(Verb{ // it hands out a secret, so it is logged who had it
			Name: "certs:show", Role: deploysHost,
			Short: "print a certificate added by certs:add",
			Long: "crt is the certificate with its chain, key the private key. Certificates that a\n" +
				"CA issued to berth are not shown.",
			Example: "certs:show shop crt >server.crt",
			Prints:  "{result.pem}",
			Values: func(words []string) []string {
				if len(words) == 0 {
					return []string{"crt", "key"}
				}
				return nil
			},
		}, n.show),
		act(Verb{
			Name: "certs:remove", Role: deploysHost,
			Short:   "remove your own certificate",
			Long:    "The hosts use the CA's certificate again at once, or one of berth's own CA.",
			Example: "certs:remove shop",
			Done:    "removed",
		}, n.remove),
		act(Verb{
			Name: "certs:generate", Role: deploysHost,
			Short:   "generate a self-signed certificate",
			Long:    "Browsers warn about it. It is rarely needed: berth's own CA issues certificates\nfor all hosts, and can be trusted once for all of them: see certs:trust.",
			Example: "certs:generate shop",
			Done:    "served from now on; browsers will warn about it",
		}, n.generate),
		look(Verb{
			Name: "certs:root", Role: reads,
			Short: "print the certificate of berth's own CA",
			Long: "A client that trusts it opens apps without a warning, before Let's Encrypt is\n" +
				"set up. It covers the machine's domain, its addresses and all current hosts, and\n" +
				"nothing else. certs:trust explains how to trust it.",
			Example: "certs:root >berth.pem",
			Prints:  "{result.pem}",
		}, n.root),
	}
}

// certKeys are the values of Dokku's report: of the certificate that serves an
// app's first host, unless it is one of the appliance's own CA.
func certKeys(rows []Certificate) []Key {
	var first Certificate
	var hosts []string
	for _, row := range rows {
		if row.Source == "local" {
			continue
		}
		if len(hosts) == 0 {
			first = row
		}
		hosts = append(hosts, row.Host)
	}
	at := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return t.UTC().Format("Jan _2 15:04:05 2006 GMT") // as openssl writes it
	}
	return []Key{
		{"ssl-enabled", fmt.Sprint(len(hosts) > 0)}, {"ssl-hostnames", strings.Join(hosts, " ")}, {"ssl-issuer", first.Issuer},
		{"ssl-starts-at", at(first.NotBefore)}, {"ssl-expires-at", at(first.NotAfter)},
	}
}

// Root is the certificate of the appliance's own CA. Clients that trust it trust
// it for the hosts that the user may see, and for no other.
type Root struct {
	PEM string `json:"pem"`
}

func (n certs) root(_ context.Context, c Call, _ NoArgs) (Root, error) {
	settings, err := n.settings()
	if err != nil {
		return Root{}, err
	}
	hosts, err := n.visibleHosts(c.User)
	if err != nil {
		return Root{}, err
	}
	// A user who is bound to some apps learns neither the hosts of others nor the
	// networks inside.
	trust := certificates.Trust{Domain: settings.Domain, Inside: len(c.User.Apps) == 0}
	for _, names := range hosts {
		trust.Names = append(trust.Names, names...)
	}
	certificate, err := n.rootCA(trust)
	return Root{string(certificate)}, err
}

// tellUncovered says which hosts no root covers that was handed out before they
// were added. Those that a public CA is asked for need none.
func (r records) tellUncovered(out io.Writer, hosts []string) error {
	settings, err := r.settings()
	if err != nil {
		return err
	}
	hosts = slices.DeleteFunc(slices.Clone(hosts), func(host string) bool {
		return coveredByDomain(settings, host) || settings.Email != "" && certificates.Public(host)
	})
	if len(hosts) > 0 {
		fmt.Fprintf(out, "a root of berth's own CA that you fetched earlier does not cover %s\n  print the new one with berth certs:root and import it in place of the old one\n", strings.Join(hosts, ", "))
	}
	return nil
}

// coveredByDomain tells whether every root that is handed out covers a host,
// because it is the appliance's domain or beneath it.
func coveredByDomain(settings store.Settings, host string) bool {
	return host == settings.Domain || strings.HasSuffix(host, "."+settings.Domain)
}

// CertsArgs name an app, all of whose hosts are meant, or one host.
type CertsArgs struct {
	NoArgs
	Target string `json:"target" cli:"APP|HOST"`
}

// CertsReportArgs name an app or a host; "" is all that the caller may see.
type CertsReportArgs struct {
	NoArgs
	Target string `json:"target,omitempty" cli:"[APP|HOST]"`
}

func (a CertsReportArgs) certTarget() string { return a.Target }

func (a CertsArgs) certTarget() string { return a.Target }

// CertsAddArgs are a certificate of one's own with its chain and key, as PEM.
type CertsAddArgs struct {
	CertsArgs
	Certificate string `json:"certificate"`
	Key         string `json:"key"`
}

// Certificate is what a host is served with.
type Certificate struct {
	App  string `json:"app,omitempty"` // empty for the admin page's
	Host string `json:"host"`
	// Source is "own" for one that was given, "acme" or "local".
	Source      string    `json:"source"`
	Issuer      string    `json:"issuer,omitempty"`
	NotBefore   time.Time `json:"not_before,omitzero"`
	NotAfter    time.Time `json:"not_after,omitzero"` // zero before anybody has asked for it
	Pending     bool      `json:"pending,omitempty"`  // the ACME CA has been asked
	LastError   string    `json:"last_error,omitempty"`
	LastErrorAt time.Time `json:"last_error_at,omitzero"`
	// NewRoot: the appliance's own CA serves, and roots that were handed out
	// before the host was added do not cover it.
	NewRoot bool `json:"new_root,omitempty"`
}

func (n certs) report(_ context.Context, c Call, args CertsReportArgs) ([]Certificate, error) {
	rows, err := n.at(c.on)
	if args.Target == "" {
		rows, err = list(n.visible(c.User, ""))
	}
	if err != nil {
		return nil, err
	}
	settings, err := n.settings()
	for i := range rows {
		rows[i].NewRoot = rows[i].Source == "local" && !coveredByDomain(settings, rows[i].Host)
	}
	return rows, err
}

// at returns those of an app, or of one host of it.
func (n certs) at(on appHost) ([]Certificate, error) {
	rows, err := n.of(on.app)
	if on.host != "" {
		rows = slices.DeleteFunc(rows, func(row Certificate) bool { return row.Host != on.host })
	}
	return list(rows, err)
}

func (n certs) add(ctx context.Context, c Call, args CertsAddArgs) ([]Certificate, error) {
	return n.change(c, func(app, host string) error {
		return n.AddPair(ctx, app, host, []byte(args.Certificate), []byte(args.Key), c.User)
	})
}

func (n certs) remove(ctx context.Context, c Call, _ CertsArgs) ([]Certificate, error) {
	return n.change(c, func(app, host string) error {
		return n.RemovePair(ctx, app, host, c.User)
	})
}

// generate gives a target a certificate that nobody but itself vouches for.
func (n certs) generate(ctx context.Context, c Call, _ CertsArgs) ([]Certificate, error) {
	return n.change(c, func(app, host string) error {
		hosts := []string{host}
		if host == "" {
			rows, err := n.of(app)
			if err != nil {
				return err
			}
			hosts = nil
			for _, row := range rows {
				hosts = append(hosts, row.Host)
			}
			if len(hosts) == 0 {
				return edge.NoHostToCertify(app)
			}
		}
		chain, key, err := certificates.SelfSigned(hosts, time.Now())
		if err != nil {
			return err
		}
		return n.AddPair(ctx, app, host, chain, key, c.User)
	})
}

// change changes the certificate of what the rule found the target to be.
func (n certs) change(c Call, change func(app, host string) error) ([]Certificate, error) {
	if err := change(c.on.app, c.on.host); err != nil {
		return nil, err
	}
	return n.at(c.on)
}

// certOwners returns the apps whose the certificate of a target is: the app of
// that name, with host "", or else those that the host leads to.
func (r records) certOwners(target string) (owners []string, host string, err error) {
	hosts, err := r.certifiedHosts()
	if err != nil {
		return nil, "", err
	}
	if _, isApp := hosts[target]; isApp && target != store.AdminPairs {
		return []string{target}, "", nil
	}
	host = target // it will not be found
	if domain, err := NormalDomain(target); err == nil && domain.Path == "" {
		host = domain.Host
	}
	for _, name := range slices.Sorted(maps.Keys(hosts)) {
		if slices.Contains(hosts[name], host) {
			owners = append(owners, name)
		}
	}
	err = r.db.View(func(tx *store.Tx) error {
		owner, err := edge.OwnerOf(tx, host)
		if slices.Contains(owners, owner) && !slices.Contains(owners, store.AdminPairs) {
			owners = []string{owner}
		}
		return err
	})
	return owners, host, err
}

func (r records) certifiedHosts() (hosts map[string][]string, err error) {
	err = r.db.View(func(tx *store.Tx) error {
		hosts, err = edge.CertifiedHosts(tx)
		return err
	})
	return hosts, err
}

// visible are those of an app, or of all that the user may see.
func (n certs) visible(user store.User, app string) ([]Certificate, error) {
	if app != "" {
		return n.of(app)
	}
	hosts, err := n.visibleHosts(user)
	if err != nil {
		return nil, err
	}
	var rows []Certificate
	for name, names := range hosts {
		of := name
		if name == store.AdminPairs {
			of = ""
		}
		for _, host := range names {
			rows = append(rows, n.row(of, host))
		}
	}
	slices.SortFunc(rows, func(x, y Certificate) int { return cmp.Or(cmp.Compare(x.App, y.App), cmp.Compare(x.Host, y.Host)) })
	return rows, nil
}

// visibleHosts are the certified hosts of all that the user may see.
func (r records) visibleHosts(user store.User) (map[string][]string, error) {
	hosts, err := r.certifiedHosts()
	maps.DeleteFunc(hosts, func(name string, _ []string) bool {
		if name == store.AdminPairs {
			return !seesAppliance(user)
		}
		return !sees(user, name)
	})
	return hosts, err
}

func (n certs) of(app string) (rows []Certificate, err error) {
	hosts, err := n.certifiedHosts()
	if err != nil {
		return nil, err
	}
	names, ok := hosts[app]
	if !ok {
		return nil, n.db.View(func(tx *store.Tx) error { _, err := tx.App(app); return err })
	}
	shown := app
	if app == store.AdminPairs {
		shown = ""
	}
	for _, host := range names {
		rows = append(rows, n.row(shown, host))
	}
	return rows, nil
}

func (n certs) row(app, host string) Certificate {
	row := Certificate{App: app, Host: host, Source: "local"}
	if n.state == nil {
		return row
	}
	s := n.state(host)
	switch {
	case s.Own:
		row.Source = "own"
	case !s.Local:
		row.Source = "acme"
	}
	row.Issuer, row.NotBefore, row.NotAfter = s.Issuer, s.NotBefore, s.NotAfter
	row.Pending, row.LastError, row.LastErrorAt = s.Pending, s.LastError, s.LastErrorAt
	return row
}

// CertsShowArgs name an app or a host, and a part of its certificate.
type CertsShowArgs struct {
	CertsArgs
	Part string `json:"part" cli:"crt|key"`
}

// PEM is a part of a certificate.
type PEM struct {
	PEM string `json:"pem"`
}

func (n certs) show(_ context.Context, c Call, args CertsShowArgs) (shown PEM, err error) {
	if args.Part != "crt" && args.Part != "key" {
		return shown, BadArguments("%.20q is not a part of a certificate", args.Part).Hint("the parts are crt and key")
	}
	err = n.db.View(func(tx *store.Tx) error {
		pairs, err := tx.Pairs.Of(c.on.app)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(pairs, func(p store.Pair) bool { return p.Host == c.on.host })
		if i < 0 && c.on.host == "" && len(pairs) == 1 {
			i = 0 // of one of its hosts
		}
		if i < 0 {
			return edge.NoOwnCertificate(args.Target)
		}
		shown.PEM = pairs[i].Chain
		if args.Part == "key" {
			shown.PEM = pairs[i].Key
		}
		return nil
	})
	return shown, err
}
