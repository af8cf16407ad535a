package certificates

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
	"golang.org/x/crypto/ocsp"
)

// vouched makes a CA, a certificate of it that names an OCSP responder, and what
// the responder needs to know: the CA's files in dir.
func vouched(t *testing.T, dir, host, responder string) (ca *x509.Certificate, chain, key []byte) {
	t.Helper()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	now := time.Now()
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Test CA"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(1000 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	caDER, err := x509.CreateCertificate(rand.Reader, template, template, caKey.Public(), caKey)
	check(err)
	ca, err = x509.ParseCertificate(caDER)
	check(err)
	leafKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(err)
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(0x1234), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(900 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, OCSPServer: []string{responder},
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, ca, leafKey.Public(), caKey)
	check(err)
	encoded := func(kind string, der []byte) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	}
	caKeyDER, err := x509.MarshalECPrivateKey(caKey)
	check(err)
	leafKeyDER, err := x509.MarshalECPrivateKey(leafKey)
	check(err)
	check(os.WriteFile(filepath.Join(dir, "ca.pem"), encoded("CERTIFICATE", caDER), 0o600))
	check(os.WriteFile(filepath.Join(dir, "ca.key"), encoded("EC PRIVATE KEY", caKeyDER), 0o600))
	index := fmt.Sprintf("V\t%s\t\t1234\tunknown\t/CN=%s\n", leaf.NotAfter.UTC().Format("060102150405Z"), host)
	check(os.WriteFile(filepath.Join(dir, "index.txt"), []byte(index), 0o600))
	return ca, append(encoded("CERTIFICATE", leafDER), encoded("CERTIFICATE", caDER)...), encoded("EC PRIVATE KEY", leafKeyDER)
}

// benchIssuer is where the certificates of benchACME's CA are stored.
func benchIssuer() string {
	return (&certmagic.ACMEIssuer{CA: benchACME.CAs[0].Directory}).IssuerKey()
}

func TestKeeper_StaplesWhatTheCAsResponderSays(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("openssl is needed in CI: %v", err)
		}
		t.Skip("openssl is not installed")
	}
	const host = "shop.example.com"
	dir, address := t.TempDir(), freeAddr(t)
	ca, chain, key := vouched(t, dir, host, "http://"+address+"/")
	_, port, _ := net.SplitHostPort(address)
	in := func(name string) string { return filepath.Join(dir, name) }
	run(t, "openssl", "ocsp", "-port", port, "-index", in("index.txt"), "-CA", in("ca.pem"),
		"-rsigner", in("ca.pem"), "-rkey", in("ca.key"), "-ndays", "3")
	await(t, "the responder answers", func() bool {
		return exec.Command("openssl", "ocsp", "-issuer", in("ca.pem"), "-serial", "0x1234", "-url", "http://"+address+"/", "-CAfile", in("ca.pem")).Run() == nil
	})
	storage := &certmagic.FileStorage{Path: t.TempDir()}
	values := [3][]byte{chain, key, fmt.Appendf(nil, `{"sans":[%q]}`, host)}
	for i, name := range storedAs(benchIssuer(), host) {
		if err := storage.Store(t.Context(), name, values[i]); err != nil {
			t.Fatal(err)
		}
	}
	s := start(t, storage)
	if err := s.SetHosts(t.Context(), named(host), benchACME); err != nil {
		t.Fatal(err)
	}
	await(t, "the certificate is read", func() bool { return s.fromACME(host) != nil })
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	c, err := tls.Dial("tcp", s.secure, &tls.Config{ServerName: host, RootCAs: roots})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	staple, err := ocsp.ParseResponseForCert(c.ConnectionState().OCSPResponse, c.ConnectionState().PeerCertificates[0], ca)
	if err != nil || staple.Status != ocsp.Good || time.Until(staple.NextUpdate) < 48*time.Hour {
		t.Errorf("the staple is %+v, %v", staple, err)
	}
}

// Pebble as Debian has it offers no ARI: that renewals follow it is certmagic's
// to test. Ours is to leave it on.
func TestNewAuthority_LeavesARIAndStaplesOn(t *testing.T) {
	k := newKeeper(t, &certmagic.FileStorage{Path: t.TempDir()})
	acme := benchACME
	acme.DNS = DNS{Provider: "rfc2136", Settings: map[string]string{"RFC2136_NAMESERVER": "127.0.0.1:1"}}
	au, err := k.newAuthority(acme)
	if err != nil {
		t.Fatal(err)
	}
	for kind, config := range map[string]*certmagic.Config{"names": au.names, "wildcards": au.wildcards, "addresses": au.addresses} {
		if config.DisableARI || config.OCSP.DisableStapling || config.OCSP.HTTPProxy == nil {
			t.Errorf("%s: ARI is off: %v, stapling: %v, responders are waited for without end: %v", kind,
				config.DisableARI, config.OCSP.DisableStapling, config.OCSP.HTTPProxy == nil)
		}
	}
}
