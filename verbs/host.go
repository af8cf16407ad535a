package verbs

import (
	"net/netip"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"github.com/berthd/berth/router"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// NormalHost returns a host name in the router's form: lower case, ASCII
// (punycode), no dot at the end. Anything but a plain host name is a fault
// (E152).
func NormalHost(name string) (string, error) {
	no := func(why string) *fault.Error {
		return fault.New(fault.Usage, code.DomainInvalid, "%.80q cannot be a domain: %s", name, why)
	}
	host := strings.TrimSuffix(strings.TrimSpace(name), ".")
	bare := strings.Trim(host, "[]")
	switch _, ipErr := netip.ParseAddr(bare); {
	case host == "":
		return "", no("it is empty")
	case !utf8.ValidString(host):
		return "", no("it is not UTF-8")
	case strings.Contains(host, "://"), strings.ContainsAny(host, "/?#@"), host == "https:", host == "http:":
		return "", no("it is an address of a page").Hint("omit the scheme and the path: shop.example.com")
	case ipErr == nil:
		return "", no("it is an IP address").Hint("use a host name that points to it")
	case strings.Contains(host, ":"):
		return "", no("it has a port").Hint("omit the port: apps answer on berth's ports")
	case strings.Contains(host, "*"):
		return "", no("it is not a host's whole name").Hint("a * stands for the whole first part, in a domain of an app: *.example.com")
	}
	host, err := idna.Lookup.ToASCII(host)
	if err != nil {
		return "", no("it is not a valid host name").With(strings.TrimPrefix(err.Error(), "idna: "))
	}
	host = strings.TrimSuffix(host, ".") // "shop.example。" has one only now
	last := host[strings.LastIndexByte(host, '.')+1:]
	switch {
	case len(host) > 253:
		return "", no("it has more than 253 characters")
	case strings.Contains(host, "..") || strings.HasPrefix(host, "."):
		return "", no("a part of it is empty")
	case number(last):
		return "", no("its last part is a number") // browsers take it for an IP address
	}
	for label := range strings.SplitSeq(host, ".") {
		if len(label) > 63 {
			return "", no("a part of it has more than 63 characters")
		}
	}
	return host, nil
}

// number tells whether a browser reads the last part of a host as a number,
// decimal or hexadecimal (https://url.spec.whatwg.org/#ends-in-a-number-checker).
func number(label string) bool {
	if digits, hex := strings.CutPrefix(label, "0x"); hex {
		return strings.Trim(digits, "0123456789abcdef") == ""
	}
	return strings.Trim(label, "0123456789") == ""
}

// NormalDomain returns a domain of an app: a host, or *.example.com for each
// host one level below it, optionally with a path. Anything else is a fault
// (E152).
func NormalDomain(name string) (store.Domain, error) {
	name = strings.TrimSpace(name)
	host, path, _ := strings.Cut(name, "/")
	under, wildcard := strings.CutPrefix(host, "*.")
	host, err := NormalHost(under)
	if err != nil {
		return store.Domain{}, err
	}
	if wildcard {
		host = "*." + host
	}
	if path = strings.TrimRight(path, "/"); path == "" {
		return store.Domain{Host: host}, nil
	}
	no := func(why string) error {
		return fault.New(fault.Usage, code.DomainInvalid, "%.120q cannot be a domain: %s", name, why).
			Hint("write the path that requests begin with: example.com/blog")
	}
	switch {
	case 1+len(path) > router.MaxPathBytes || 1+strings.Count(path, "/") > router.MaxPathSegments:
		return store.Domain{}, no("its path is too long")
	case strings.ContainsFunc(path, func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune(`%?#\;`, r) }):
		return store.Domain{}, no("its path has characters other than plain letters, digits and signs")
	}
	for part := range strings.SplitSeq(path, "/") {
		if part == "" || part == "." || part == ".." {
			return store.Domain{}, no("a part of its path is empty or made of dots")
		}
	}
	return store.Domain{Host: host, Path: "/" + path}, nil
}
