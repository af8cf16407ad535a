// Package dns solves DNS challenges of a CA: it puts the TXT record of a challenge
// into the zone at its provider, and removes it. It does nothing else; a token for
// it can be scoped to that.
//
//	certmagic ─ Provider ─ Cloudflare, Route 53, DigitalOcean, Hetzner, Gandi
//	                     └ RFC 2136 (BIND, Knot, PowerDNS, ...)
//
// Settings have the names of lego's environment variables, so that settings for
// other tools can be reused.
package dns

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/libdns/libdns"
)

const (
	timeout = 30 * time.Second // of one call to a provider
	ttl     = 60               // seconds; a challenge's record is read at once and then never again

	maxAnswer = 1 << 20 // of a provider: a page of records is far smaller
)

// Provider puts challenges' records into zones and takes them away. It is safe
// for concurrent use.
type Provider struct {
	zone zone
}

// zone is what a provider has to be able to do. zone has no trailing dot, name
// is relative to it ("@" is the zone itself). Removing what is not there is
// done already. Other TXT records of the name stay as they are.
type zone interface {
	add(ctx context.Context, zone, name, value string) error
	remove(ctx context.Context, zone, name, value string) error
}

// Setting is a setting of a provider.
type Setting struct {
	Name     string
	Aliases  []string
	Optional bool
	Secret   bool
}

// kind is a provider that can be chosen.
type kind struct {
	name     string
	aliases  []string
	settings []Setting
	open     func(get map[string]string) (zone, error)
}

func kinds() []kind {
	return []kind{cloudflareKind(), route53Kind(), digitaloceanKind(), hetznerKind(), gandiKind(), rfc2136Kind()}
}

// Names lists the providers.
func Names() (names []string) {
	for _, k := range kinds() {
		names = append(names, k.name)
	}
	return names
}

// Settings lists the settings of a provider; ok is false when there is no such
// provider.
func Settings(name string) (settings []Setting, ok bool) {
	k, ok := find(name)
	return k.settings, ok
}

// Canonical returns the name that a setting of any provider goes by here; ok is
// false when no provider has it.
func Canonical(setting string) (name string, ok bool) {
	for _, k := range kinds() {
		for _, s := range k.settings {
			if strings.EqualFold(s.Name, setting) || slices.ContainsFunc(s.Aliases, func(a string) bool { return strings.EqualFold(a, setting) }) {
				return s.Name, true
			}
		}
	}
	return "", false
}

// Name returns the name that a provider goes by here.
func Name(name string) (canonical string, ok bool) {
	k, ok := find(name)
	return k.name, ok
}

func find(name string) (kind, bool) {
	for _, k := range kinds() {
		if k.name == name || slices.Contains(k.aliases, name) {
			return k, true
		}
	}
	return kind{}, false
}

// New returns the provider of that name. The error never holds a setting's value.
func New(name string, settings map[string]string) (*Provider, error) {
	k, ok := find(name)
	if !ok {
		return nil, fmt.Errorf("there is no DNS provider %q; there are %s", name, strings.Join(Names(), ", "))
	}
	for _, s := range k.settings {
		if !s.Optional && settings[s.Name] == "" {
			return nil, fmt.Errorf("%s needs %s", k.name, s.Name)
		}
	}
	z, err := k.open(settings)
	if err != nil {
		return nil, err
	}
	return &Provider{z}, nil
}

// AppendRecords is libdns's, for TXT records.
func (p *Provider) AppendRecords(ctx context.Context, zone string, records []libdns.Record) ([]libdns.Record, error) {
	return p.each(zone, records, func(zone, name, value string) error { return p.zone.add(ctx, zone, name, value) })
}

// DeleteRecords is libdns's, for TXT records.
func (p *Provider) DeleteRecords(ctx context.Context, zone string, records []libdns.Record) ([]libdns.Record, error) {
	return p.each(zone, records, func(zone, name, value string) error { return p.zone.remove(ctx, zone, name, value) })
}

func (p *Provider) each(zone string, records []libdns.Record, do func(zone, name, value string) error) (done []libdns.Record, err error) {
	for _, record := range records {
		rr := record.RR()
		if rr.Type != "TXT" {
			return done, fmt.Errorf("a challenge has no %s record", rr.Type)
		}
		name := rr.Name
		if name == "" {
			name = "@"
		}
		if err := do(strings.TrimSuffix(zone, "."), name, rr.Data); err != nil {
			return done, err
		}
		done = append(done, record)
	}
	return done, nil
}

// absolute joins a relative name and its zone, without a trailing dot.
func absolute(zone, name string) string {
	if name == "@" {
		return zone
	}
	return name + "." + zone
}

// quote writes the value of a TXT record as zone files do; a challenge's has
// nothing in it to escape.
func quote(value string) string { return `"` + value + `"` }

func sameText(stored, value string) bool { return stored == value || stored == quote(value) }

// errAbsent is an answer that the thing asked for is not there.
var errAbsent = errors.New("not there")

// service is a provider that speaks JSON over HTTP.
type service struct {
	name   string
	base   string
	client *http.Client
	header map[string]string // with the token in it
}

func newService(name, base, override string, header map[string]string) service {
	if override != "" {
		base = override
	}
	return service{name, strings.TrimSuffix(base, "/"), &http.Client{Timeout: timeout}, header}
}

// call sends in, if any, and reads the answer into out, if any. What is not
// there is errAbsent.
func (s service) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		raw, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("write a request to %s: %w", s.name, err)
		}
		body = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, s.base+path, body)
	if err != nil {
		return fmt.Errorf("write a request to %s: %w", s.name, err)
	}
	for name, value := range s.header {
		req.Header.Set(name, value)
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	raw, err := s.do(req)
	if err != nil {
		return err
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(raw, out); err != nil {
		return fmt.Errorf("read the answer of %s: %w", s.name, err)
	}
	return nil
}

func (s service) do(req *http.Request) ([]byte, error) {
	res, err := s.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", s.name, err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("read the answer of %s: %w", s.name, err)
	}
	switch {
	case res.StatusCode == http.StatusNotFound:
		return nil, fmt.Errorf("%s: %w: %s", s.name, errAbsent, excerpt(raw))
	case res.StatusCode >= 300:
		return nil, fmt.Errorf("%s answers %s: %s", s.name, res.Status, excerpt(raw))
	}
	return raw, nil
}

// excerpt is the beginning of what a provider has to say, on one line.
func excerpt(raw []byte) string {
	text := strings.Join(strings.Fields(strings.ToValidUTF8(string(raw), "?")), " ")
	if len(text) > 300 {
		text = text[:300] + " ..."
	}
	return text
}
