package verbs

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/berthd/berth/edge"
	"github.com/berthd/berth/property"
	"github.com/berthd/berth/router/certificates"
	"github.com/berthd/berth/router/certificates/dns"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// Keeper is what the verbs ask of *certificates.Keeper, whose documentation is
// the contract.
type Keeper interface {
	Retry(ctx context.Context, hosts []string)
	Revoke(ctx context.Context, host string) (revoked int, err error)
	Cleanup(ctx context.Context) (deleted []string, err error)
}

// LetsEncryptRoom is what the verbs of letsencrypt ask for; *edge.Edge documents it.
type LetsEncryptRoom interface {
	SetCertificates(ctx context.Context, app, property, value string, by store.User) error
	SetLocalCertificates(ctx context.Context, app string, local bool, by store.User) error
}

type letsencrypt struct {
	records
	LetsEncryptRoom
	certs  certs
	keeper Keeper
}

func (n letsencrypt) verbs() []Verb {
	return []Verb{
		setter(edge.CertificateProperties, Verb{
			Short:   "configure certificate issuance",
			Example: "letsencrypt:set --global email ops@example.com\nletsencrypt:set --global dns-provider-DO_AUTH_TOKEN - <token",
		}, n.set),
		reporter(edge.CertificateProperties, Verb{
			Short:   "show the settings of certificates",
			Example: "letsencrypt:report --global\nletsencrypt:report shop --letsencrypt-active",
			Keys:    keysOf(LetsEncrypt.keys),
		}, n.report),
		look(Verb{
			Name: "letsencrypt:list", Role: reads,
			Short:   "list the CA's certificates and errors",
			Example: "letsencrypt:list",
			Aliases: []string{"letsencrypt:ls"},
		}, n.list),
		act(Verb{
			Name: "letsencrypt:enable", Role: deploys,
			Short:   "get certificates of the CA for an app",
			Long:    "Adding a domain orders a certificate automatically. This retries at once after a\nfailure, reverts letsencrypt:disable, and waits for the result.",
			Example: "letsencrypt:enable shop",
			Done:    "{app} has certificates of the CA",
		}, n.enable),
		act(Verb{
			Name: "letsencrypt:disable", Role: deploys,
			Short:   "disable the CA's certificates for an app",
			Long:    "Its hosts use your own certificates, or those of the appliance's CA.",
			Example: "letsencrypt:disable shop",
			Done:    "{app} uses your own certificates, or those of the appliance's own CA",
		}, n.disable),
		look(Verb{
			Name: "letsencrypt:active", Role: reads,
			Short:   "show whether an app uses the CA",
			Long:    "It prints true or false; the exit code is 0 for true and 1 for false.",
			Example: "letsencrypt:active shop",
		}, n.active),
		act(Verb{
			Name: "letsencrypt:revoke", Role: deploys,
			Short:   "revoke an app's certificates",
			Long:    "New certificates with new keys are ordered, unless letsencrypt:disable is set.",
			Example: "letsencrypt:revoke shop",
		}, n.revoke),
		act(Verb{
			Name: "letsencrypt:cleanup", Role: admins,
			Short:   "delete certificates of removed hosts",
			Example: "letsencrypt:cleanup",
		}, n.cleanup),
	}
}

// enablePatience is how long letsencrypt:enable waits for the CA's answer. A
// challenge takes seconds; one by DNS waits for the record to be seen.
const enablePatience = 90 * time.Second

// SetArgs give a property its value; an empty value takes it back.
type SetArgs struct {
	NoArgs
	Property string `json:"property"`
	Value    string `json:"value"`
}

