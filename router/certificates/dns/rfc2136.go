package dns

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// tsigFudge is how many seconds the clocks of the two sides may differ.
const tsigFudge = 300

// rfc2136 is a name server that takes dynamic updates, signed with a key that
// both sides know (TSIG, RFC 8945).
type rfc2136 struct {
	server         string // host:port
	key, algorithm string // fully qualified; no key is no signature
	secret         string // base64
}

func rfc2136Kind() kind {
	return kind{
		name: "rfc2136",
		settings: []Setting{
			{Name: "RFC2136_NAMESERVER"},
			{Name: "RFC2136_TSIG_KEY", Optional: true},
			{Name: "RFC2136_TSIG_SECRET", Secret: true, Optional: true},
			{Name: "RFC2136_TSIG_ALGORITHM", Optional: true},
		},
		open: func(get map[string]string) (zone, error) {
			r := rfc2136{server: get["RFC2136_NAMESERVER"], secret: get["RFC2136_TSIG_SECRET"]}
			if _, _, err := net.SplitHostPort(r.server); err != nil {
				r.server = net.JoinHostPort(strings.Trim(r.server, "[]"), "53")
			}
			if key := get["RFC2136_TSIG_KEY"]; key != "" {
				r.key = dns.CanonicalName(key)
			}
			if (r.key == "") != (r.secret == "") {
				return nil, errors.New("rfc2136 needs both RFC2136_TSIG_KEY and RFC2136_TSIG_SECRET, or neither")
			}
			if _, err := base64.StdEncoding.DecodeString(r.secret); err != nil {
				return nil, errors.New("RFC2136_TSIG_SECRET is not base64")
			}
			r.algorithm = dns.HmacSHA256
			if algorithm := get["RFC2136_TSIG_ALGORITHM"]; algorithm != "" {
				r.algorithm = dns.CanonicalName(algorithm)
			}
			switch r.algorithm {
			case dns.HmacSHA1, dns.HmacSHA224, dns.HmacSHA256, dns.HmacSHA384, dns.HmacSHA512:
			default:
				return nil, fmt.Errorf("RFC2136_TSIG_ALGORITHM is none of hmac-sha1, hmac-sha224, hmac-sha256, hmac-sha384 and hmac-sha512")
			}
			return r, nil
		},
	}
}

func (r rfc2136) add(ctx context.Context, zone, name, value string) error {
	return r.update(ctx, zone, name, value, (*dns.Msg).Insert)
}

func (r rfc2136) remove(ctx context.Context, zone, name, value string) error {
	return r.update(ctx, zone, name, value, (*dns.Msg).Remove)
}

func (r rfc2136) update(ctx context.Context, zone, name, value string, change func(*dns.Msg, []dns.RR)) error {
	record := &dns.TXT{
		Hdr: dns.RR_Header{Name: dns.Fqdn(absolute(zone, name)), Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: ttl},
		Txt: []string{value},
	}
	m := new(dns.Msg).SetUpdate(dns.Fqdn(zone))
	change(m, []dns.RR{record})
	c := dns.Client{Net: "tcp", Timeout: timeout}
	if r.key != "" {
		c.TsigSecret = map[string]string{r.key: r.secret}
		m.SetTsig(r.key, r.algorithm, tsigFudge, time.Now().Unix())
	}
	answer, _, err := c.ExchangeContext(ctx, m, r.server)
	if err != nil {
		return fmt.Errorf("update %s at %s: %w", zone, r.server, err)
	}
	if answer.Rcode != dns.RcodeSuccess {
		return fmt.Errorf("update %s at %s: the server refuses: %s", zone, r.server, dns.RcodeToString[answer.Rcode])
	}
	return nil
}
