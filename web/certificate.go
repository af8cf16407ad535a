package web

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/berthd/berth/deploy"
	"github.com/berthd/berth/router/certificates"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
)

// Keeper is what the verbs ask of *certificates.Keeper, whose documentation is
// the contract.
type Keeper interface {
	Retry(ctx context.Context, hosts []string)
	Revoke(ctx context.Context, host string) (revoked int, err error)
	Cleanup(ctx context.Context) (deleted []string, err error)
}

// Root is the certificate of the appliance's own CA. Clients that trust it trust
// it for the hosts that the user may see, and for no other.
type Root struct {
	PEM string `json:"pem"`
}

func (a *API) certsRoot(_ context.Context, c call, _ NoArgs) (Root, error) {
	settings, err := a.settings()
	if err != nil {
		return Root{}, err
	}
	hosts, err := a.visibleHosts(c.user)
	if err != nil {
		return Root{}, err
	}
	// Who is bound to some apps learns neither others' hosts nor the networks inside.
	trust := certificates.Trust{Domain: settings.Domain, Inside: len(c.user.Apps) == 0}
	for _, names := range hosts {
		trust.Names = append(trust.Names, names...)
	}
	certificate, err := a.cfg.RootCA(trust)
	return Root{string(certificate)}, err
}

// tellUncovered says which hosts no root covers that was handed out before they
// were added. Those that a public CA is asked for need none.
func (a *API) tellUncovered(out io.Writer, hosts []string) error {
	settings, err := a.settings()
	if err != nil {
		return err
	}
	hosts = slices.DeleteFunc(slices.Clone(hosts), func(host string) bool {
		return coveredByDomain(settings, host) || settings.Email != "" && certificates.Public(host)
	})
	if len(hosts) > 0 {
		fmt.Fprintf(out, "a root of berth's own CA that was fetched before does not cover %s\n  berth certs:root prints one that does; import it in place of the old one\n", strings.Join(hosts, ", "))
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
	Target string `json:"target"`
}

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

func (a *API) certsReport(_ context.Context, c call, args CertsArgs) ([]Certificate, error) {
	rows, err := a.reportedCertificates(c.user, args.Target)
	if err != nil {
		return nil, err
	}
	settings, err := a.settings()
	for i := range rows {
		rows[i].NewRoot = rows[i].Source == "local" && !coveredByDomain(settings, rows[i].Host)
	}
	return list(rows, err)
}

func (a *API) reportedCertificates(user store.User, target string) ([]Certificate, error) {
	if target == "" {
		return a.visibleCertificates(user, "")
	}
	app, host, err := a.certTarget(user, store.RoleRead, target)
	if err != nil {
		return nil, err
	}
	rows, err := a.certificatesOf(app)
	if host != "" {
		rows = slices.DeleteFunc(rows, func(row Certificate) bool { return row.Host != host })
	}
	return rows, err
}

func (a *API) certsAdd(ctx context.Context, c call, args CertsAddArgs) ([]Certificate, error) {
	return a.changeCerts(ctx, c, args.Target, func(app, host string) error {
		return a.deployer.AddPair(ctx, app, host, []byte(args.Certificate), []byte(args.Key), c.user)
	})
}

func (a *API) certsRemove(ctx context.Context, c call, args CertsArgs) ([]Certificate, error) {
	return a.changeCerts(ctx, c, args.Target, func(app, host string) error {
		return a.deployer.RemovePair(ctx, app, host, c.user)
	})
}

// certsGenerate gives a target a certificate that nobody but itself vouches for.
func (a *API) certsGenerate(ctx context.Context, c call, args CertsArgs) ([]Certificate, error) {
	return a.changeCerts(ctx, c, args.Target, func(app, host string) error {
		hosts := []string{host}
		if host == "" {
			rows, err := a.certificatesOf(app)
			if err != nil {
				return err
			}
			hosts = nil
			for _, row := range rows {
				hosts = append(hosts, row.Host)
			}
			if len(hosts) == 0 {
				return fault.New(fault.Conflict, "E179", "%s has no host that could have a certificate", app).
					Hint("berth domains:add %s gives it one", app)
			}
		}
		chain, key, err := certificates.SelfSigned(hosts, time.Now())
		if err != nil {
			return err
		}
		return a.deployer.AddPair(ctx, app, host, chain, key, c.user)
	})
}

func (a *API) changeCerts(ctx context.Context, c call, target string, change func(app, host string) error) ([]Certificate, error) {
	app, host, err := a.certTarget(c.user, store.RoleDeploy, target)
	if err != nil {
		return nil, err
	}
	if err := change(app, host); err != nil {
		return nil, err
	}
	return a.certsReport(ctx, c, CertsArgs{Target: target})
}

// certTarget returns the app that a target is, or is a host of, if the user may
// act as role on it. Where a host itself leads to no app, those that have paths
// of it decide together. The admin page's hosts are for admins. A user who is
// bound to some apps gets the same answer (E111) for what others have and for
// what is not there.
func (a *API) certTarget(user store.User, role store.Role, target string) (app, host string, err error) {
	owners, host, err := a.certOwners(target)
	if err != nil {
		return "", "", err
	}
	strange := func(owner string) bool { return !slices.Contains(user.Apps, owner) }
	switch {
	case len(user.Apps) > 0 && (len(owners) == 0 || slices.ContainsFunc(owners, strange)):
		return "", "", fault.New(fault.Denied, "E111", "%s has no access to %.80q", user.Name, target).
			Hint("berth certs:report lists the hosts of %s", strings.Join(user.Apps, ", "))
	case len(owners) == 0:
		return "", "", fault.New(fault.NotFound, "E179", "no app and no host is called %.80q", target).
			Hint("berth certs:report lists the hosts")
	case slices.Contains(owners, store.AdminPairs):
		if role == store.RoleDeploy {
			role = store.RoleAdmin
		}
		return store.AdminPairs, host, user.May(role, "")
	}
	return owners[0], host, user.May(role, owners[0])
}

// certOwners returns the apps whose the certificate of a target is: the app of
// that name, with host "", or else those that the host leads to.
func (a *API) certOwners(target string) (owners []string, host string, err error) {
	hosts, err := a.certifiedHosts()
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
	err = a.db.View(func(tx *store.Tx) error {
		owner, err := deploy.OwnerOf(tx, host)
		if slices.Contains(owners, owner) && !slices.Contains(owners, store.AdminPairs) {
			owners = []string{owner}
		}
		return err
	})
	return owners, host, err
}

func (a *API) certifiedHosts() (hosts map[string][]string, err error) {
	err = a.db.View(func(tx *store.Tx) error {
		hosts, err = deploy.CertifiedHosts(tx)
		return err
	})
	return hosts, err
}

// visibleCertificates are those of an app, or of all that the user may see.
func (a *API) visibleCertificates(user store.User, app string) ([]Certificate, error) {
	if app != "" {
		return a.certificatesOf(app)
	}
	hosts, err := a.visibleHosts(user)
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
			rows = append(rows, a.certificate(of, host))
		}
	}
	slices.SortFunc(rows, func(x, y Certificate) int { return cmp.Or(cmp.Compare(x.App, y.App), cmp.Compare(x.Host, y.Host)) })
	return rows, nil
}

// visibleHosts are the certified hosts of all that the user may see.
func (a *API) visibleHosts(user store.User) (map[string][]string, error) {
	hosts, err := a.certifiedHosts()
	maps.DeleteFunc(hosts, func(name string, _ []string) bool {
		if name == store.AdminPairs {
			return len(user.Apps) > 0 || user.May(store.RoleRead, "") != nil
		}
		return user.May(store.RoleRead, name) != nil
	})
	return hosts, err
}

func (a *API) certificatesOf(app string) (rows []Certificate, err error) {
	hosts, err := a.certifiedHosts()
	if err != nil {
		return nil, err
	}
	names, ok := hosts[app]
	if !ok {
		return nil, a.db.View(func(tx *store.Tx) error { _, err := tx.App(app); return err })
	}
	shown := app
	if app == store.AdminPairs {
		shown = ""
	}
	for _, host := range names {
		rows = append(rows, a.certificate(shown, host))
	}
	return rows, nil
}

func (a *API) certificate(app, host string) Certificate {
	row := Certificate{App: app, Host: host, Source: "local"}
	if a.cfg.Certificate == nil {
		return row
	}
	s := a.cfg.Certificate(host)
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
