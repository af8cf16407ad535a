package certificates

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/caddyserver/certmagic"
)

// ACME says which CA public names are certified by.
type ACME struct {
	Email     string // contact of the account; empty is no ACME at all
	Directory string // address of the CA's directory; empty is Let's Encrypt
	Roots     string // PEM of CAs trusted for the directory besides the system's
}

// acmeCA is one account at one CA.
type acmeCA struct {
	ACME
	config *certmagic.Config
	issuer *certmagic.ACMEIssuer
}

// order is the standing wish for a host's certificate.
type order struct {
	cancel      context.CancelFunc
	lastError   string
	lastErrorAt time.Time
}

// setACME puts another CA or account in place; what was ordered of the old one
// is ordered anew.
func (k *Keeper) setACME(acme ACME) error {
	if acme.Email == "" {
		acme = ACME{}
	}
	var current ACME
	if ca := k.acme.Load(); ca != nil {
		current = ca.ACME
	}
	if acme == current {
		return nil
	}
	var ca *acmeCA
	if acme.Email != "" {
		var err error
		if ca, err = k.newACME(acme); err != nil {
			return err
		}
	}
	k.mu.Lock()
	hosts := k.hosts
	k.mu.Unlock()
	for host := range hosts {
		k.cancelOrder(host)
	}
	k.acme.Store(ca)
	return nil
}

func (k *Keeper) newACME(acme ACME) (*acmeCA, error) {
	account := certmagic.ACMEIssuer{
		CA:             acme.Directory,
		Email:          acme.Email,
		Agreed:         true,
		AltHTTPPort:    k.cfg.HTTPPort,
		AltTLSALPNPort: k.cfg.HTTPSPort,
		// Challenges are answered by the router's own listeners. Should one of
		// them be missing, certmagic's stand-in stays off the network.
		ListenHost: "127.0.0.1",
		Logger:     zapTo(k.log),
	}
	if account.CA == "" {
		account.CA = certmagic.LetsEncryptProductionCA
	}
	if acme.Roots != "" {
		roots, err := x509.SystemCertPool()
		if err != nil {
			return nil, fmt.Errorf("load the system's CAs: %w", err)
		}
		if !roots.AppendCertsFromPEM([]byte(acme.Roots)) {
			return nil, errors.New("the CAs for the ACME directory hold no certificate in PEM")
		}
		account.TrustedRoots = roots
	}
	ca := &acmeCA{ACME: acme}
	ca.config = certmagic.New(k.cache, certmagic.Config{
		Storage: k.cfg.Storage,
		Logger:  zapTo(k.log),
		OnEvent: k.event,
	})
	ca.issuer = certmagic.NewACMEIssuer(ca.config, account)
	ca.config.Issuers = []certmagic.Issuer{ca.issuer}
	return ca, nil
}

// order has a host's certificate obtained and renewed, unless it is already.
func (k *Keeper) order(ctx context.Context, ca *acmeCA, host string) {
	k.mu.Lock()
	_, done := k.ordered[host]
	k.mu.Unlock()
	if done {
		return
	}
	err := k.heal(ctx, ca.issuer.IssuerKey(), host)
	life, cancel := context.WithCancel(k.life)
	k.mu.Lock()
	k.ordered[host] = &order{cancel: cancel}
	k.mu.Unlock()
	k.remember(host, err)
	ca.config.ManageAsync(life, []string{host}) // asynchronous: what fails is told to event
}

func (k *Keeper) cancelOrder(host string) {
	k.mu.Lock()
	if o := k.ordered[host]; o != nil {
		o.cancel()
		delete(k.ordered, host)
	}
	k.mu.Unlock()
	k.cache.RemoveManaged([]certmagic.SubjectIssuer{{Subject: host}})
}

// heal deletes a stored certificate that cannot be read, so that it is obtained
// anew: certmagic takes anything that is there for good, and stops.
func (k *Keeper) heal(ctx context.Context, issuer, host string) error {
	names := []string{
		certmagic.StorageKeys.SiteCert(issuer, host),
		certmagic.StorageKeys.SitePrivateKey(issuer, host),
		certmagic.StorageKeys.SiteMeta(issuer, host),
	}
	var entries [3][]byte
	for i, name := range names {
		entry, err := k.cfg.Storage.Load(ctx, name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // certmagic obtains what is not complete
		}
		if err != nil {
			return fmt.Errorf("load the certificate of %s: %w", host, err)
		}
		entries[i] = entry
	}
	_, err := tls.X509KeyPair(entries[0], entries[1])
	if err == nil && json.Valid(entries[2]) {
		return nil
	}
	k.log.Warn("a stored certificate is damaged and replaced", "host", host, "err", err)
	for _, name := range names {
		if err := k.cfg.Storage.Delete(ctx, name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("delete the damaged certificate of %s: %w", host, err)
		}
	}
	return nil
}

// event hears from certmagic how orders went.
func (k *Keeper) event(_ context.Context, event string, data map[string]any) error {
	host, _ := data["identifier"].(string)
	switch event {
	case "cert_obtained":
		k.log.Info("certificate obtained", "host", host, "renewal", data["renewal"])
		k.remember(host, nil)
	case "cert_failed":
		err, _ := data["error"].(error)
		k.log.Warn("certificate not obtained", "host", host, "renewal", data["renewal"], "err", err)
		k.remember(host, err)
	}
	return nil
}

func (k *Keeper) remember(host string, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	o := k.ordered[host]
	if o == nil || errors.Is(err, context.Canceled) {
		return
	}
	o.lastError, o.lastErrorAt = "", time.Time{}
	if err != nil {
		o.lastError, o.lastErrorAt = err.Error(), time.Now()
	}
}

// fromACME returns the newest certificate of the ACME CA that is valid now. An
// expired one serves nobody: whoever trusts the local CA is better off with it.
func (k *Keeper) fromACME(host string) *certmagic.Certificate {
	var best *certmagic.Certificate
	now := time.Now()
	for _, cert := range k.cache.AllMatchingCertificates(host) {
		if cert.Leaf == nil || now.After(cert.Leaf.NotAfter) {
			continue
		}
		if best == nil || cert.Leaf.NotAfter.After(best.Leaf.NotAfter) {
			best = &cert
		}
	}
	return best
}
