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
