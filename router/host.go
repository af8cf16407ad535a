package router

import (
	"fmt"
	"net/netip"
	"strings"
)

// canonicalHost returns the host of an authority ("Shop.example.com:8443",
// "[::1]:80", "shop.example.com.") as the table spells it: lower case, no port,
// no brackets, no trailing dot. It allocates only for upper case.
func canonicalHost(authority string) string {
	host := authority
	if strings.HasPrefix(host, "[") {
		end := strings.IndexByte(host, ']')
		if end < 0 {
			return ""
		}
		return strings.ToLower(host[1:end])
	}
	if i := strings.LastIndexByte(host, ':'); i >= 0 && strings.IndexByte(host, ':') == i {
		host = host[:i]
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// wellFormed tells whether an authority is a host, with a port that there is or
// without. None at all, as HTTP/1.0 may have it, is well formed too. It does not
// allocate.
func wellFormed(authority string) bool {
	if authority == "" {
		return true
	}
	host, port, hasPort, address := authority, "", false, false
	if strings.HasPrefix(authority, "[") {
		host, port, address = strings.Cut(authority[1:], "]")
		if !address {
			return false
		}
		if port != "" {
			if port, hasPort = strings.CutPrefix(port, ":"); !hasPort {
				return false
			}
		}
	} else {
		host, port, hasPort = strings.Cut(authority, ":")
	}
	if host == "" || hasPort && !isPort(port) {
		return false
	}
	for _, c := range []byte(host) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '-', c == '_':
		case address && c == ':':
		default:
			return false
		}
	}
	return true
}

// isPort tells whether text is the number of a port, 1 to 65535.
func isPort(text string) bool {
	n := 0
	for _, c := range []byte(text) {
		if n = n*10 + int(c) - '0'; c < '0' || c > '9' || n > 65535 {
			return false
		}
	}
	return n > 0
}

// checkHost refuses what could never match a request.
func checkHost(host string) error {
	if _, err := netip.ParseAddr(host); err == nil {
		return nil
	}
	if host == "" || len(host) > 253 {
		return fmt.Errorf("%q is not a host name", host)
	}
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || len(label) > 63 || strings.HasPrefix(label, "-") || strings.HasSuffix(label, "-") {
			return fmt.Errorf("%q is not a host name", host)
		}
		for _, c := range []byte(label) {
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return fmt.Errorf("%q is not a host name in lower case ASCII", host)
			}
		}
	}
	return nil
}

// urlHost writes a host as it stands in an address, with the port when it is
// not the scheme's own.
func urlHost(host string, port, standard int) string {
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if port == standard {
		return host
	}
	return fmt.Sprintf("%s:%d", host, port)
}
