// Package certificates answers TLS handshakes for the router: with a certificate of
// an ACME CA if a host has one, else with one of the appliance's own CA, which
// works from the first minute and without a network. It knows hosts, and neither
// routes nor apps.
//
//	handshake ─ keeper ─┬─ pairs of the hosts' own
//	  (by name)         ├─ ACME CAs ─ certmagic ─ orders, renewals ─ dns
//	                    └─ local CA ─ leaves, made in the handshake
//
// A handshake is always answered with an available certificate, even if an order
// fails.
package certificates

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3"
)

// defaultName is what the default certificate is kept under; no host ends in a dot.
const defaultName = "default."

// Config says where certificates are kept and what the machine is.
type Config struct {
	Storage certmagic.Storage

	// Addresses are the machine's own. The default certificate is valid for the
	// public ones and those of loopback; a private one is in the certificate of
	// those alone who dialled it from a private address.
	Addresses []netip.Addr

	// HTTPPort and HTTPSPort are those of the router's listeners, which answer
	// a CA's challenges. Zero is 80 and 443.
	HTTPPort, HTTPSPort int

	// renewCheck is how often certificates are looked through; zero is certmagic's
	// ten minutes. One is renewed when its CA says so (ARI), else when a third of
	// its life is left: certmagic's RenewalWindowRatio.
	renewCheck time.Duration

	anyAddress bool // the machine's addresses count as public ones
}

// Validate reports every value that makes no sense.
func (c Config) Validate() error {
	var errs []error
	if c.Storage == nil {
		errs = append(errs, errors.New("certificates need a storage"))
	}
	for _, port := range []int{c.HTTPPort, c.HTTPSPort} {
		if port < 0 || port > 65535 {
			errs = append(errs, fmt.Errorf("%d is not a port", port))
		}
	}
	for _, addr := range c.Addresses {
		if !addr.IsValid() {
			errs = append(errs, errors.New("one of the addresses is empty"))
		}
	}
	return errors.Join(errs...)
}

// Host is a name that certificates are wanted for: a host, or a wildcard for
// one label (*.example.com).
type Host struct {
	Name  string
	Local bool   // the ACME CA is not asked for it
	Own   *Pair  // serves before what the ACME CA gave; may be nil
	For   string // on whose behalf it is wanted; several may want the same
}

// Keeper hands out a certificate for every TLS handshake: one of the host's own
// where there is one, else one from the ACME CA, else one from the local CA. It
// is safe for concurrent use. Close ends its upkeep.
type Keeper struct {
	cfg   Config
	log   *slog.Logger
	local *localCA
	cache *certmagic.Cache // certificates of the ACME CA

	defaultHosts []string // of the certificate that names no host

	life   context.Context // until Close
	cancel context.CancelFunc
	jobs   sync.WaitGroup // orders placed because of what became of others

	acme atomic.Pointer[authority] // nil while no e-mail is set

	set     sync.Mutex // one change of the hosts at a time
	mu      sync.Mutex // guards what follows
	hosts   wishes
	ordered map[string]*order // by subject, what the ACME CA is asked for
}

// New loads the local CA, or makes it. cfg has been validated.
func New(ctx context.Context, cfg Config, log *slog.Logger) (*Keeper, error) {
	if cfg.HTTPPort == 0 {
		cfg.HTTPPort = 80
	}
	if cfg.HTTPSPort == 0 {
		cfg.HTTPSPort = 443
	}
	local, err := newLocalCA(ctx, cfg.Storage, log)
	if err != nil {
		return nil, err
	}
	k := &Keeper{cfg: cfg, log: log, local: local, hosts: newWishes(nil), ordered: map[string]*order{}}
	for _, addr := range append([]netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback()}, cfg.Addresses...) {
		if addr = plainAddress(addr); !addr.IsLoopback() && !publicAddress(addr) && !cfg.anyAddress {
			continue // whoever asks from outside is not to learn of the networks inside
		}
		if host := addr.String(); !slices.Contains(k.defaultHosts, host) {
			k.defaultHosts = append(k.defaultHosts, host)
		}
	}
	k.life, k.cancel = context.WithCancel(context.WithoutCancel(ctx))
	k.cache = certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert: func(cert certmagic.Certificate) (*certmagic.Config, error) {
			if au := k.acme.Load(); au != nil && len(cert.Names) > 0 {
				if config := au.config(cert.Names[0]); config != nil {
					return config, nil
				}
			}
			return nil, errors.New("the ACME account is gone")
		},
		RenewCheckInterval: cfg.renewCheck,
		Logger:             zapTo(log),
	})
	return k, nil
}

