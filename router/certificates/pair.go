package certificates

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/berthd/berth/units"
)

const (
	maxPairSize = 64 << 10 // of a certificate with its chain, and of a key: ten times what they take
	minRSABits  = 2048     // what browsers and CAs ask for

	selfSignedLife = 365 * 24 * time.Hour // as Dokku's
)

// Pair is a certificate of somebody's own, with its chain and key.
type Pair struct {
	cert tls.Certificate
}

// Leaf is the certificate itself.
func (p *Pair) Leaf() *x509.Certificate { return p.cert.Leaf }

// Covers tells whether the certificate is for a host. Only a wildcard covers a
// wildcard.
func (p *Pair) Covers(host string) bool {
	if strings.HasPrefix(host, "*.") {
		return slices.ContainsFunc(p.cert.Leaf.DNSNames, func(name string) bool { return strings.EqualFold(name, host) })
	}
	return p.cert.Leaf.VerifyHostname(host) == nil
}

// Hosts are the names and addresses that the certificate is for.
func (p *Pair) Hosts() []string { return hostsOf(p.cert.Leaf) }

// SelfSigned reports whether the certificate is signed by its own key.
func (p *Pair) SelfSigned() bool { return selfSigned(p.cert.Leaf) }

func selfSigned(c *x509.Certificate) bool {
	return slices.Equal(c.RawSubject, c.RawIssuer) && c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil
}

func (p *Pair) valid(now time.Time) bool {
	return !now.Before(p.cert.Leaf.NotBefore) && !now.After(p.cert.Leaf.NotAfter)
}

// LoadPair reads a pair that was checked when it was given.
func LoadPair(chain, key []byte) (*Pair, error) {
	cert, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return nil, err
	}
	return &Pair{cert}, nil
}

// ParsePair reads a certificate with its chain and its key, both PEM, and
// refuses a pair that browsers would refuse. The order of the certificates does
// not matter. chain and secret are what LoadPair wants.
func ParsePair(certificates, key []byte, now time.Time) (pair *Pair, chain, secret []byte, err error) {
	if len(certificates) > maxPairSize || len(key) > maxPairSize {
		return nil, nil, nil, fmt.Errorf("a certificate or key cannot be larger than %s", units.Bytes(maxPairSize))
	}
	signer, err := parseKey(key)
	if err != nil {
		return nil, nil, nil, err
	}
	all, err := parseCertificates(certificates)
	if err != nil {
		return nil, nil, nil, err
	}
	leaf := slices.IndexFunc(all, func(c *x509.Certificate) bool { return samePublicKey(c, signer) })
	if leaf < 0 {
		return nil, nil, nil, fmt.Errorf("the key does not belong to the certificate of %s", nameOf(all[0]))
	}
	sorted, err := sortChain(all[leaf], slices.Delete(slices.Clone(all), leaf, leaf+1))
	if err != nil {
		return nil, nil, nil, err
	}
	if err := usable(sorted[0], now); err != nil {
		return nil, nil, nil, err
	}
	for _, c := range sorted {
		chain = append(chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	der, err := x509.MarshalPKCS8PrivateKey(signer)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("TLS does not support this kind of key: %w", err)
	}
	secret = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	pair, err = LoadPair(chain, secret)
	return pair, chain, secret, err
}

// SelfSigned makes a self-signed certificate for hosts, and its key, both PEM.
func SelfSigned(hosts []string, now time.Time) (certificate, key []byte, err error) {
	signer, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := leafTemplate(hosts, now, selfSignedLife)
	template.Subject.CommonName = hosts[0]
	der, err := x509.CreateCertificate(rand.Reader, template, template, &signer.PublicKey, signer)
	if err != nil {
		return nil, nil, fmt.Errorf("make a certificate for %s: %w", hosts[0], err)
	}
	pair, err := encodePair(signer, der)
	return pair, pair, err
}

// parseKey never says what is in a key.
func parseKey(key []byte) (crypto.Signer, error) {
	sawCertificate := false
	for block, rest := pem.Decode(key); block != nil; block, rest = pem.Decode(rest) {
		switch {
		case block.Type == "CERTIFICATE":
			sawCertificate = true
			continue
		case block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "":
			return nil, errors.New("the key is encrypted, and berth cannot ask for its passphrase at a restart; decrypt it: openssl pkey -in KEY -out PLAIN")
		case !strings.HasSuffix(block.Type, "PRIVATE KEY"):
			continue // EC PARAMETERS, which openssl writes before the key
		}
		var parsed any
		var err error
		switch block.Type {
		case "RSA PRIVATE KEY":
			parsed, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		case "EC PRIVATE KEY":
			parsed, err = x509.ParseECPrivateKey(block.Bytes)
		default:
			parsed, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		}
		signer, ok := parsed.(crypto.Signer)
		if err != nil || !ok {
			return nil, errors.New("the key is damaged, or TLS does not support its kind")
		}
		return signer, nil
	}
	if sawCertificate {
		return nil, errors.New("there is a certificate where the key should be")
	}
	return nil, errors.New("the key is not in PEM: it begins with -----BEGIN PRIVATE KEY-----")
}

func parseCertificates(text []byte) (all []*x509.Certificate, err error) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue // people keep the key in the same file
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d of the file is damaged: %w", len(all)+1, err)
		}
		all = append(all, c)
	}
	if len(all) == 0 {
		return nil, errors.New("the certificate is not in PEM: it begins with -----BEGIN CERTIFICATE-----")
	}
	return all, nil
}

