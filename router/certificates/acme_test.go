package certificates

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
)

const contact = "ops@example.com"

// local tells whether a host is served by the local CA, and that it is served.
func (s *service) local(t testing.TB, host string) bool {
	t.Helper()
	return handshake(t, s.secure, host).CheckSignatureFrom(s.Keeper.local.root) == nil
}

func (s *service) set(t testing.TB, acme ACME, hosts ...Host) {
	t.Helper()
	if err := s.SetHosts(t.Context(), hosts, acme); err != nil {
		t.Fatal(err)
	}
}

func TestACME_ObtainsByEitherChallengeWhileTheLocalCAServes(t *testing.T) {
	for _, challenge := range []string{"http-01", "tls-alpn-01"} {
		t.Run(challenge, func(t *testing.T) {
			t.Parallel()
			storage := &certmagic.FileStorage{Path: t.TempDir()}
			s := start(t, storage)
			httpPort, httpsPort := s.ports()
			if challenge == "http-01" {
				httpsPort = 1 // the CA finds nobody there
			} else {
				httpPort = 1
			}
			p := startPebble(t, startNameserver(t).addr, httpPort, httpsPort, nil)
			host := hostOf(t)
			if !s.local(t, host) {
				t.Error("before the order the local CA does not serve")
			}
			acme := ACME{Email: contact, CAs: []CA{p.CA}}
			s.set(t, acme, named(host, "shop.localhost")...)
			await(t, "a certificate of Pebble is served", func() bool {
				handshake(t, s.secure, host) // works at every moment
				return !s.State(host).Local
			})
			cert := handshake(t, s.secure, host)
			if cert.VerifyHostname(host) != nil || s.local(t, host) {
				t.Errorf("served is a certificate of %s for %v", cert.Issuer, cert.DNSNames)
			}
			st := s.State(host)
			if st.Pending || st.LastError != "" || !st.NotAfter.Equal(cert.NotAfter) || st.Issuer != cert.Issuer.CommonName {
				t.Errorf("state: %+v", st)
			}
			if !s.local(t, "shop.localhost") {
				t.Error("a private name is not of the local CA")
			}

			// The host leaves, and comes back to a truncated certificate.
			s.set(t, acme)
			key := certmagic.StorageKeys.SiteCert(s.acme.Load().challenges.IssuerKey(), host)
			whole, err := storage.Load(t.Context(), key)
			if err != nil {
				t.Fatal(err)
			}
			storage.Store(t.Context(), key, whole[:20])
			s.set(t, acme, named(host)...)
			await(t, "the truncated certificate is replaced", func() bool { return !s.State(host).Local })
			again := handshake(t, s.secure, host)
			if again.Equal(cert) {
				t.Error("the certificate is the same")
			}

			// It is revoked: the next has another key.
			if n, err := s.Revoke(t.Context(), host); n != 1 || err != nil {
				t.Fatalf("revoked %d, %v", n, err)
			}
			await(t, "a certificate follows the revoked one", func() bool {
				return !s.State(host).Local && !handshake(t, s.secure, host).Equal(again)
			})

			// Nobody wants it any more: a cleaning deletes it, and only then.
			if gone, err := s.Cleanup(t.Context()); len(gone) != 0 || err != nil {
				t.Errorf("cleaned %v, %v, and it is in use", gone, err)
			}
			s.set(t, acme)
			if gone, err := s.Cleanup(t.Context()); len(gone) != 1 || gone[0] != host || err != nil {
				t.Errorf("cleaned %v, %v", gone, err)
			}
			if storage.Exists(t.Context(), key) {
				t.Error("the certificate is still stored")
			}
		})
	}
}