// Close stops orders and renewals. The router has stopped serving by then.
func (k *Keeper) Close() {
	k.mu.Lock()
	k.cancel()
	k.mu.Unlock()
	k.jobs.Wait()
	k.local.stores.Wait()
	k.cache.Stop()
}

// SetHosts says which hosts certificates are wanted for, in place of those of
// the call before. Public names go to the ACME CA when acme has an e-mail, in
// the background; until there is a certificate, and for all other hosts, the
// local CA answers. Names that a wanted wildcard covers have no certificate of
// their own. ctx bounds the call, not the orders.
func (k *Keeper) SetHosts(ctx context.Context, hosts []Host, acme ACME) error {
	if err := checkNames(hosts); err != nil {
		return err
	}
	wanted := newWishes(hosts)
	k.set.Lock()
	defer k.set.Unlock()
	if err := k.setACME(acme); err != nil {
		return err
	}
	k.mu.Lock()
	before := k.hosts
	k.hosts = wanted
	k.mu.Unlock()
	for host := range before.byName {
		if _, still := wanted.byName[host]; !still {
			k.local.forget(ctx, host)
		}
	}
	k.placeOrders(ctx, k.subjects())
	return nil
}

// SetHostsFor is SetHosts for those hosts alone that are wanted on one's behalf.
// It costs the same however many others there are, wildcards excepted.
func (k *Keeper) SetHostsFor(ctx context.Context, whom string, hosts []Host) error {
	if err := checkNames(hosts); err != nil {
		return err
	}
	k.set.Lock()
	defer k.set.Unlock()
	k.mu.Lock()
	touched := k.hosts.replace(whom, hosts)
	var gone []string
	for _, name := range touched {
		if _, still := k.hosts.byName[name]; !still {
			gone = append(gone, name)
		}
	}
	k.mu.Unlock()
	for _, name := range gone {
		k.local.forget(ctx, name)
	}
	if slices.ContainsFunc(touched, func(name string) bool { return strings.HasPrefix(name, "*.") }) {
		k.placeOrders(ctx, k.subjects()) // who is covered by it may be anybody
		return nil
	}
	k.placeOrdersOf(ctx, touched)
	return nil
}

func checkNames(hosts []Host) error {
	for _, host := range hosts {
		if !certmagic.SubjectQualifiesForCert(host.Name) {
			return fmt.Errorf("%q cannot be in a certificate", host.Name)
		}
	}
	return nil
}

