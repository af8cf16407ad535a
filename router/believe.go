package router

import (
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"

	"github.com/berthd/berth/router/peer"
)

const (
	maxHops      = 16  // trusted proxies that one request may have come through
	maxRequestID = 128 // bytes of an ID that a proxy gave the request
)

// SetPeers says which proxies in front are believed, and how many connections
// one address may have. It counts for what comes from now on, and closes no
// connection. p has been validated.
func (r *Router) SetPeers(p peer.Policy) { r.peers.Set(p) }

// ConnectionsRefused is the number of connections that were refused since the
// router started, because their address had too many.
func (r *Router) ConnectionsRefused() uint64 { return r.peers.Refused() }

// believed is what a trusted proxy has said of the client. What it has not
// said, or said in two ways, is empty.
type believed struct {
	client string
	proto  string // of the client's connection, http or https
	host   string
	port   int
	start  string // X-Request-Start
}

// believe reads what the request's peer says of the client, if it is a trusted
// proxy. RFC 7239's Forwarded is not read: no proxy sends it unless it is told
// to, and two headers that disagree are one too many.
func (x *exchange) believe() {
	if !x.door.peers.TrustsAny() {
		return
	}
	if x.in.ProtoMajor == 3 && x.door.peers.Greets() {
		return // over UDP there is no header to tell what the proxy passes on from what it says
	}
	from, err := netip.ParseAddrPort(x.in.RemoteAddr)
	if err != nil || !x.door.peers.Trusts(from.Addr()) {
		return
	}
	h := x.in.Header
	b := &believed{client: x.farthest(from.Addr(), h["X-Forwarded-For"]).String()}
	switch strings.ToLower(only(h, "X-Forwarded-Proto")) {
	case "https", "wss":
		b.proto = "https"
	case "http", "ws":
		b.proto = "http"
	}
	if host := only(h, "X-Forwarded-Host"); validAuthority(host) {
		b.host = host
	}
	b.port = portNumber(only(h, "X-Forwarded-Port"))
	if id := only(h, "X-Request-Id"); validRequestID(id) {
		x.id = id
	}
	if start := only(h, "X-Request-Start"); validStart(start) {
		b.start = start
	}
	x.believed = b
}

// farthest returns the first address from the right that is not a trusted
// proxy's: whatever stands left of it that client has written. peer is who told
// us the last one; where the list ends or makes no sense, whoever said so is
// the client.
func (x *exchange) farthest(peer netip.Addr, lines []string) netip.Addr {
	client := peer.Unmap().WithZone("")
	hops := 0
	for i := len(lines) - 1; i >= 0; i-- {
		for list, more := lines[i], true; more; hops++ {
			if hops == maxHops || !x.door.peers.Trusts(client) {
				return client
			}
			entry := list
			comma := strings.LastIndexByte(list, ',')
			if more = comma >= 0; more {
				list, entry = list[:comma], list[comma+1:]
			}
			addr, ok := parseHop(strings.Trim(entry, " \t"))
			if !ok {
				return client
			}
			client = addr
		}
	}
	return client
}

// parseHop reads an address, as some proxies write it with its port.
func parseHop(text string) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(text)
	if err != nil {
		with, err := netip.ParseAddrPort(text)
		if err != nil {
			bare, found := strings.CutPrefix(text, "[")
			bare, closed := strings.CutSuffix(bare, "]")
			if addr, err = netip.ParseAddr(bare); err != nil || !found || !closed {
				return netip.Addr{}, false
			}
			return addr.Unmap().WithZone(""), true
		}
		addr = with.Addr()
	}
	return addr.Unmap().WithZone(""), true
}

// only returns the value of a header that stands there once; a list of several
// says that not all of them are of the one we trust.
func only(h http.Header, name string) string {
	values := h[name]
	if len(values) != 1 || strings.IndexByte(values[0], ',') >= 0 {
		return ""
	}
	return values[0]
}

// validAuthority tells whether s is a host, with a port or without.
func validAuthority(s string) bool {
	if _, port, err := net.SplitHostPort(s); err == nil && portNumber(port) == 0 {
		return false
	} else if err != nil && strings.HasPrefix(s, "[") != strings.HasSuffix(s, "]") {
		return false
	}
	return checkHost(canonicalHost(s)) == nil
}

// portNumber returns 0 for what is no port.
func portNumber(s string) int {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil {
		return 0
	}
	return int(n)
}

// validRequestID tells whether an ID may stand in logs, pages and headers.
func validRequestID(id string) bool {
	for i := range len(id) {
		switch c := id[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case strings.IndexByte("-_.:+/=@", c) >= 0:
		default:
			return false
		}
	}
	return id != "" && len(id) <= maxRequestID
}

// validStart tells whether s is a time as proxies write it: seconds with a
// fraction, or milliseconds or microseconds, after "t=" or not.
func validStart(s string) bool {
	whole, fraction, found := strings.Cut(strings.TrimPrefix(s, "t="), ".")
	digits := func(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }
	return digits(whole) && len(whole) >= 10 && len(whole) <= 16 && (!found || digits(fraction) && len(fraction) <= 9)
}

// secure tells whether the client's own connection has TLS.
func (x *exchange) secure() bool {
	if x.believed != nil && x.believed.proto != "" {
		return x.believed.proto == "https"
	}
	return x.door.secure
}

// port is the port that the client connected to.
func (x *exchange) port() int {
	switch secure := x.secure(); {
	case x.believed != nil && x.believed.port != 0:
		return x.believed.port
	case secure != x.door.secure && secure:
		return 443
	case secure != x.door.secure:
		return 80
	case secure:
		return x.door.cfg.HTTPSPort
	}
	return x.door.cfg.HTTPPort
}

// publicPorts are where clients reach us by HTTP and HTTPS: the usual ports of
// the proxy in front, if there is one that spoke of its own connection.
func publicPorts(x *exchange) (http, https int) {
	if x.believed != nil && x.believed.proto != "" {
		return 80, 443
	}
	return x.door.cfg.HTTPPort, x.door.cfg.HTTPSPort
}
