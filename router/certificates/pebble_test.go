package certificates

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
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
	CA
	stop func()
	// start runs it again at the same address, with a memory as empty as a new one's.
	start func()
}

func needPebble(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("pebble"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("pebble is needed in CI: %v", err)
		}
		t.Skip("pebble is not installed (Debian package pebble)")
	}
}

// startPebble starts Pebble on loopback. It asks for proof at the given ports,
// wherever a name may point, and finds names by the given DNS server.
func startPebble(t *testing.T, dns string, httpPort, httpsPort int, config map[string]any) *pebble {
	t.Helper()
	needPebble(t)
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
	address := freeAddr(t)
	whole := map[string]any{
		"listenAddress": address, "managementListenAddress": freeAddr(t),
		"certificate": pairFile, "privateKey": pairFile,
		"httpPort": httpPort, "tlsPort": httpsPort,
	}
	for name, value := range config {
		whole[name] = value
	}
	raw, _ := json.Marshal(map[string]any{"pebble": whole})
	configFile := filepath.Join(dir, "pebble.json")
	if err := os.WriteFile(configFile, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	root := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.root.Raw})
	p := &pebble{CA: CA{Directory: "https://" + address + "/dir", Roots: string(root)}}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(root)
	c := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, DisableKeepAlives: true}}
	p.start = func() {
		p.stop = run(t, "pebble", "-config", configFile, "-dnsserver", dns)
		await(t, "Pebble answers", func() bool {
			res, err := c.Get(p.Directory)
			if err == nil {
				res.Body.Close()
			}
			return err == nil
		})
	}
	p.start()
	return p
}

// run starts a program that ends with the test, or when it is stopped.
func run(t *testing.T, name string, args ...string) (stop func()) {
	t.Helper()
	var out bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "PEBBLE_VA_NOSLEEP=1", "PEBBLE_WFE_NONCEREJECT=20")
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			cmd.Process.Kill()
			cmd.Wait()
		}
	}
	t.Cleanup(func() {
		stop()
		if t.Failed() {
			t.Logf("%s said:\n%s", name, out.String())
		}
	})
	return stop
}

func freeAddr(t testing.TB) string {
	l := listen(t)
	defer l.Close()
	return l.Addr().String()
}

// await polls what another process does; there is no event to wait for.
func await(t testing.TB, what string, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !done() {
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute: %s", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