func TestACME_AsksWhomTheOperatorChoseAndNobodyElse(t *testing.T) {
	k := newKeeper(t, &certmagic.FileStorage{Path: t.TempDir()})
	chosen := ACME{
		Email: contact, CAs: []CA{{Directory: "https://one.example/dir"}, {Directory: "https://two.example/dir"}},
		DNS: DNS{Provider: "rfc2136", Settings: map[string]string{"RFC2136_NAMESERVER": "127.0.0.1"}},
	}
	for _, c := range []struct {
		acme ACME
		want map[string]string // by subject, in order; d is by DNS
	}{
		{chosen, map[string]string{
			"shop.example.com": "one.example d, one.example, two.example d, two.example",
			"*.example.com":    "one.example d, two.example d",
			"1.1.1.1":          "one.example, two.example",
		}},
		{ACME{Email: contact}, map[string]string{
			"shop.example.com": "acme-v02.api.letsencrypt.org",
			"1.1.1.1":          "acme-v02.api.letsencrypt.org shortlived",
		}},
	} {
		au, err := k.newAuthority(c.acme)
		if err != nil {
			t.Fatal(err)
		}
		for subject, want := range c.want {
			var asked []string
			for _, issuer := range au.config(subject).Issuers {
				ca := issuer.(*certmagic.ACMEIssuer)
				name, _, _ := strings.Cut(strings.TrimPrefix(ca.CA, "https://"), "/")
				if ca.DNS01Solver != nil {
					name += " d"
				}
				asked = append(asked, strings.TrimSpace(name+" "+ca.Profile))
			}
			if got := strings.Join(asked, ", "); got != want {
				t.Errorf("for %s are asked %s; want %s", subject, got, want)
			}
		}
	}
}

func TestACME_CAThatIsDownLeavesTheLocalCertificate(t *testing.T) {
	s := start(t, &certmagic.FileStorage{Path: t.TempDir()})
	const host = "shop.example.com"
	began := time.Now()
	s.set(t, ACME{Email: contact, CAs: []CA{{Directory: "https://" + freeAddr(t) + "/dir"}}}, named(host)...)
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("SetHosts took %v", took)
	}
	await(t, "the failure is told", func() bool { return s.State(host).LastError != "" })
	st := s.State(host)
	if !st.Pending || !st.Local || time.Since(st.LastErrorAt) > time.Minute {
		t.Errorf("state: %+v", st)
	}
	if !s.local(t, host) {
		t.Error("the local CA does not serve meanwhile")
	}
	// Without an e-mail the order is off the table, and its failure with it.
	s.set(t, ACME{}, named(host)...)
	if st := s.State(host); st.Pending || st.LastError != "" {
		t.Errorf("state without an account: %+v", st)
	}
}

func TestACME_SecondCADeliversWhileTheFirstIsDown(t *testing.T) {
	t.Parallel()
	s := start(t, &certmagic.FileStorage{Path: t.TempDir()})
	httpPort, httpsPort := s.ports()
	dns := startNameserver(t).addr
	first := startPebble(t, dns, httpPort, httpsPort, nil)
	second := startPebble(t, dns, httpPort, httpsPort, nil)
	host, late := hostOf(t), "late."+hostOf(t)
	acme := ACME{Email: contact, CAs: []CA{first.CA, second.CA}}
	first.stop()
	s.set(t, acme, named(host)...)
	await(t, "the second CA delivers", func() bool { return !s.State(host).Local })
	cert := handshake(t, s.secure, host)

	// Both are down: what exists goes on serving, what is new is the local CA's.
	second.stop()
	s.set(t, acme, named(host, late)...)
	await(t, "the failure is told", func() bool { return s.State(late).LastError != "" })
	if !handshake(t, s.secure, host).Equal(cert) || !s.local(t, late) {
		t.Error("a CA that is down changed what is served")
	}

	// The first is back, without its memory of our account; nobody wants to
	// wait for the next try.
	first.start()
	await(t, "the first CA delivers", func() bool {
		s.Retry(t.Context(), []string{host, late})
		for range 100 {
			if !s.State(late).Local {
				return true
			}
			time.Sleep(50 * time.Millisecond)
		}
		return false
	})
	if !handshake(t, s.secure, host).Equal(cert) {
		t.Error("a host that had its certificate got another by a retry")
	}
}

func TestACME_RenewsShortLivedCertificatesWithoutAGap(t *testing.T) {
	t.Parallel()
	s := start(t, &certmagic.FileStorage{Path: t.TempDir()}, func(cfg *Config) { cfg.renewCheck = 500 * time.Millisecond })
	httpPort, httpsPort := s.ports()
	const life = 9 // seconds; renewal begins when a third is left
	p := startPebble(t, startNameserver(t).addr, httpPort, httpsPort, map[string]any{"certificateValidityPeriod": life})
	host := hostOf(t)
	s.set(t, ACME{Email: contact, CAs: []CA{p.CA}}, named(host)...)
	await(t, "a certificate is served", func() bool { return !s.State(host).Local })
	seen := map[string]bool{}
	await(t, "it is renewed twice", func() bool {
		if s.local(t, host) {
			t.Fatal("there was a moment without a valid certificate")
		}
		seen[handshake(t, s.secure, host).SerialNumber.String()] = true
		return len(seen) == 3
	})
}

