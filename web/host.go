package web

import (
	"net/netip"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"github.com/berthd/berth/store/fault"
)

// NormalHost returns a host name as the router knows it: lower case, ASCII
// (punycode), no dot at the end. What is no plain host name is a fault (E152).
func NormalHost(name string) (string, error) {
	no := func(why string) *fault.Error {
		return fault.New(fault.Usage, "E152", "%.80q cannot be a domain: %s", name, why)
	}
	host := strings.TrimSuffix(strings.TrimSpace(name), ".")
	bare := strings.Trim(host, "[]")
	switch _, ipErr := netip.ParseAddr(bare); {
	case host == "":
		return "", no("it is empty")
	case !utf8.ValidString(host):
		return "", no("it is not UTF-8")
	case strings.Contains(host, "://"), strings.ContainsAny(host, "/?#@"):
		return "", no("it is an address of a page").Hint("leave out the scheme and the path: shop.example.com")
	case ipErr == nil:
		return "", no("it is an IP address").Hint("give a name that leads to it")
	case strings.Contains(host, ":"):
		return "", no("it has a port").Hint("leave out the port: apps answer on the ports of berth")
	case strings.Contains(host, "*"):
		return "", no("wildcards are not supported").Hint("add each host by its name")
	}
	host, err := idna.Lookup.ToASCII(host)
	if err != nil {
		return "", no("it is not a valid host name").With(strings.TrimPrefix(err.Error(), "idna: "))
	}
	last := host[strings.LastIndexByte(host, '.')+1:]
	switch {
	case len(host) > 253:
		return "", no("it has more than 253 characters")
	case strings.Contains(host, "..") || strings.HasPrefix(host, "."):
		return "", no("a part of it is empty")
	case strings.Trim(last, "0123456789") == "":
		return "", no("its last part is a number") // browsers take it for an IP address
	}
	for label := range strings.SplitSeq(host, ".") {
		if len(label) > 63 {
			return "", no("a part of it has more than 63 characters")
		}
	}
	return host, nil
}
