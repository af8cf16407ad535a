package certificates

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3/acme"
)

// order is the standing wish for the certificate of a subject: a host, a
// wildcard or an address.
type order struct {
	cancel      context.CancelFunc
	lastError   string
	lastErrorAt time.Time
}

// order has a subject's certificate obtained and renewed, unless it is already.
func (k *Keeper) order(ctx context.Context, au *authority, subject string) {
	config := au.config(subject)
	life, cancel := context.WithCancel(k.life)
	k.mu.Lock()
	if _, done := k.ordered[subject]; done || config == nil {
		k.mu.Unlock()
		cancel()
		return
	}
	k.ordered[subject] = &order{cancel: cancel}
	k.mu.Unlock()
	var err error
	for _, issuer := range au.issuerKeys(config) {
		err = errors.Join(err, k.heal(ctx, issuer, subject))
	}
	// What is stored is read at once. What has to be obtained is not waited for:
	// how that goes, event is told.
	k.remember(subject, errors.Join(err, config.ManageAsync(life, []string{subject})))
}

func (k *Keeper) cancelOrder(subject string) {
	k.mu.Lock()
	if o := k.ordered[subject]; o != nil {
		o.cancel()
		delete(k.ordered, subject)
	}
	k.mu.Unlock()
	k.cache.RemoveManaged([]certmagic.SubjectIssuer{{Subject: subject}})
}

// heal deletes a stored certificate that cannot be read, so that it is obtained
// anew: certmagic takes anything that is there for good, and stops.
func (k *Keeper) heal(ctx context.Context, issuer, subject string) error {
	names := storedAs(issuer, subject)
	var entries [3][]byte
	for i, name := range names {
		entry, err := k.cfg.Storage.Load(ctx, name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // certmagic obtains what is not complete
		}
		if err != nil {
			return fmt.Errorf("load the certificate of %s: %w", subject, err)
		}
		entries[i] = entry
	}
	_, err := tls.X509KeyPair(entries[0], entries[1])
	if err == nil && json.Valid(entries[2]) {
		return nil
	}
	k.log.Warn("a stored certificate is damaged and replaced", "host", subject, "err", err)
	return k.deleteStored(ctx, issuer, subject)
}

// storedAs are the places of a certificate, its key and what certmagic knows of it.
func storedAs(issuer, subject string) [3]string {
	return [3]string{
		certmagic.StorageKeys.SiteCert(issuer, subject),
		certmagic.StorageKeys.SitePrivateKey(issuer, subject),
		certmagic.StorageKeys.SiteMeta(issuer, subject),
	}
}

func (k *Keeper) deleteStored(ctx context.Context, issuer, subject string) error {
	for _, name := range storedAs(issuer, subject) {
		if err := k.cfg.Storage.Delete(ctx, name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("delete the certificate of %s: %w", subject, err)
		}
	}
	return nil
}

// event hears from certmagic how orders went.
func (k *Keeper) event(_ context.Context, event string, data map[string]any) error {
	subject, _ := data["identifier"].(string)
	switch event {
	case "cert_obtained":
		k.log.Info("certificate obtained", "host", subject, "renewal", data["renewal"], "issuer", data["issuer"])
		k.remember(subject, nil)
	case "cert_failed":
		err, _ := data["error"].(error)
		k.log.Warn("certificate not obtained", "host", subject, "renewal", data["renewal"], "err", err)
		k.remember(subject, err)
		if strings.HasPrefix(subject, "*.") {
			k.orderApart()
		}
	}
	return nil
}

// orderApart orders the hosts of a wildcard that cannot be had one by one.
func (k *Keeper) orderApart() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.life.Err() != nil {
		return // Close waits for no more of these
	}
	k.jobs.Go(func() {
		k.set.Lock()
		defer k.set.Unlock()
		k.placeOrders(k.life, k.subjects())
	})
}

func (k *Keeper) remember(subject string, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	o := k.ordered[subject]
	if o == nil || errors.Is(err, context.Canceled) {
		return
	}
	o.lastError, o.lastErrorAt = "", time.Time{}
	if err != nil {
		o.lastError, o.lastErrorAt = err.Error(), time.Now()
	}
}

// Retry asks the CA at once for those of the hosts that it has not delivered
// yet: after failures certmagic waits longer and longer, up to six hours.
func (k *Keeper) Retry(ctx context.Context, hosts []string) {
	k.set.Lock()
	defer k.set.Unlock()
	au := k.acme.Load()
	if au == nil {
		return
	}
	for _, host := range hosts {
		k.mu.Lock()
		subject := k.subject(host)
		_, ordered := k.ordered[subject]
		k.mu.Unlock()
		if ordered && k.fromACME(host) == nil {
			k.cancelOrder(subject)
			k.order(ctx, au, subject)
		}
	}
}

// Revoke tells the CA that the certificates of a host's are void, and orders
// new ones with new keys. It returns how many there were.
func (k *Keeper) Revoke(ctx context.Context, host string) (revoked int, err error) {
	k.set.Lock()
	defer k.set.Unlock()
	au := k.acme.Load()
	if au == nil {
		return 0, nil
	}
	k.mu.Lock()
	subject := k.subject(host)
	_, ordered := k.ordered[subject]
	k.mu.Unlock()
	config := au.config(subject)
	if config == nil {
		return 0, nil
	}
	seen := map[string]bool{}
	for _, issuer := range config.Issuers {
		ca, ok := issuer.(certmagic.Revoker)
		if key := issuer.IssuerKey(); !ok || seen[key] {
			continue
		}
		key := issuer.IssuerKey()
		seen[key] = true
		pem, err := k.cfg.Storage.Load(ctx, certmagic.StorageKeys.SiteCert(key, subject))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return revoked, fmt.Errorf("load the certificate of %s: %w", subject, err)
		}
		if err := ca.Revoke(ctx, certmagic.CertificateResource{CertificatePEM: pem}, acme.ReasonUnspecified); err != nil {
			return revoked, fmt.Errorf("revoke the certificate of %s: %w", subject, err)
		}
		revoked++
		if err := k.deleteStored(ctx, key, subject); err != nil {
			return revoked, err
		}
	}
	if ordered && revoked > 0 {
		k.cancelOrder(subject)
		k.order(ctx, au, subject)
	}
	return revoked, nil
}

// Cleanup deletes stored certificates of ACME CAs for hosts that no longer
// exist, and returns their subjects.
func (k *Keeper) Cleanup(ctx context.Context) (deleted []string, err error) {
	k.set.Lock()
	defer k.set.Unlock()
	wanted := map[string]bool{}
	k.mu.Lock()
	for subject := range k.ordered {
		wanted[certmagic.StorageKeys.Safe(subject)] = true
	}
	k.mu.Unlock()
	issuers, err := k.list(ctx, "certificates")
	if err != nil {
		return nil, err
	}
	for _, issuer := range issuers {
		subjects, err := k.list(ctx, issuer)
		if err != nil {
			return deleted, err
		}
		for _, subject := range subjects {
			name := path.Base(subject)
			if wanted[name] {
				continue
			}
			if err := k.cfg.Storage.Delete(ctx, subject); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return deleted, fmt.Errorf("delete the certificate of %s: %w", name, err)
			}
			if name = strings.Replace(name, "wildcard_", "*", 1); !slices.Contains(deleted, name) {
				deleted = append(deleted, name)
			}
		}
	}
	return deleted, nil
}

func (k *Keeper) list(ctx context.Context, place string) ([]string, error) {
	names, err := k.cfg.Storage.List(ctx, place, false)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list stored certificates: %w", err)
	}
	return names, nil
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
