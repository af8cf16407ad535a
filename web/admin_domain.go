package web

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"time"

	"github.com/berthd/berth/store"
)

// domainRow is a domain with the state of its certificate.
type domainRow struct {
	store.Domain
	State  string // "valid", "expiring", "expired", "local", "none"
	Issuer string
	Until  time.Time
	Error  string // why the ACME CA gave none, last time
}

// expiringAfter is when a certificate has less left than any that is renewed in
// time: certmagic begins when a third of its life is left.
const expiringAfter = 0.85

// domainRows adds to each domain the certificate that certmagic keeps for it:
// the one valid longest when there are several issuers'.
func (a *admin) domainRows(ctx context.Context, domains []store.Domain, now time.Time) ([]domainRow, error) {
	rows := make([]domainRow, len(domains))
	kept := a.api.db.Certificates()
	issuers, err := kept.List(ctx, "certificates", false)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list certificates: %w", err)
	}
	for i, domain := range domains {
		rows[i] = domainRow{Domain: domain, State: "none"}
		if a.api.cfg.Certificate != nil {
			served := a.api.cfg.Certificate(domain.Host)
			rows[i].Error = served.LastError
			if served.Local {
				rows[i].State = "local"
			}
			if served.Own {
				rows[i].Issuer, rows[i].Until = served.Issuer, served.NotAfter
				rows[i].State = stateOf(served.NotBefore, served.NotAfter, now)
				continue
			}
		}
		for _, issuer := range issuers {
			raw, err := kept.Load(ctx, path.Join(issuer, domain.Host, domain.Host+".crt"))
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("read the certificate of %s: %w", domain.Host, err)
			}
			block, _ := pem.Decode(raw)
			if block == nil {
				continue // certmagic gets a new one by itself
			}
			cert, err := x509.ParseCertificate(block.Bytes)
			if err != nil || !cert.NotAfter.After(rows[i].Until) {
				continue
			}
			rows[i].Until, rows[i].Issuer = cert.NotAfter, cert.Issuer.CommonName
			if len(cert.Issuer.Organization) > 0 {
				rows[i].Issuer = cert.Issuer.Organization[0]
			}
			rows[i].State = stateOf(cert.NotBefore, cert.NotAfter, now)
		}
	}
	return rows, nil
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