// subjects are what the ACME CA is to be asked for, in the order of their names.
func (k *Keeper) subjects() []string {
	au := k.acme.Load()
	if au == nil {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	var subjects []string
	for name := range k.hosts.byName {
		if k.isSubject(au, name) {
			subjects = append(subjects, name)
		}
	}
	if au.Addresses {
		for _, addr := range k.cfg.Addresses {
			if publicAddress(addr) || k.cfg.anyAddress {
				subjects = append(subjects, addr.Unmap().WithZone("").String())
			}
		}
	}
	slices.Sort(subjects)
	return slices.Compact(subjects)
}

// isSubject tells whether a name is wanted, and the ACME CA to be asked for a
// certificate of its own. mu is held.
func (k *Keeper) isSubject(au *authority, name string) bool {
	host, wanted := k.hosts.byName[name]
	return wanted && !host.Local && Public(name) && k.subject(name) == name && au.config(name) != nil
}

// subject returns what a host's certificate is ordered as: the wildcard that is
// wanted and covers it, or itself. mu is held.
func (k *Keeper) subject(host string) string {
	_, parent, ok := strings.Cut(host, ".")
	if au := k.acme.Load(); !ok || au == nil || au.wildcards == nil || strings.HasPrefix(host, "*.") {
		return host
	}
	wildcard, wanted := k.hosts.byName["*."+parent]
	if !wanted || wildcard.Local {
		return host
	}
	// One that cannot be had, a zone of another provider's perhaps, must not
	// keep its hosts from being proved one by one.
	if o := k.ordered[wildcard.Name]; o != nil && o.lastError != "" && k.fromACME(wildcard.Name) == nil {
		return host
	}
	return wildcard.Name
}

// placeOrders orders the subjects and cancels what is ordered besides. Reading
// thousands of stored certificates is work for every core.
func (k *Keeper) placeOrders(ctx context.Context, subjects []string) {
	k.mu.Lock()
	var fresh, gone []string
	for _, subject := range subjects {
		if k.ordered[subject] == nil {
			fresh = append(fresh, subject)
		}
	}
	if len(k.ordered) > len(subjects)-len(fresh) {
		for subject := range k.ordered {
			if _, found := slices.BinarySearch(subjects, subject); !found {
				gone = append(gone, subject)
			}
		}
	}
	k.mu.Unlock()
	for _, subject := range gone {
		k.cancelOrder(subject)
	}
	au := k.acme.Load()
	next := make(chan string)
	var workers sync.WaitGroup
	for range min(len(fresh), runtime.GOMAXPROCS(0)) {
		workers.Go(func() {
			for subject := range next {
				k.order(ctx, au, subject)
			}
		})
	}
	for _, subject := range fresh {
		next <- subject
	}
	close(next)
	workers.Wait()
}

// placeOrdersOf is placeOrders for some names, the others being as they were.
func (k *Keeper) placeOrdersOf(ctx context.Context, names []string) {
	au := k.acme.Load()
	if au == nil {
		return // nothing is ordered
	}
	for _, name := range names {
		if isAddress(name) {
			continue // ordered or not as the machine's own, whoever else wants it
		}
		k.mu.Lock()
		wanted, ordered := k.isSubject(au, name), k.ordered[name] != nil
		k.mu.Unlock()
		switch {
		case wanted && !ordered:
			k.order(ctx, au, name)
		case ordered && !wanted:
			k.cancelOrder(name)
		}
	}
}

// TLSConfig returns the configuration of the TLS listeners. certified returns
// the name in a host's certificate, if the host is served here; others get the
// certificate that names none.
func (k *Keeper) TLSConfig(certified func(host string) (name string, ok bool)) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		CipherSuites: []uint16{ // of TLS 1.2: forward secret and authenticated; 1.3 has no others
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
		NextProtos: []string{"h2", "http/1.1", acmez.ACMETLS1Protocol},
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			return k.certificate(hello, certified)
		},
	}
}

func (k *Keeper) certificate(hello *tls.ClientHelloInfo, certified func(host string) (name string, ok bool)) (*tls.Certificate, error) {
	if slices.Equal(hello.SupportedProtos, []string{acmez.ACMETLS1Protocol}) {
		if au := k.acme.Load(); au != nil {
			return au.names.GetCertificate(hello)
		}
		return nil, errors.New("an ACME challenge, and no ACME account is set")
	}
	ctx := context.WithoutCancel(hello.Context()) // a certificate once made is stored, whoever hangs up
	host := strings.ToLower(strings.TrimSuffix(hello.ServerName, "."))
	name, ok := certified(host)
	if host == "" || !ok {
		if cert := k.ofAddress(hello); cert != nil {
			return cert, nil
		}
		if inside := k.dialledInside(hello); inside != "" {
			return k.local.certificate(ctx, inside+".", inside)
		}
		return k.local.certificate(ctx, defaultName, k.defaultHosts...)
	}
	if own := k.own(host, name); own != nil {
		return &own.cert, nil
	}
	if cert := k.fromACME(host); cert != nil {
		return &cert.Certificate, nil
	}
	return k.local.certificate(ctx, name, name)
}