func TestACME_ExternalAccountAndMissingOne(t *testing.T) {
	t.Parallel()
	s := start(t, &certmagic.FileStorage{Path: t.TempDir()})
	httpPort, httpsPort := s.ports()
	const id, key = "kid-1", "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
	p := startPebble(t, startNameserver(t).addr, httpPort, httpsPort, map[string]any{
		"externalAccountBindingRequired": true, "externalAccountMACKeys": map[string]string{id: key},
	})
	host := hostOf(t)
	s.set(t, ACME{Email: contact, CAs: []CA{p.CA}}, named(host)...)
	await(t, "the CA asks who we are", func() bool { return strings.Contains(s.State(host).LastError, "xternal") })
	p.KeyID, p.MACKey = id, key
	s.set(t, ACME{Email: contact, CAs: []CA{p.CA}}, named(host)...)
	await(t, "the CA delivers to a customer", func() bool { return !s.State(host).Local })
}

func TestACME_AddressOfTheMachine(t *testing.T) {
	t.Parallel()
	s := start(t, &certmagic.FileStorage{Path: t.TempDir()}, func(cfg *Config) {
		cfg.Addresses = []netip.Addr{netip.MustParseAddr("127.0.0.1")}
		cfg.anyAddress = true
	})
	httpPort, httpsPort := s.ports()
	p := startPebble(t, startNameserver(t).addr, httpPort, httpsPort, nil)
	acme := ACME{Email: contact, CAs: []CA{p.CA}, Addresses: true}
	s.set(t, acme)
	await(t, "the address is certified", func() bool {
		cert := handshake(t, s.secure, "")
		return cert.CheckSignatureFrom(s.Keeper.local.root) != nil && cert.VerifyHostname("127.0.0.1") == nil
	})
	acme.Addresses = false
	s.set(t, acme)
	if !s.local(t, "") {
		t.Error("an address that is not to be certified any more still is")
	}
}

func rfc2136(n *nameserver) DNS {
	return DNS{Provider: "rfc2136", Resolvers: []string{n.addr}, Settings: map[string]string{
		"RFC2136_NAMESERVER": n.addr, "RFC2136_TSIG_KEY": tsigKey, "RFC2136_TSIG_SECRET": tsigSecret,
	}}
}

func TestACME_WildcardByDNSServesItsHosts(t *testing.T) {
	t.Parallel()
	s := start(t, &certmagic.FileStorage{Path: t.TempDir()})
	n := startNameserver(t)
	p := startPebble(t, n.addr, 1, 1, nil) // no proof but by DNS can be had
	acme := ACME{Email: contact, CAs: []CA{p.CA}}
	parent := hostOf(t)
	hosts := named("*."+parent, "a."+parent, "b."+parent)
	s.set(t, acme, hosts...)
	if st := s.State("*." + parent); !strings.Contains(st.LastError, "DNS") {
		t.Errorf("state without a provider: %+v", st)
	}
	acme.DNS = rfc2136(n)
	s.set(t, acme, hosts...)
	await(t, "the wildcard serves", func() bool { return !s.State("a." + parent).Local })
	cert := handshake(t, s.secure, "b."+parent)
	if len(cert.DNSNames) != 1 || cert.DNSNames[0] != "*."+parent {
		t.Errorf("b is served with %v", cert.DNSNames)
	}
	if n.taken() != 1 {
		t.Errorf("%d records were made, want one for all three hosts", n.taken())
	}
	await(t, "the challenge's record is gone", func() bool { return !n.has("_acme-challenge."+parent+".", "") })

	// A name outside the wildcard, proved by a record of its own.
	s.set(t, acme, append(hosts, named("outside-"+parent)...)...)
	await(t, "an exact name is proved by DNS too", func() bool { return !s.State("outside-" + parent).Local })
}

