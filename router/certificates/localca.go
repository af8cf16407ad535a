package certificates

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
)

const (
	rootLife = 10 * 365 * 24 * time.Hour // trusting it by hand is a chore that nobody wants twice
	leafLife = 90 * 24 * time.Hour       // well under what Apple (825 days for a private CA) and Chrome bear
	backdate = time.Hour                 // clients' clocks are late

	rootKey    = "local/root.pem" // in the storage: the root's key and certificate
	leafPrefix = "local/leaf/"    // likewise of each leaf
)

// localCA is the appliance's own certificate authority: HTTPS works with it
// from the first minute, without warnings for those who trust its root.
//
// A leaf is made in the handshake that first needs it (a key and a signature,
// a tenth of a millisecond), stored so that what a browser was told to accept
// outlives a restart, and made anew by the first handshake in the last third
// of its life. So there is nothing to schedule and nothing to do at boot.
//
// The root that signs is not constrained to names: while no e-mail is set, it
// answers for public names too. What is handed out is (see Root). Both are
// constrained to TLS servers.
type localCA struct {
	storage certmagic.Storage
	log     *slog.Logger

	root *x509.Certificate // signs, and stays here
	key  *ecdsa.PrivateKey

	mu     sync.Mutex // guards leaves
	leaves map[string]*leaf
	stores sync.WaitGroup // of leaves, under way: no handshake waits for a disk
}

// leaf is a certificate of the local CA for one host.
type leaf struct {
	mu   sync.Mutex // held while it is loaded or made, so that this is done once
	cert *tls.Certificate
}

// newLocalCA loads the CA from storage. One that is missing, damaged or near
// its end is replaced; a storage that cannot be read is an error, since the
// root that people trust may well be in it.
func newLocalCA(ctx context.Context, storage certmagic.Storage, log *slog.Logger) (*localCA, error) {
	ca := &localCA{storage: storage, log: log, leaves: map[string]*leaf{}}
	stored, err := storage.Load(ctx, rootKey)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("load the local CA: %w", err)
	default:
		err := ca.adopt(stored)
		if err == nil {
			return ca, nil
		}
		log.Error("the local CA is replaced; its root must be trusted again", "err", err)
	}
	fresh, err := newRoot(time.Now())
	if err != nil {
		return nil, fmt.Errorf("make the local CA: %w", err)
	}
	if err := storage.Store(ctx, rootKey, fresh); err != nil {
		return nil, fmt.Errorf("store the local CA: %w", err)
	}
	return ca, ca.adopt(fresh)
}

// adopt takes a root from its stored form.
func (ca *localCA) adopt(stored []byte) error {
	pair, err := tls.X509KeyPair(stored, stored)
	if err != nil {
		return fmt.Errorf("damaged: %w", err)
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok || !pair.Leaf.IsCA {
		return errors.New("damaged: not a CA")
	}
	if time.Until(pair.Leaf.NotAfter) < leafLife {
		return fmt.Errorf("expires %s", pair.Leaf.NotAfter.Format(time.DateOnly))
	}
	ca.root, ca.key = pair.Leaf, key
	return nil
}

func newRoot(now time.Time) ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return nil, err
	}
	// The name tells roots apart in a trust store that has seen two installs.
	id := sha256.Sum256(public)
	template := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{Organization: []string{"berth"}, CommonName: "berth local CA " + hex.EncodeToString(id[:4])},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(rootLife),
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	return encodePair(key, der)
}

// certificate returns the certificate kept under name, valid for hosts.
func (ca *localCA) certificate(ctx context.Context, name string, hosts ...string) (*tls.Certificate, error) {
	ca.mu.Lock()
	l := ca.leaves[name]
	if l == nil {
		l = new(leaf)
		ca.leaves[name] = l
	}
	ca.mu.Unlock()

	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if l.cert != nil && fresh(l.cert.Leaf, now) {
		return l.cert, nil
	}
	if l.cert = ca.load(ctx, name, hosts, now); l.cert != nil {
		return l.cert, nil
	}
	stored, err := ca.issue(hosts, now)
	if err != nil {
		return nil, fmt.Errorf("issue a certificate for %s: %w", name, err)
	}
	pair, err := tls.X509KeyPair(stored, stored)
	if err != nil {
		return nil, fmt.Errorf("issue a certificate for %s: %w", name, err)
	}
	l.cert = &pair
	ca.stores.Go(func() {
		if err := ca.storage.Store(ctx, leafKey(name), stored); err != nil {
			ca.log.Warn("a local certificate is not stored", "host", name, "err", err) // it serves all the same
		}
	})
	return l.cert, nil
}

