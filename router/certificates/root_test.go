package certificates

import (
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
)

func rooted(t *testing.T) *Keeper {
	t.Helper()
	k, err := New(t.Context(), Config{
		Storage:   &certmagic.FileStorage{Path: t.TempDir()},
		Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.5"), netip.MustParseAddr("9.9.9.9"), netip.MustParseAddr("fd00::5")},
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	return k
}

// Who trusts the machine's CA does not trust it with the rest of the web: Go's
// verifier and OpenSSL's, which curl has, see it the same way.
func TestRoot_VouchesForNoHostButThoseServed(t *testing.T) {
	k := rooted(t)
	dir := t.TempDir()
	trust := Trust{Domain: "berth.test", Names: []string{"www.example.com", "*.shop.example", "shop.berth.test", "203.0.113.9"}}
	root, err := k.Root(trust)
	if err != nil {
		t.Fatal(err)
	}
	trust.Inside = true
	inside, err := k.Root(trust)
	if err != nil {
		t.Fatal(err)
	}
	before := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: k.local.root.Raw}) // as versions before handed it out
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Log("NOT TRIED: what openssl verify says of the constraints: there is no openssl")
	}
	for _, c := range []struct {
		root        []byte
		host, asked string // asked is what the client is looking for, if it is not the host
		want        bool
	}{
		{root, "berth.test", "", true},
		{root, "blog.berth.test", "", true},
		{root, "www.example.com", "", true},
		{root, "*.shop.example", "any.shop.example", true},
		{root, "9.9.9.9", "", true},
		{root, "127.0.0.1", "", true},
		{root, "::1", "", true},
		{root, "203.0.113.9", "", true},
		{root, "example.org", "", false},
		{root, "example.com", "", false},
		{root, "notberth.test", "", false},
		{root, "*.org", "example.org", false},
		{root, "9.9.9.8", "", false},
		{root, "fd00::6", "", false},
		{root, "10.0.0.5", "", false},
		{inside, "10.0.0.5", "", true},
		{inside, "fd00::5", "", true},
		{inside, "10.0.0.6", "", false},
		{before, "blog.berth.test", "", true},
	} {
		asked := c.host
		if c.asked != "" {
			asked = c.asked
		}
		stored, err := k.local.issue([]string{c.host}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		key, rest := pem.Decode(stored)
		block, _ := pem.Decode(rest)
		if key == nil || block == nil {
			t.Fatal("the leaf is no pair")
		}
		leaf, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(c.root)
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: pool, DNSName: asked}); (err == nil) != c.want {
			t.Errorf("Go: a leaf for %s: %v, want it to pass: %v", c.host, err, c.want)
		}
		if openssl == "" {
			continue
		}
		rootFile, leafFile := filepath.Join(dir, "root.pem"), filepath.Join(dir, "leaf.pem")
		if err := os.WriteFile(rootFile, c.root, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(leafFile, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(openssl, "verify", "-x509_strict", "-no-CApath", "-no-CAstore", "-CAfile", rootFile, "-purpose", "sslserver", leafFile).CombinedOutput()
		if (err == nil) != c.want || !c.want && !strings.Contains(string(out), "permitted subtree violation") {
			t.Errorf("openssl: a leaf for %s: %v %s, want it to pass: %v", c.host, err, out, c.want)
		}
	}
}

func TestRoot_SameTrustHasTheSameCertificate(t *testing.T) {
	storage := &certmagic.FileStorage{Path: t.TempDir()}
	trust := Trust{Domain: "berth.test", Names: []string{"b.example.com", "a.example.com"}}
	hand := func(trust Trust) string {
		root, err := newKeeper(t, storage).Root(trust)
		if err != nil {
			t.Fatal(err)
		}
		return string(root)
	}
	first := hand(trust)
	slices.Reverse(trust.Names)
	if hand(trust) != first {
		t.Error("the root changed with a restart and the order of the hosts")
	}
	trust.Names = append(trust.Names, "c.example.com")
	more := hand(trust)
	if more == first {
		t.Error("the root does not cover the new host")
	}
	serialOf := func(root string) string {
		block, _ := pem.Decode([]byte(root))
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		return c.SerialNumber.String()
	}
	if serialOf(first) == serialOf(more) {
		t.Error("two certificates of one issuer have the same serial number")
	}
}

func TestTrust_PermitsNoSuffixThatOthersShare(t *testing.T) {
	for _, c := range []struct {
		trust Trust
		want  string
	}{
		{Trust{}, "localhost"}, // without a constraint every name would be permitted
		{Trust{Domain: "localhost", Names: []string{"shop.localhost"}}, "localhost"},
		{Trust{Domain: "Example.com", Names: []string{"shop.example.com", "example.com", "*.example.com", "WWW.shop.de"}}, "example.com localhost www.shop.de"},
		{Trust{Domain: "nas", Names: []string{"com", "*.co.uk", "*.com", "github.io", "me.github.io", "kobe.jp", "city.kobe.jp", "1.2.3.4", ""}}, "city.kobe.jp localhost me.github.io nas"},
		{Trust{Domain: "home.arpa", Names: []string{"lan", "box.local"}}, "box.local home.arpa lan localhost"},
		{Trust{Domain: "203-0-113-7.sslip.io"}, "203-0-113-7.sslip.io localhost"},
		{Trust{Domain: "dev"}, "dev localhost"}, // the machine's own is its admin's choice
	} {
		if got := strings.Join(c.trust.domains(), " "); got != c.want {
			t.Errorf("%+v: got %q, want %q", c.trust, got, c.want)
		}
	}
}