// LetsEncrypt is how certificates come about: of an app, or without one of all of
// them. It holds no secret.
type LetsEncrypt struct {
	App      string `json:"app,omitempty"`
	Active   bool   `json:"active,omitempty"`   // the CA certifies every public host of the app
	Disabled bool   `json:"disabled,omitempty"` // it is not asked for the app's hosts: letsencrypt:disable

	Email     string `json:"email"`             // empty: the appliance's own CA
	Server    string `json:"server"`            // ACME directory; empty is Let's Encrypt
	Roots     bool   `json:"roots"`             // a CA bundle of one's own is trusted for it
	Profile   string `json:"profile,omitempty"` // the kind of certificates
	KeyID     string `json:"eab_kid,omitempty"`
	Addresses bool   `json:"ip_addresses,omitempty"` // the machine's addresses are certified too

	Fallback      string `json:"fallback_server,omitempty"`
	FallbackKeyID string `json:"fallback_eab_kid,omitempty"`

	DNSProvider  string   `json:"dns_provider,omitempty"`
	DNSSettings  []string `json:"dns_settings,omitempty"` // the names of those that are set
	DNSResolvers []string `json:"dns_resolvers,omitempty"`

	Incomplete string `json:"incomplete,omitempty"` // what is missing, and not used until then

	Properties []property.Row `json:"properties"`
}

// report of an app tells nothing of how the machine's certificates come about:
// whoever may read one app may not read that.
func (n letsencrypt) report(ctx context.Context, c Call, args ReportArgs) (now LetsEncrypt, err error) {
	if args.App == "" {
		err = n.db.View(func(tx *store.Tx) error {
			settings, err := tx.Settings()
			if err == nil {
				now, err = letsEncryptOf(tx, settings)
			}
			return err
		})
		return now, err
	}
	active, err := n.active(ctx, c, AppArgs{args.App})
	if err != nil {
		return LetsEncrypt{}, err
	}
	now = LetsEncrypt{App: args.App, Active: active.Active}
	return now, n.db.View(func(tx *store.Tx) error {
		record, err := tx.App(args.App)
		now.Disabled = record.LocalCertificates
		if err == nil {
			now.Properties, err = edge.CertificateProperties.Report(tx, args.App)
		}
		return err
	})
}

func letsEncryptOf(tx *store.Tx, s store.Settings) (now LetsEncrypt, err error) {
	now = LetsEncrypt{
		Email: s.Email, Server: s.ACME, Roots: s.ACMERoots != "", Profile: s.ACMEProfile, KeyID: s.ACMEKeyID, Addresses: s.ACMEAddresses,
		Fallback: s.Fallback.Server, FallbackKeyID: s.Fallback.KeyID,
		DNSProvider: s.DNSProvider, DNSResolvers: s.DNSResolvers,
	}
	for _, name := range slices.Sorted(maps.Keys(s.Secrets)) {
		if _, ok := dns.Canonical(name); ok {
			now.DNSSettings = append(now.DNSSettings, name)
		}
	}
	if _, err := edge.ACME(s); err != nil {
		now.Incomplete = strings.ReplaceAll(err.Error(), "\n", "; ")
	}
	now.Properties, err = edge.CertificateProperties.Report(tx, "")
	return now, err
}

// keys are the values of the report of Dokku's plugin.
func (l LetsEncrypt) keys() []Key {
	return []Key{{"letsencrypt-active", fmt.Sprint(l.Active)}, {"letsencrypt-autorenew", "true"}}
}

func (n letsencrypt) set(ctx context.Context, c Call, args PropertyArgs) (LetsEncrypt, error) {
	if err := n.SetCertificates(ctx, args.App, args.Property, args.Value, c.User); err != nil {
		return LetsEncrypt{}, err
	}
	return n.report(ctx, c, ReportArgs{})
}

// enable lets the ACME CA certify an app's hosts, which it does by
// itself unless somebody said otherwise, asks it now for what is missing, and
// waits for its answer.
func (n letsencrypt) enable(ctx context.Context, c Call, args AppArgs) ([]Certificate, error) {
	settings, err := n.settings()
	if err != nil {
		return nil, err
	}
	if settings.Email == "" {
		return nil, edge.NoEmail()
	}
	began := time.Now()
	if err := n.SetLocalCertificates(ctx, args.App, false, c.User); err != nil {
		return nil, err
	}
	rows, err := n.certs.of(args.App)
	if err != nil {
		return nil, err
	}
	var waiting []string
	for _, row := range rows {
		if !certificates.Public(row.Host) {
			fmt.Fprintf(c.Out, "%s is not public: it gets a certificate of the appliance's own CA\n", row.Host)
		} else if row.Pending {
			waiting = append(waiting, row.Host)
		}
	}
	if n.keeper != nil && len(waiting) > 0 {
		fmt.Fprintf(c.Out, "ordering certificates for %s\n", strings.Join(waiting, ", "))
		n.keeper.Retry(ctx, waiting)
		if err := n.await(ctx, c, waiting, began); err != nil {
			return nil, err
		}
	}
	return n.certs.of(args.App)
}

