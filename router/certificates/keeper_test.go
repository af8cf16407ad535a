package certificates

import (
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
)

func TestKeeper_LocalCAServesKnownHostsAndAddresses(t *testing.T) {
	s := start(t, &certmagic.FileStorage{Path: t.TempDir()})
	for _, host := range []string{"shop.localhost", "shop.example.com", "SHOP.localhost"} {
		cert := handshake(t, s.secure, host)
		if _, err := cert.Verify(x509.VerifyOptions{Roots: s.roots(), DNSName: host}); err != nil {
			t.Errorf("%s: %v", host, err)
		}
		if life := cert.NotAfter.Sub(cert.NotBefore); life > 90*24*time.Hour {
			t.Errorf("%s: lives for %v, want 90 days at most", host, life)
		}
	}
	for _, sni := range []string{"", "nobody.example.com", "127.0.0.1"} {
		cert := handshake(t, s.secure, sni)
		for _, addr := range []string{"127.0.0.1", "::1"} {
			if _, err := cert.Verify(x509.VerifyOptions{Roots: s.roots(), DNSName: addr}); err != nil {
				t.Errorf("SNI %q: %v", sni, err)
			}
		}
		if len(cert.DNSNames) != 0 || len(cert.IPAddresses) != 2 {
			t.Errorf("SNI %q: the default certificate names %q and %v", sni, cert.DNSNames, cert.IPAddresses)
		}
	}
	if st := s.State("shop.localhost"); !st.Local || st.NotAfter.IsZero() || !strings.HasPrefix(st.Issuer, "berth local CA ") {
		t.Errorf("state: %+v", st)
	}
}

// between is a connection between two addresses.
type between struct {
	net.Conn
	own, client string
}

func (b between) LocalAddr() net.Addr { return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(b.own)) }
func (b between) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(b.client))
}

func TestKeeper_PrivateAddressesAreShownInside(t *testing.T) {
	k, err := New(t.Context(), Config{
		Storage:   &certmagic.FileStorage{Path: t.TempDir()},
		Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.5"), netip.MustParseAddr("172.18.0.1"), netip.MustParseAddr("9.9.9.9"), netip.MustParseAddr("fd00::5")},
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	if got := strings.Join(k.defaultHosts, " "); got != "127.0.0.1 ::1 9.9.9.9" {
		t.Errorf("the default certificate lists %s", got)
	}
	for _, row := range []struct{ own, client, want string }{
		{"9.9.9.9:443", "8.8.8.8:1", ""},
		{"10.0.0.5:443", "8.8.8.8:1", ""}, // behind a NAT
		{"10.0.0.5:443", "10.0.0.9:1", "10.0.0.5"},
		{"172.18.0.1:443", "172.18.0.7:1", "172.18.0.1"},
		{"[fd00::5]:443", "[fd00::9]:1", "fd00::5"},
		{"[::ffff:10.0.0.5]:443", "[::ffff:10.0.0.9]:1", "10.0.0.5"},
		{"9.9.9.9:443", "10.0.0.9:1", ""},
		{"127.0.0.1:443", "127.0.0.1:1", ""},
		{"10.0.0.77:443", "10.0.0.9:1", ""}, // no address of the machine's
	} {
		if got := k.dialledInside(&tls.ClientHelloInfo{Conn: between{own: row.own, client: row.client}}); got != row.want {
			t.Errorf("%s from %s: the certificate is for %q, want %q", row.own, row.client, got, row.want)
		}
	}
}

func TestKeeper_OldProtocolsAreRefused(t *testing.T) {
	s := start(t, &certmagic.FileStorage{Path: t.TempDir()})
	if _, err := tls.Dial("tcp", s.secure, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}); err == nil {
		t.Error("TLS 1.1 is spoken")
	}
	weak := []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}
	if _, err := tls.Dial("tcp", s.secure, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12, CipherSuites: weak}); err == nil {
		t.Error("a weak suite is spoken")
	}
}

func TestLocalCA_SurvivesARestartAndHeals(t *testing.T) {
	storage := &certmagic.FileStorage{Path: t.TempDir()}
	ctx := t.Context()
	first := newKeeper(t, storage)
	leaf, err := first.local.certificate(ctx, "shop.localhost", "shop.localhost")
	if err != nil {
		t.Fatal(err)
	}

	first.local.stores.Wait()

	second := newKeeper(t, storage)
	if !second.local.root.Equal(first.local.root) {
		t.Error("the root changed with a restart")
	}
	again, err := second.local.certificate(ctx, "shop.localhost", "shop.localhost")
	if err != nil || !again.Leaf.Equal(leaf.Leaf) {
		t.Errorf("the leaf changed with a restart (%v)", err)
	}

	// A truncated leaf is made anew, under the same root.
	whole, err := storage.Load(ctx, leafKey("shop.localhost"))
	if err != nil {
		t.Fatal(err)
	}
	storage.Store(ctx, leafKey("shop.localhost"), whole[:len(whole)/2])
	third := newKeeper(t, storage)
	healed, err := third.local.certificate(ctx, "shop.localhost", "shop.localhost")
	if err != nil || healed.Leaf.Equal(leaf.Leaf) || healed.Leaf.CheckSignatureFrom(first.local.root) != nil {
		t.Errorf("a truncated leaf is not healed (%v)", err)
	}

	// A truncated root is replaced, and the leaves that it had signed with it.
	third.local.stores.Wait()
	storage.Store(ctx, rootKey, []byte("-----BEGIN PRIVATE KEY-----\n"))
	fourth := newKeeper(t, storage)
	fresh, err := fourth.local.certificate(ctx, "shop.localhost", "shop.localhost")
	if err != nil || fresh.Leaf.CheckSignatureFrom(fourth.local.root) != nil {
		t.Errorf("the leaf of a lost root is still served (%v)", err)
	}
}

