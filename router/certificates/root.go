package certificates

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/net/publicsuffix"
)

// Trust is what a root that is handed out may vouch for.
type Trust struct {
	Domain string   // the appliance's own, with every name beneath it
	Names  []string // other hosts and wildcards; a root vouches for what is beneath them too
	Inside bool     // the machine's private addresses, besides the public ones
}

// Root returns the local CA's certificate for those who want to trust it, as
// PEM. Its critical name constraints permit what trust names and the machine's
// addresses, so whoever gets hold of the key cannot sign for the rest of the web
// to those who imported it. The same trust has the same certificate, byte for
// byte, as long as the machine's addresses and the CA stay.
//
// It has the key, the subject and the key id of the root that signs, and so
// every leaf verifies against it, and against roots that were handed out before.
// A constrained intermediate would not do: its key lies where the root's does,
// and clients would have to trust a root without constraints.
//
// Names that are not covered are left to be covered by a root that is fetched
// after they are added.
func (k *Keeper) Root(trust Trust) ([]byte, error) {
	return k.local.handOut(trust.domains(), k.trustedAddresses(trust))
}

// domains returns the constraints for names, sorted, without those that another
// covers. There is always one: without any, all names would be permitted.
func (t Trust) domains() []string {
	permitted := map[string]bool{"localhost": true} // which leads nobody elsewhere, RFC 6761
	if domain := strings.ToLower(t.Domain); domain != "" {
		permitted[domain] = true
	}
	for _, name := range t.Names {
		// There is no constraint for one label alone: *.example.com is example.com
		// and all beneath it.
		name = strings.ToLower(strings.TrimPrefix(name, "*."))
		if name != "" && !isAddress(name) && !shared(name) {
			permitted[name] = true
		}
	}
	var domains []string
	for name := range permitted {
		if !beneath(name, permitted) {
			domains = append(domains, name)
		}
	}
	slices.Sort(domains)
	return domains
}

// beneath tells whether a name is a part of another one in the set.
func beneath(name string, set map[string]bool) bool {
	for _, parent, ok := strings.Cut(name, "."); ok; _, parent, ok = strings.Cut(parent, ".") {
		if set[parent] {
			return true
		}
	}
	return false
}

// shared tells whether the names beneath a name are other people's: whoever leads
// com or github.io to an app means that host, and no root is to be good for all
// of its subdomains.
func shared(name string) bool {
	if name == "home.arpa" {
		return false // listed with the suffixes, and everybody's at home (RFC 8375)
	}
	for _, name := range []string{name, "any." + name} { // as for *.kobe.jp, which is listed where kobe.jp is not
		suffix, icann := publicsuffix.PublicSuffix(name)
		if suffix == name && (icann || strings.Contains(name, ".") && Public(name)) {
			return true
		}
	}
	return false
}

// trustedAddresses are the addresses that the local CA certifies: those of the
// certificate without a name, private ones, and hosts that are addresses.
func (k *Keeper) trustedAddresses(t Trust) []netip.Addr {
	hosts := slices.Clone(k.defaultHosts)
	for _, name := range t.Names {
		if isAddress(name) {
			hosts = append(hosts, name)
		}
	}
	var addrs []netip.Addr
	for _, host := range hosts {
		if addr, err := netip.ParseAddr(host); err == nil {
			addrs = append(addrs, plainAddress(addr))
		}
	}
	if t.Inside {
		for _, addr := range k.cfg.Addresses {
			addrs = append(addrs, plainAddress(addr))
		}
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	return slices.Compact(addrs)
}

// handOut signs the root's certificate with constraints. Nothing in it is
// random, and the signature is not either (RFC 6979, without a source of
// randomness), so nothing has to be stored.
func (ca *localCA) handOut(domains []string, addrs []netip.Addr) ([]byte, error) {
	var ranges []*net.IPNet
	constraints := sha256.New()
	fmt.Fprintln(constraints, domains, addrs, ca.root.SerialNumber)
	for _, addr := range addrs {
		ranges = append(ranges, &net.IPNet{IP: addr.AsSlice(), Mask: net.CIDRMask(addr.BitLen(), addr.BitLen())})
	}
	number := constraints.Sum(nil)[:20]
	number[0] = number[0]&0x7f | 0x40 // as serial does
	template := &x509.Certificate{
		SerialNumber:                new(big.Int).SetBytes(number),
		RawSubject:                  ca.root.RawSubject,
		SubjectKeyId:                ca.root.SubjectKeyId, // how it is derived may change with Go
		NotBefore:                   ca.root.NotBefore,
		NotAfter:                    ca.root.NotAfter,
		IsCA:                        true,
		BasicConstraintsValid:       true,
		MaxPathLenZero:              true,
		KeyUsage:                    ca.root.KeyUsage,
		ExtKeyUsage:                 ca.root.ExtKeyUsage,
		PermittedDNSDomainsCritical: true,
		PermittedDNSDomains:         domains,
		PermittedIPRanges:           ranges,
	}
	der, err := x509.CreateCertificate(nil, template, template, &ca.key.PublicKey, ca.key)
	if err != nil {
		return nil, fmt.Errorf("sign the root that is handed out: %w", err)
	}
	var out bytes.Buffer
	err = pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: der})
	return out.Bytes(), err
}