// leafKey is where the leaf of a name is stored; colons are for addresses.
func leafKey(name string) string {
	return leafPrefix + certmagic.StorageKeys.Safe(strings.ReplaceAll(name, ":", "_")) + ".pem"
}

// load returns the stored certificate if it is whole, ours and fresh.
func (ca *localCA) load(ctx context.Context, name string, hosts []string, now time.Time) *tls.Certificate {
	stored, err := ca.storage.Load(ctx, leafKey(name))
	if err != nil {
		return nil
	}
	pair, err := tls.X509KeyPair(stored, stored)
	if err != nil {
		ca.log.Warn("a stored local certificate is damaged and replaced", "host", name, "err", err)
		return nil
	}
	if pair.Leaf.CheckSignatureFrom(ca.root) != nil || !fresh(pair.Leaf, now) || !slices.Equal(hostsOf(pair.Leaf), hosts) {
		return nil
	}
	return &pair
}

// fresh tells whether a certificate is before the last third of its life.
func fresh(c *x509.Certificate, now time.Time) bool {
	return now.After(c.NotBefore) && now.Before(c.NotAfter.Add(-c.NotAfter.Sub(c.NotBefore)/3))
}

// hostsOf returns the names and addresses of a certificate, names first.
func hostsOf(c *x509.Certificate) []string {
	hosts := slices.Clone(c.DNSNames)
	for _, ip := range c.IPAddresses {
		hosts = append(hosts, ip.String())
	}
	return hosts
}

func (ca *localCA) issue(hosts []string, now time.Time) ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := leafTemplate(hosts, now, leafLife)
	der, err := x509.CreateCertificate(rand.Reader, template, ca.root, &key.PublicKey, ca.key)
	if err != nil {
		return nil, err
	}
	return encodePair(key, der)
}

// leafTemplate is a server's certificate for hosts, names or addresses.
func leafTemplate(hosts []string, now time.Time, life time.Duration) *x509.Certificate {
	template := &x509.Certificate{
		SerialNumber: serial(),
		Subject:      pkix.Name{Organization: []string{"berth"}},
		NotBefore:    now.Add(-backdate),
		NotAfter:     now.Add(life - backdate),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, host := range hosts {
		if addr, err := netip.ParseAddr(host); err == nil {
			template.IPAddresses = append(template.IPAddresses, net.IP(addr.AsSlice()))
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	return template
}

// forget drops the certificate of a host that is gone.
func (ca *localCA) forget(ctx context.Context, host string) {
	ca.mu.Lock()
	delete(ca.leaves, host)
	ca.mu.Unlock()
	if err := ca.storage.Delete(ctx, leafKey(host)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		ca.log.Warn("a local certificate is not deleted", "host", host, "err", err)
	}
}

// peek returns the certificate of a host if it has been needed already.
func (ca *localCA) peek(host string) *x509.Certificate {
	ca.mu.Lock()
	l := ca.leaves[host]
	ca.mu.Unlock()
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cert == nil {
		return nil
	}
	return l.cert.Leaf
}

// encodePair writes a key and its certificate as one storage entry: there is
// never one without the other.
func encodePair(key *ecdsa.PrivateKey, der []byte) ([]byte, error) {
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	for _, block := range []*pem.Block{{Type: "PRIVATE KEY", Bytes: secret}, {Type: "CERTIFICATE", Bytes: der}} {
		if err := pem.Encode(&b, block); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}

// serial returns a random serial number of the 20 octets that RFC 5280 allows, positive.
func serial() *big.Int {
	b := make([]byte, 20)
	rand.Read(b)
	b[0] = b[0]&0x7f | 0x40
	return new(big.Int).SetBytes(b)
}
