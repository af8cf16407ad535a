package admin

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/berthd/berth/store"
	"github.com/berthd/berth/verbs"
)

// domainRow is a domain with the state of its certificate.
type domainRow struct {
	Address  string // a host, perhaps with a path
	Redirect string // the host that it sends to
	Strip    bool
	State    string // "valid", "expiring", "expired", "local", "none"
	Issuer   string
	Until    time.Time
	Error    string // why the ACME CA gave none, last time
}

// expiringAfter is when a certificate has less left than any that is renewed in
// time: certmagic begins when a third of its life is left.
const expiringAfter = 0.85

// readDomains returns what leads to an app, each with its certificate.
func (a *admin) readDomains(ctx context.Context, user store.User, app string) (rows []domainRow, err error) {
	domains, err := verbs.Ask[verbs.Domains](ctx, a.table, user, "domains:report", verbs.DomainsReportArgs{App: app})
	if err != nil {
		return nil, err
	}
	certificates, err := verbs.Ask[[]verbs.Certificate](ctx, a.table, user, "certs:report", verbs.CertsArgs{Target: app})
	if err != nil {
		return nil, err
	}
	if domains.Default != "" {
		rows = append(rows, domainRow{Address: domains.Default})
	}
	for _, address := range domains.Domains {
		rows = append(rows, domainRow{Address: address, Strip: slices.Contains(domains.Stripped, address)})
	}
	for _, from := range slices.Sorted(maps.Keys(domains.Redirects)) {
		rows = append(rows, domainRow{Address: from, Redirect: domains.Redirects[from]})
	}
	for i := range rows {
		rows[i].State = "none"
		host, _, _ := strings.Cut(rows[i].Address, "/")
		if n := slices.IndexFunc(certificates, func(c verbs.Certificate) bool { return c.Host == host }); n >= 0 {
			rows[i].certify(certificates[n], time.Now())
		}
	}
	return rows, nil
}

// certify adds what the host is served with.
func (row *domainRow) certify(served verbs.Certificate, now time.Time) {
	row.Error = served.LastError
	switch {
	case served.Source == "local":
		row.State = "local"
	case !served.NotAfter.IsZero():
		row.Issuer, row.Until = served.Issuer, served.NotAfter
		row.State = stateOf(served.NotBefore, served.NotAfter, now)
	}
}

func stateOf(notBefore, notAfter, now time.Time) string {
	age, life := now.Sub(notBefore), notAfter.Sub(notBefore)
	switch {
	case !now.Before(notAfter):
		return "expired"
	case age.Seconds() > life.Seconds()*expiringAfter:
		return "expiring"
	}
	return "valid"
}