func samePublicKey(c *x509.Certificate, signer crypto.Signer) bool {
	key, ok := signer.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && key.Equal(c.PublicKey)
}

// sortChain puts each certificate before the one that signed it, and leaves out
// what signed none. A chain that nobody could follow is refused.
func sortChain(leaf *x509.Certificate, others []*x509.Certificate) (chain []*x509.Certificate, err error) {
	chain = []*x509.Certificate{leaf}
	for last := leaf; !selfSigned(last); {
		i := slices.IndexFunc(others, func(c *x509.Certificate) bool { return last.CheckSignatureFrom(c) == nil })
		if i < 0 {
			break
		}
		last = others[i]
		others = slices.Delete(others, i, i+1)
		chain = append(chain, last)
	}
	if len(chain) > 1 || selfSigned(leaf) {
		return chain, nil
	}
	if _, err := leaf.Verify(x509.VerifyOptions{CurrentTime: leaf.NotBefore.Add(time.Second)}); err != nil {
		return nil, fmt.Errorf("the chain is missing: the file lacks the certificate of %q, which signed this one", leaf.Issuer.CommonName)
	}
	return chain, nil
}

func usable(leaf *x509.Certificate, now time.Time) error {
	switch {
	case now.After(leaf.NotAfter):
		return fmt.Errorf("the certificate of %s has expired on %s", nameOf(leaf), leaf.NotAfter.UTC().Format(time.DateOnly))
	case now.Before(leaf.NotBefore):
		return fmt.Errorf("the certificate of %s is not valid before %s", nameOf(leaf), leaf.NotBefore.UTC().Format(time.DateTime))
	case len(hostsOf(leaf)) == 0:
		return fmt.Errorf("the certificate of %s names no host: browsers only read subject alternative names", nameOf(leaf))
	case len(leaf.ExtKeyUsage) > 0 && !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageServerAuth) && !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageAny):
		return fmt.Errorf("the certificate of %s is not for servers", nameOf(leaf))
	}
	if key, ok := leaf.PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() < minRSABits {
		return fmt.Errorf("an RSA key of %d bits is too short; the minimum is %d", key.N.BitLen(), minRSABits)
	}
	return nil
}

// nameOf is what a person would call a certificate.
func nameOf(c *x509.Certificate) string {
	if hosts := hostsOf(c); len(hosts) > 0 {
		return hosts[0]
	}
	if c.Subject.CommonName != "" {
		return fmt.Sprintf("%q", c.Subject.CommonName)
	}
	return "nobody"
}
