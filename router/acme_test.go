package router

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
)

// pebble is a running ACME CA.
type pebble struct {
	directory string
	roots     string // PEM, for the directory
}

// startPebble starts Pebble and its DNS server on loopback. It asks for proof
// at the given ports, wherever a name may point.
func startPebble(t *testing.T, httpPort, httpsPort int) pebble {
	t.Helper()
	for _, program := range []string{"pebble", "pebble-challtestsrv"} {
		if _, err := exec.LookPath(program); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatalf("%s is needed in CI: %v", program, err)
			}
			t.Skipf("%s is not installed (Debian package pebble)", program)
		}
	}
	dir := t.TempDir()
	ca, err := newLocalCA(t.Context(), &certmagic.FileStorage{Path: dir}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	pair, err := ca.issue([]string{"127.0.0.1"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	pairFile := filepath.Join(dir, "pebble.pem")
	if err := os.WriteFile(pairFile, pair, 0o600); err != nil {
		t.Fatal(err)
	}
	address, management, dns, dnsManagement := freeAddr(t), freeAddr(t), freeAddr(t), freeAddr(t)
	config, _ := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress": address, "managementListenAddress": management,
		"certificate": pairFile, "privateKey": pairFile,
		"httpPort": httpPort, "tlsPort": httpsPort,
	}})
	configFile := filepath.Join(dir, "pebble.json")
	if err := os.WriteFile(configFile, config, 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "pebble-challtestsrv", "-defaultIPv4", "127.0.0.1", "-defaultIPv6", "", "-dns01", dns, "-management", dnsManagement,
		"-http01", "", "-https01", "", "-tlsalpn01", "")
	run(t, "pebble", "-config", configFile, "-dnsserver", dns)
	p := pebble{directory: "https://" + address + "/dir", roots: string(ca.rootPEM)}

	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca.rootPEM)
	c := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	await(t, "Pebble answers", func() bool {
		res, err := c.Get(p.directory)
		if err == nil {
			res.Body.Close()
		}
		return err == nil
	})
	return p
}

// run starts a program that ends with the test.
func run(t *testing.T, name string, args ...string) {
	t.Helper()
	var out bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "PEBBLE_VA_NOSLEEP=1", "PEBBLE_WFE_NONCEREJECT=20")
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("%s said:\n%s", name, out.String())
		}
	})
}

func freeAddr(t *testing.T) string {
	l := listen(t)
	defer l.Close()
	return l.Addr().String()
}

// await polls what another process does; there is no event to wait for.
func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !done() {
		if time.Now().After(deadline) {
			t.Fatalf("not within 30s: %s", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// startFor starts a router whose certificates know its real ports.
func startFor(t *testing.T, storage certmagic.Storage) (s *service, httpPort, httpsPort int) {
	t.Helper()
	plain, secure := listen(t), listen(t)
	httpPort, httpsPort = plain.Addr().(*net.TCPAddr).Port, secure.Addr().(*net.TCPAddr).Port
	log := slog.New(slog.DiscardHandler)
	certs, err := NewCertificates(t.Context(), CertificatesConfig{Storage: storage, HTTPPort: httpPort, HTTPSPort: httpsPort}, log)
	if err != nil {
		t.Fatal(err)
	}
	s = &service{Router: New(Config{Certificates: certs}, log), certs: certs, plain: plain.Addr().String(), secure: secure.Addr().String()}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error)
	go func() { served <- s.Serve(ctx, []net.Listener{plain}, []net.Listener{secure}) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
		certs.Close()
	})
	return s, httpPort, httpsPort
}

func TestACME_ObtainsByEitherChallengeWhileTheLocalCAServes(t *testing.T) {
	for _, challenge := range []string{"http-01", "tls-alpn-01"} {
		t.Run(challenge, func(t *testing.T) {
			storage := &certmagic.FileStorage{Path: t.TempDir()}
			s, httpPort, httpsPort := startFor(t, storage)
			if challenge == "http-01" {
				httpsPort = 1 // the CA finds nobody there
			} else {
				httpPort = 1
			}
			p := startPebble(t, httpPort, httpsPort)
			const host = "shop.example.com"
			s.swap(t, "shop", []string{host, "shop.localhost"}, app(t, "1", says("shop")))
			if cert := handshake(t, s.secure, host); cert.CheckSignatureFrom(s.certs.local.root) != nil {
				t.Error("before the order the local CA does not serve")
			}
			acme := ACMEConfig{Email: "ops@example.com", Directory: p.directory, Roots: p.roots}
			if err := s.certs.SetHosts(t.Context(), []string{host, "shop.localhost"}, acme); err != nil {
				t.Fatal(err)
			}
			await(t, "a certificate of Pebble is served", func() bool {
				handshake(t, s.secure, host) // works at every moment
				return !s.certs.State(host).Local
			})
			cert := handshake(t, s.secure, host)
			if cert.VerifyHostname(host) != nil || cert.CheckSignatureFrom(s.certs.local.root) == nil {
				t.Errorf("served is a certificate of %s for %v", cert.Issuer, cert.DNSNames)
			}
			st := s.certs.State(host)
			if st.Pending || st.LastError != "" || !st.NotAfter.Equal(cert.NotAfter) || st.Issuer != cert.Issuer.CommonName {
				t.Errorf("state: %+v", st)
			}
			if cert := handshake(t, s.secure, "shop.localhost"); cert.CheckSignatureFrom(s.certs.local.root) != nil {
				t.Error("a private name is not of the local CA")
			}

			// The host leaves, and comes back to a truncated certificate.
			if err := s.certs.SetHosts(t.Context(), nil, acme); err != nil {
				t.Fatal(err)
			}
			key := certmagic.StorageKeys.SiteCert(s.certs.acme.Load().issuer.IssuerKey(), host)
			whole, err := storage.Load(t.Context(), key)
			if err != nil {
				t.Fatal(err)
			}
			storage.Store(t.Context(), key, whole[:20])
			if err := s.certs.SetHosts(t.Context(), []string{host}, acme); err != nil {
				t.Fatal(err)
			}
			await(t, "the truncated certificate is replaced", func() bool { return !s.certs.State(host).Local })
			if again := handshake(t, s.secure, host); again.Equal(cert) {
				t.Error("the certificate is the same")
			}
		})
	}
}

func TestACME_CAThatIsDownLeavesTheLocalCertificate(t *testing.T) {
	s, _, _ := startFor(t, &certmagic.FileStorage{Path: t.TempDir()})
	const host = "shop.example.com"
	s.swap(t, "shop", []string{host}, app(t, "1", says("shop")))
	began := time.Now()
	if err := s.certs.SetHosts(t.Context(), []string{host}, ACMEConfig{Email: "ops@example.com", Directory: "https://" + freeAddr(t) + "/dir"}); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("SetHosts took %v", took)
	}
	await(t, "the failure is told", func() bool { return s.certs.State(host).LastError != "" })
	st := s.certs.State(host)
	if !st.Pending || !st.Local || time.Since(st.LastErrorAt) > time.Minute {
		t.Errorf("state: %+v", st)
	}
	if _, body := get(t, s.client(t), fmt.Sprintf("https://%s/", host)); body != "shop" {
		t.Errorf("the host answers %q, want the app", body)
	}
	// Without an e-mail the order is off the table, and its failure with it.
	if err := s.certs.SetHosts(t.Context(), []string{host}, ACMEConfig{}); err != nil {
		t.Fatal(err)
	}
	if st := s.certs.State(host); st.Pending || st.LastError != "" {
		t.Errorf("state without an account: %+v", st)
	}
}