func TestACME_WildcardThatCannotBeHadLeavesItsHostsProvedOneByOne(t *testing.T) {
	t.Parallel()
	s := start(t, &certmagic.FileStorage{Path: t.TempDir()})
	n := startNameserver(t)
	httpPort, httpsPort := s.ports()
	p := startPebble(t, n.addr, httpPort, httpsPort, nil)
	parent := hostOf(t)
	wrong := rfc2136(n)
	wrong.Settings["RFC2136_TSIG_SECRET"] = "d3Jvbmcgd3Jvbmcgd3Jvbmcgd3Jvbmcgd3Jvbmc="
	s.set(t, ACME{Email: contact, CAs: []CA{p.CA}, DNS: wrong}, named("*."+parent, "a."+parent)...)
	await(t, "the host is proved by HTTP", func() bool { return !s.State("a." + parent).Local })
	st := s.State("*." + parent)
	if !st.Pending || !st.Local || st.LastError == "" || strings.Contains(st.LastError, wrong.Settings["RFC2136_TSIG_SECRET"]) {
		t.Errorf("state of the wildcard: %+v", st)
	}
}

// unlocked is a file storage whose locks die with the process, as the store's do.
type unlocked struct {
	*certmagic.FileStorage
	mu   sync.Mutex
	held map[string]chan struct{}
}

func newUnlocked(dir string) *unlocked {
	return &unlocked{FileStorage: &certmagic.FileStorage{Path: dir}, held: map[string]chan struct{}{}}
}

func (u *unlocked) Lock(ctx context.Context, name string) error {
	for {
		u.mu.Lock()
		holder, busy := u.held[name]
		if !busy {
			u.held[name] = make(chan struct{})
			u.mu.Unlock()
			return nil
		}
		u.mu.Unlock()
		select {
		case <-holder:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (u *unlocked) Unlock(_ context.Context, name string) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	close(u.held[name])
	delete(u.held, name)
	return nil
}

// TestMain makes this program the process that TestACME_OrderIsFinishedAfterAKill
// kills, when it is started as that.
func TestMain(m *testing.M) {
	if dir := os.Getenv("BERTH_KILLED_STORAGE"); dir != "" {
		fmt.Fprintln(os.Stderr, orderAndWait(dir))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// orderAndWait stops at the challenge, whose answer never comes.
func orderAndWait(dir string) error {
	roots, err := os.ReadFile(os.Getenv("BERTH_KILLED_ROOTS"))
	if err != nil {
		return err
	}
	ctx := context.Background()
	k, err := New(ctx, Config{Storage: newUnlocked(dir), HTTPPort: 1, HTTPSPort: 2}, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	acme := ACME{Email: contact, CAs: []CA{{Directory: os.Getenv("BERTH_KILLED_DIRECTORY"), Roots: string(roots)}}}
	if err := k.SetHosts(ctx, named("shop.example.com"), acme); err != nil {
		return err
	}
	fmt.Println("ordering")
	select {}
}

func TestACME_OrderIsFinishedAfterAKill(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	// Whoever asks for proof finds this, which says nothing until the kill, and
	// then what the next process says.
	asked, killed := make(chan struct{}), make(chan struct{})
	var once sync.Once
	var next atomic.Pointer[Keeper]
	silent := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		once.Do(func() { close(asked) })
		if next.Load().AnswerChallenge(w, req) {
			return
		}
		select {
		case <-killed:
		case <-req.Context().Done():
		}
		http.NotFound(w, req)
	})}
	l := listen(t)
	go silent.Serve(l)
	t.Cleanup(func() { silent.Close() })
	p := startPebble(t, startNameserver(t).addr, portOf(l), 3, nil)
	rootsFile := filepath.Join(t.TempDir(), "roots.pem")
	if err := os.WriteFile(rootsFile, []byte(p.Roots), 0o600); err != nil {
		t.Fatal(err)
	}

	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "BERTH_KILLED_STORAGE="+dir, "BERTH_KILLED_ROOTS="+rootsFile, "BERTH_KILLED_DIRECTORY="+p.Directory)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ordering\n" {
		t.Fatalf("it says %q, %v", line, err)
	}
	await(t, "the CA asks for proof", func() bool {
		select {
		case <-asked:
			return true
		default:
			return false
		}
	})
	cmd.Process.Kill()
	cmd.Wait()
	close(killed)
	if left, err := filepath.Glob(filepath.Join(dir, "acme", "*", "challenge_tokens", "*")); len(left) == 0 || err != nil {
		t.Errorf("the kill came at another moment: no challenge is left in the storage (%v)", err)
	}

	// The next process finds the account, and half an order.
	s := start(t, newUnlocked(dir))
	next.Store(s.Keeper)
	const host = "shop.example.com"
	s.set(t, ACME{Email: contact, CAs: []CA{p.CA}}, named(host)...)
	await(t, "the order is finished", func() bool { return !s.State(host).Local })
}
