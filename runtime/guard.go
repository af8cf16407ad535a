package runtime

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"time"
)

// AddressError is a connection that a container could not make either.
type AddressError struct{ address string }

func (e *AddressError) Error() string {
	return fmt.Sprintf("%s is on this machine or in a private network", e.address)
}

// GuardedClient is an HTTP client that connects to what a container may connect
// to. It looks at the address of each connection when the name is resolved, so
// that no name, redirect or second answer of a DNS server leads elsewhere. The
// host's own proxy is the host's to use: it decides about names, and is asked
// for no address that is refused here.
func GuardedClient(allows func(netip.Addr) bool) *http.Client {
	plain := &net.Dialer{Timeout: 30 * time.Second}
	guarded := &net.Dialer{Timeout: plain.Timeout, Control: func(_, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err != nil || !allows(to.Addr()) {
			return &AddressError{address}
		}
		return nil
	}}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		if isProxy(address) {
			return plain.DialContext(ctx, network, address)
		}
		return guarded.DialContext(ctx, network, address)
	}
	return &http.Client{Transport: guardedTransport{transport, allows}}
}

// guardedTransport refuses addresses that stand in a URL, which a proxy would
// connect to for us.
type guardedTransport struct {
	http.RoundTripper
	allows func(netip.Addr) bool
}

func (t guardedTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	host := strings.ToLower(req.URL.Hostname())
	addr, err := netip.ParseAddr(host)
	if err == nil && !t.allows(addr) || host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return nil, &AddressError{host}
	}
	return t.RoundTripper.RoundTrip(req)
}

// isProxy tells whether the host's HTTP proxies are at a host and port.
func isProxy(address string) bool {
	host, port, err := net.SplitHostPort(address)
	return err == nil && slices.ContainsFunc(proxyHosts(), func(proxy string) bool {
		name, number, _ := net.SplitHostPort(proxy)
		return strings.EqualFold(name, host) && (number == port || number == "http" && port == "80" || number == "https" && port == "443")
	})
}