// ofAddress returns the certificate of the address that was dialled, if there
// is one and no name was asked for.
func (k *Keeper) ofAddress(hello *tls.ClientHelloInfo) *tls.Certificate {
	if au := k.acme.Load(); au == nil || !au.Addresses || hello.ServerName != "" || hello.Conn == nil {
		return nil
	}
	if cert := k.fromACME(addressOf(hello.Conn.LocalAddr()).String()); cert != nil {
		return &cert.Certificate
	}
	return nil
}

// dialledInside returns the private address of the machine that was dialled, if
// the client's is no public one either; else "".
func (k *Keeper) dialledInside(hello *tls.ClientHelloInfo) string {
	if hello.Conn == nil {
		return ""
	}
	own, client := addressOf(hello.Conn.LocalAddr()), addressOf(hello.Conn.RemoteAddr())
	if !own.IsValid() || !client.IsValid() || own.IsLoopback() || publicAddress(own) || publicAddress(client) {
		return ""
	}
	if !slices.ContainsFunc(k.cfg.Addresses, func(addr netip.Addr) bool { return plainAddress(addr) == own }) {
		return ""
	}
	return own.String()
}

// addressOf returns the address of a socket; the zero Addr where it has none.
func addressOf(a net.Addr) netip.Addr {
	if a == nil {
		return netip.Addr{}
	}
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Addr{}
	}
	return plainAddress(ap.Addr())
}

func plainAddress(addr netip.Addr) netip.Addr { return addr.Unmap().WithZone("") }

// own returns the valid pair that was given for a host, or for the name that it
// is served under.
func (k *Keeper) own(names ...string) *Pair {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, name := range names {
		if pair := k.hosts.byName[name].Own; pair != nil && pair.valid(time.Now()) {
			return pair
		}
	}
	return nil
}

// State is the state of a host's certificate.
type State struct {
	Host      string
	Issuer    string    // name of the CA of the certificate that is served; empty before the first handshake
	Local     bool      // it is, or will be, of the local CA
	Own       bool      // it is the host's own
	NotBefore time.Time // zero before the first handshake
	NotAfter  time.Time // likewise

	Pending     bool      // the ACME CA has been asked and has not delivered yet
	LastError   string    // why it did not, last time; empty after a success
	LastErrorAt time.Time // zero without an error
}

// State returns the state of a host's certificate.
func (k *Keeper) State(host string) State {
	s := State{Host: host, Local: true}
	k.mu.Lock()
	if o := k.ordered[k.subject(host)]; o != nil {
		s.Pending, s.LastError, s.LastErrorAt = true, o.lastError, o.lastErrorAt
	} else if au := k.acme.Load(); au != nil && strings.HasPrefix(host, "*.") && au.wildcards == nil && !k.hosts.byName[host].Local && Public(host) {
		s.LastError = "a wildcard certificate needs a DNS provider, and none is set"
	}
	k.mu.Unlock()
	leaf := k.local.peek(host)
	if cert := k.fromACME(host); cert != nil {
		s.Pending, s.Local, leaf = false, false, cert.Leaf
	}
	if own := k.own(host); own != nil {
		s.Own, s.Local, leaf = true, false, own.Leaf()
	}
	if leaf != nil {
		s.NotBefore, s.NotAfter = leaf.NotBefore, leaf.NotAfter
		if s.Issuer = leaf.Issuer.CommonName; s.Issuer == "" && len(leaf.Issuer.Organization) > 0 {
			s.Issuer = leaf.Issuer.Organization[0]
		}
	}
	return s
}

// AnswerChallenge answers an HTTP-01 challenge if it is one of ours.
func (k *Keeper) AnswerChallenge(w http.ResponseWriter, req *http.Request) bool {
	if k == nil {
		return false
	}
	au := k.acme.Load()
	return au != nil && au.challenges.HandleHTTPChallenge(w, req)
}