// await waits until each host has its certificate or an answer from the CA.
func (n letsencrypt) await(ctx context.Context, c Call, hosts []string, began time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, enablePatience)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	failed := []string{}
	for _, host := range hosts {
		for state := n.certs.state(host); state.Pending; state = n.certs.state(host) {
			if state.LastErrorAt.After(began) {
				fmt.Fprintf(c.Out, "%s: %s\n", host, state.LastError)
				failed = append(failed, host)
				break
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return fault.New(fault.Timeout, code.RequestTimeout, "the CA has not answered for %s yet", host).
					Hint("it continues in the background: see berth letsencrypt:list")
			}
		}
	}
	if len(failed) > 0 {
		return fault.New(fault.Failed, code.CARefused, "the CA gave no certificate for %s", strings.Join(failed, ", ")).
			Hint("the current certificate stays, and berth retries automatically").
			Hint("the name must point to this machine, and port 80 or 443 must be open to the internet")
	}
	return nil
}

func (n letsencrypt) disable(ctx context.Context, c Call, args AppArgs) ([]Certificate, error) {
	if err := n.SetLocalCertificates(ctx, args.App, true, c.User); err != nil {
		return nil, err
	}
	return n.certs.of(args.App)
}

// list is of the hosts that an ACME CA certifies, or has been asked to.
func (n letsencrypt) list(_ context.Context, c Call, args DomainsReportArgs) ([]Certificate, error) {
	rows, err := n.certs.visible(c.User, args.App)
	return list(slices.DeleteFunc(rows, func(row Certificate) bool {
		return row.Source != "acme" && !row.Pending && row.LastError == ""
	}), err)
}

// Active tells whether an ACME CA certifies every public host of an app.
type Active struct {
	Active bool `json:"active"`
}

func (n letsencrypt) active(_ context.Context, _ Call, args AppArgs) (active Active, err error) {
	rows, err := n.certs.of(args.App)
	for _, row := range rows {
		if certificates.Public(row.Host) {
			if row.Source != "acme" {
				return Active{}, err
			}
			active.Active = true
		}
	}
	return active, err
}

// Count is how many there were.
type Count struct {
	Count int      `json:"count"`
	Names []string `json:"names,omitempty"`
}

// revoke declares an app's certificates void and has new ones made.
func (n letsencrypt) revoke(ctx context.Context, c Call, args AppArgs) (revoked Count, err error) {
	rows, err := n.certs.of(args.App)
	if err != nil || n.keeper == nil {
		return revoked, err
	}
	for _, row := range rows {
		if err := n.maySpeakFor(c.User, args.App, row.Host); err != nil {
			fmt.Fprintf(c.Out, "%s is not changed: other apps use it too\n", row.Host)
			continue
		}
		n, err := n.keeper.Revoke(ctx, row.Host)
		if n > 0 {
			revoked.Count += n
			revoked.Names = append(revoked.Names, row.Host)
		}
		if err != nil {
			return revoked, fault.New(fault.Failed, code.CARefused, "the CA did not revoke the certificate of %s: %w", row.Host, err)
		}
	}
	if revoked.Count == 0 { // a CA gave none
		return revoked, nil
	}
	return revoked, n.db.Update(func(tx *store.Tx) error {
		return event(tx, c.User, args.App, "certs", "revoked the certificates of %s", strings.Join(revoked.Names, ", "))
	})
}

// CleanupArgs may name an app, as Dokku's do; what is forgotten is no app's.
type CleanupArgs struct {
	NoArgs
	App string `json:"app,omitempty" cli:"[APP]"`
}

func (n letsencrypt) cleanup(ctx context.Context, _ Call, _ CleanupArgs) (deleted Count, err error) {
	if n.keeper == nil {
		return deleted, nil
	}
	deleted.Names, err = n.keeper.Cleanup(ctx)
	deleted.Count = len(deleted.Names)
	return deleted, err
}