func TestLocalCA_LeafIsRenewedInTheLastThirdOfItsLife(t *testing.T) {
	ca := newKeeper(t, &certmagic.FileStorage{Path: t.TempDir()}).local
	old, err := ca.issue([]string{"shop.localhost"}, time.Now().Add(-61*24*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if err := ca.storage.Store(t.Context(), leafKey("shop.localhost"), old); err != nil {
		t.Fatal(err)
	}
	cert, err := ca.certificate(t.Context(), "shop.localhost", "shop.localhost")
	if err != nil || time.Until(cert.Leaf.NotAfter) < 80*24*time.Hour {
		t.Errorf("got one until %v, %v", cert.Leaf.NotAfter, err)
	}
}

func TestSetHosts_ForgetsHostsThatAreGone(t *testing.T) {
	c := newKeeper(t, &certmagic.FileStorage{Path: t.TempDir()})
	ctx := t.Context()
	if err := c.SetHosts(ctx, named("a.localhost", "b.localhost"), ACME{}); err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"a.localhost", "b.localhost"} {
		if _, err := c.local.certificate(ctx, host, host); err != nil {
			t.Fatal(err)
		}
	}
	c.local.stores.Wait()
	if err := c.SetHosts(ctx, named("a.localhost"), ACME{}); err != nil {
		t.Fatal(err)
	}
	if c.State("a.localhost").NotAfter.IsZero() || !c.State("b.localhost").NotAfter.IsZero() {
		t.Errorf("states: %+v, %+v", c.State("a.localhost"), c.State("b.localhost"))
	}
	if c.cfg.Storage.Exists(ctx, leafKey("b.localhost")) {
		t.Error("the certificate of a host that is gone is still stored")
	}
	if err := c.SetHosts(ctx, nil, ACME{Email: "a@example.com", CAs: []CA{{Roots: "no PEM"}}}); err == nil {
		t.Error("roots that are none were accepted")
	}
}

func TestPublic_TellsNamesThatACACanVouchFor(t *testing.T) {
	for host, want := range map[string]bool{
		"shop.example.com": true, "example.com": true, "shop.203.0.113.9.sslip.io": true, "xn--mnchen-3ya.de": true,
		"localhost": false, "shop.localhost": false, "server": false, "nas.local": false, "app.internal": false,
		"a.test": false, "box.lan": false, "box.home.arpa": false, "203.0.113.9": false, "2001:db8::1": false,
		"*.example.com": true, "*.localhost": false, "*.com": false, "1.1.1.1": true, "2606:4700::1111": true, "10.0.0.1": false,
		"100.64.0.1": false, "fd00::1": false, "::1": false,
	} {
		if got := Public(host); got != want {
			t.Errorf("Public(%q) is %v, want %v", host, got, want)
		}
	}
}

func TestNew_UnreadableStorageDoesNotReplaceTheCA(t *testing.T) {
	_, err := New(t.Context(), Config{Storage: failing{}}, slog.New(slog.DiscardHandler))
	if err == nil {
		t.Error("a CA was made although the stored one could not be read")
	}
}

func BenchmarkLocalCA_FirstHandshakeOfAHost(b *testing.B) {
	ca := newKeeper(b, &certmagic.FileStorage{Path: b.TempDir()}).local
	n := 0
	for b.Loop() {
		n++
		host := netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}).String()
		if _, err := ca.certificate(b.Context(), host, host); err != nil {
			b.Fatal(err)
		}
	}
}

func TestHost_SharedByTwoHasTheFirstPairAndTheCAs(t *testing.T) {
	one, two := new(Pair), new(Pair)
	for _, row := range []struct {
		a, b, want Host
	}{
		{Host{Name: "h"}, Host{Name: "h", Own: one}, Host{Name: "h", Own: one}},
		{Host{Name: "h", Own: one}, Host{Name: "h", Own: two}, Host{Name: "h", Own: one}},
		{Host{Name: "h", Local: true}, Host{Name: "h"}, Host{Name: "h"}},
		{Host{Name: "h", Local: true}, Host{Name: "h", Local: true}, Host{Name: "h", Local: true}},
	} {
		if got := row.a.and(row.b); got != row.want {
			t.Errorf("%+v and %+v: got %+v, want %+v", row.a, row.b, got, row.want)
		}
	}
}
