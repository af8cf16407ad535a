package certificates

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/caddyserver/certmagic"
)

// service is a keeper behind the two listeners that a router has.
type service struct {
	*Keeper
	plain, secure string // addresses
}

// served tells what the service serves.
func served(host string) bool {
	return host == "shop.localhost" || strings.HasSuffix(host, ".example.com") && host != "nobody.example.com"
}

// hostOf returns a public name that is the test's own: certmagic knows the
// challenges of a process by their names, and tests run beside each other.
func hostOf(t testing.TB) string {
	sum := sha256.Sum256([]byte(t.Name()))
	return fmt.Sprintf("shop-%x.example.com", sum[:4])
}

// start starts a service on loopback, whose keeper knows its real ports.
func start(t testing.TB, storage certmagic.Storage, change ...func(*Config)) *service {
	t.Helper()
	plain, secure := listen(t), listen(t)
	cfg := Config{
		Storage:   storage,
		Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.7")},
		HTTPPort:  portOf(plain), HTTPSPort: portOf(secure),
	}
	for _, fn := range change {
		fn(&cfg)
	}
	k, err := New(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s := &service{Keeper: k, plain: plain.Addr().String(), secure: secure.Addr().String()}
	silent := log.New(io.Discard, "", 0)
	servers := []*http.Server{
		{ErrorLog: silent, Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if !k.AnswerChallenge(w, req) {
				http.NotFound(w, req)
			}
		})},
		{ErrorLog: silent, TLSConfig: k.TLSConfig(func(host string) (string, bool) {
			return host, served(host)
		})},
	}
	var serving sync.WaitGroup
	serve := func(fn func() error) {
		serving.Go(func() {
			if err := fn(); !errors.Is(err, http.ErrServerClosed) {
				t.Error(err)
			}
		})
	}
	serve(func() error { return servers[0].Serve(plain) })
	serve(func() error { return servers[1].ServeTLS(secure, "", "") })
	t.Cleanup(func() {
		for _, server := range servers {
			server.Close()
		}
		serving.Wait()
		k.Close()
	})
	return s
}

func (s *service) ports() (http, https int) {
	return int(netip.MustParseAddrPort(s.plain).Port()), int(netip.MustParseAddrPort(s.secure).Port())
}

// named are hosts with nothing else to say of them.
func named(names ...string) (hosts []Host) {
	for _, name := range names {
		hosts = append(hosts, Host{Name: name})
	}
	return hosts
}

func (s *service) roots() *x509.CertPool {
	pool := x509.NewCertPool()
	root, err := s.Root(Trust{Names: []string{"example.com"}})
	if err != nil {
		panic(err)
	}
	pool.AppendCertsFromPEM(root)
	return pool
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func portOf(l net.Listener) int { return l.Addr().(*net.TCPAddr).Port }

// handshake returns the certificate that a client with this SNI is shown.
func handshake(t testing.TB, addr, serverName string) *x509.Certificate {
	t.Helper()
	c, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true, ServerName: serverName})
	if err != nil {
		t.Fatalf("handshake for %q: %v", serverName, err)
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0]
}

func newKeeper(t testing.TB, storage certmagic.Storage) *Keeper {
	t.Helper()
	k, err := New(t.Context(), Config{Storage: storage}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	return k
}

// failing is a storage whose disk is broken.
type failing struct{ certmagic.Storage }

func (failing) Load(context.Context, string) ([]byte, error) { return nil, io.ErrUnexpectedEOF }
