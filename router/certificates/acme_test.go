package certificates

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"log/slog"
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

func TestACME_ObtainsByEitherChallengeWhileTheLocalCAServes(t *testing.T) {
	for _, challenge := range []string{"http-01", "tls-alpn-01"} {
		t.Run(challenge, func(t *testing.T) {
			storage := &certmagic.FileStorage{Path: t.TempDir()}
			s := start(t, storage)
			httpPort, httpsPort := s.ports()
			if challenge == "http-01" {
				httpsPort = 1 // the CA finds nobody there
			} else {
				httpPort = 1
			}
			p := startPebble(t, httpPort, httpsPort)
			const host = "shop.example.com"
			if cert := handshake(t, s.secure, host); cert.CheckSignatureFrom(s.local.root) != nil {
				t.Error("before the order the local CA does not serve")
			}
			acme := ACME{Email: "ops@example.com", Directory: p.directory, Roots: p.roots}
			if err := s.SetHosts(t.Context(), []string{host, "shop.localhost"}, acme); err != nil {
				t.Fatal(err)
			}
			await(t, "a certificate of Pebble is served", func() bool {
				handshake(t, s.secure, host) // works at every moment
				return !s.State(host).Local
			})
			cert := handshake(t, s.secure, host)
			if cert.VerifyHostname(host) != nil || cert.CheckSignatureFrom(s.local.root) == nil {
				t.Errorf("served is a certificate of %s for %v", cert.Issuer, cert.DNSNames)
			}
			st := s.State(host)
			if st.Pending || st.LastError != "" || !st.NotAfter.Equal(cert.NotAfter) || st.Issuer != cert.Issuer.CommonName {
				t.Errorf("state: %+v", st)
			}
			if cert := handshake(t, s.secure, "shop.localhost"); cert.CheckSignatureFrom(s.local.root) != nil {
				t.Error("a private name is not of the local CA")
			}

			// The host leaves, and comes back to a truncated certificate.
			if err := s.SetHosts(t.Context(), nil, acme); err != nil {
				t.Fatal(err)
			}
			key := certmagic.StorageKeys.SiteCert(s.acme.Load().issuer.IssuerKey(), host)
			whole, err := storage.Load(t.Context(), key)
			if err != nil {
				t.Fatal(err)
			}
			storage.Store(t.Context(), key, whole[:20])
			if err := s.SetHosts(t.Context(), []string{host}, acme); err != nil {
				t.Fatal(err)
			}
			await(t, "the truncated certificate is replaced", func() bool { return !s.State(host).Local })
			if again := handshake(t, s.secure, host); again.Equal(cert) {
				t.Error("the certificate is the same")
			}
		})
	}
}

func TestACME_CAThatIsDownLeavesTheLocalCertificate(t *testing.T) {
	s := start(t, &certmagic.FileStorage{Path: t.TempDir()})
	const host = "shop.example.com"
	began := time.Now()
	if err := s.SetHosts(t.Context(), []string{host}, ACME{Email: "ops@example.com", Directory: "https://" + freeAddr(t) + "/dir"}); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("SetHosts took %v", took)
	}
	await(t, "the failure is told", func() bool { return s.State(host).LastError != "" })
	st := s.State(host)
	if !st.Pending || !st.Local || time.Since(st.LastErrorAt) > time.Minute {
		t.Errorf("state: %+v", st)
	}
	if cert := handshake(t, s.secure, host); cert.CheckSignatureFrom(s.local.root) != nil {
		t.Error("the local CA does not serve meanwhile")
	}
	// Without an e-mail the order is off the table, and its failure with it.
	if err := s.SetHosts(t.Context(), []string{host}, ACME{}); err != nil {
		t.Fatal(err)
	}
	if st := s.State(host); st.Pending || st.LastError != "" {
		t.Errorf("state without an account: %+v", st)
	}
}
