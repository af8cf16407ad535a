package edge

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/berthd/berth/router"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// routerProperty is one thing that can be set of an app's requests.
type routerProperty struct {
	name   string
	usual  string   // what it is when nobody has set it
	values []string // to complete; nil when there are too many
	// set reads a value, never an empty one. It returns what is wrong with it as
	// the end of a sentence, "" when nothing is.
	set func(r *routing, value string) (wrong string)
}

var routerProperties = []routerProperty{
	{name: "https-only", usual: "on", values: onOff, set: func(r *routing, value string) (wrong string) {
		r.Plain = !isOn(value, &wrong)
		return wrong
	}},
	{name: "balance", usual: string(router.RoundRobin), values: balances, set: func(r *routing, value string) string {
		if !slices.Contains(balances, value) {
			return "it is one of " + strings.Join(balances, ", ")
		}
		r.Balance = router.Balance(value)
		return ""
	}},
	{name: "protocol", usual: string(router.HTTP), values: protocols, set: func(r *routing, value string) string {
		if !slices.Contains(protocols, value) {
			return "it is one of " + strings.Join(protocols, ", ")
		}
		r.Protocol = router.Protocol(value)
		return ""
	}},
	{name: "max-body", usual: "100m", values: []string{"unlimited"}, set: func(r *routing, value string) (wrong string) {
		if r.MaxBody = -1; value != "unlimited" {
			r.MaxBody, wrong = parseSize(value)
		}
		return wrong
	}},
	{name: "min-body-rate", usual: strconv.Itoa(router.DefaultMinBodyRate), values: []string{"off"}, set: func(r *routing, value string) (wrong string) {
		if r.MinBodyRate = -1; value != "off" {
			r.MinBodyRate, wrong = parseSize(value)
		}
		return wrong
	}},
	{name: "rate-limit", usual: "off", values: []string{"off", "10/s", "100/m"}, set: func(r *routing, value string) (wrong string) {
		if value != "off" {
			r.Rate, r.Burst, wrong = parseRate(value)
		}
		return wrong
	}},
	{name: "max-in-flight", usual: "off", values: []string{"off"}, set: func(r *routing, value string) string {
		if value == "off" {
			return ""
		}
		n, err := strconv.Atoi(value)
		if err != nil || n < 1 {
			return "it is a number from 1, or off"
		}
		r.InFlight = n
		return ""
	}},
	{name: "response-timeout", usual: "60s", values: []string{"60s", "5m", "1h"}, set: func(r *routing, value string) string {
		d, err := time.ParseDuration(value)
		if err != nil || d < time.Second || d > maxResponseTimeout {
			return "it is a time from 1s to 24h, as 90s or 5m"
		}
		r.ResponseTimeout = d
		return ""
	}},
	{name: "stream-grace", usual: drainUpgraded.String(), values: []string{"0s", "30s", "5m"}, set: func(r *routing, value string) string {
		d, err := time.ParseDuration(value)
		if err != nil || d < 0 || d > maxStreamGrace {
			return "it is a time from 0s to " + strings.TrimSuffix(maxStreamGrace.String(), "0m0s") + ", as 90s or 5m"
		}
		r.streamGrace = d
		return ""
	}},
	{name: "hsts", usual: "off", values: []string{"off", "on"}, set: func(r *routing, value string) (wrong string) {
		r.HSTS, wrong = parseHSTS(value)
		return wrong
	}},
	{name: "access-log", usual: string(router.LogAll), values: logged, set: func(r *routing, value string) string {
		if !slices.Contains(logged, value) {
			return "it is one of " + strings.Join(logged, ", ")
		}
		r.Log = router.Logged(value)
		return ""
	}},
	{name: "compress", usual: "on", values: onOff, set: func(r *routing, value string) (wrong string) {
		r.Uncompressed = !isOn(value, &wrong)
		return wrong
	}},
}

var (
	onOff     = []string{"on", "off"}
	balances  = []string{string(router.RoundRobin), string(router.LeastConnections), string(router.Sticky)}
	logged    = []string{string(router.LogAll), string(router.LogPaths), string(router.LogNothing)}
	protocols = []string{string(router.HTTP), string(router.H2C)}
)

// RouterPages are the properties whose value is a page.
var RouterPages = []string{store.PageMaintenance, store.PageError}

const (
	// headerPrefix makes properties of headers: header:X-Frame-Options.
	headerPrefix = "header:"

	// maxResponseTimeout is longer than any request is worth waiting for, and
	// ends those that an app has forgotten.
	maxResponseTimeout = 24 * time.Hour

	// maxStreamGrace keeps an old instance from staying for good.
	maxStreamGrace = time.Hour

	// hstsUsual is a year, what browsers' lists ask for at least.
	hstsUsual = 365 * 24 * 60 * 60
)

// RouterProperties are the names of what can be set of an app's requests.
func RouterProperties() (names []string) {
	for _, p := range routerProperties {
		names = append(names, p.name)
	}
	return append(append(names, RouterPages...), headerPrefix)
}

// RouterPage tells whether a property's value is a page, which is read from a
// file.
func RouterPage(name string) bool { return slices.Contains(RouterPages, name) }

// RouterValues are values that a property may have, to complete a command line.
func RouterValues(name string) []string {
	for _, p := range routerProperties {
		if p.name == name {
			return p.values
		}
	}
	return nil
}

func routerPropertyNamed(name string) (routerProperty, error) {
	for _, p := range routerProperties {
		if p.name == name {
			return p, nil
		}
	}
	if header, ok := strings.CutPrefix(name, headerPrefix); ok {
		return headerProperty(name, header)
	}
	names := RouterProperties()
	f := fault.New(fault.Usage, code.RouterInvalid, "the router has no property %.60q", name)
	if near := fault.Nearest(name, names); near != "" {
		f.Hint("did you mean %q?", near)
	}
	return routerProperty{}, f.Hint("it has %s", strings.Join(names, ", "))
}

func headerProperty(name, header string) (routerProperty, error) {
	switch {
	case !httpguts.ValidHeaderFieldName(header) || len(header) > 100:
		return routerProperty{}, fault.New(fault.Usage, code.RouterInvalid, "%.60q is not the name of a header", header).Hint("header:X-Frame-Options has one")
	case router.OwnHeader(header):
		f := fault.New(fault.Usage, code.RouterInvalid, "%s is not a header to be set by hand", header)
		if strings.EqualFold(header, "Strict-Transport-Security") {
			f.Hint("the property hsts sets it")
		}
		return routerProperty{}, f
	}
	return routerProperty{name: name, set: func(r *routing, value string) string {
		if !httpguts.ValidHeaderFieldValue(value) || len(value) > 4000 {
			return "it is too long, or has a control character in it"
		}
		r.Headers = append(r.Headers, router.Header{Name: header, Value: value})
		return ""
	}}, nil
}

// apply sets the property in r, or returns a fault (E181).
func (p routerProperty) apply(r *routing, name, value string) error {
	if wrong := p.set(r, value); wrong != "" {
		return fault.New(fault.Usage, code.RouterInvalid, "%s cannot be %.60q: %s", name, value, wrong)
	}
	return nil
}

func isOn(value string, wrong *string) bool {
	if !slices.Contains(onOff, value) {
		*wrong = "it is on or off"
	}
	return value == "on"
}

// parseSize reads bytes: 500, 64k, 100m, 2g; nginx and Dokku write them so.
func parseSize(value string) (n int64, wrong string) {
	number, shift := strings.ToLower(value), 0
	for unit, bits := range map[string]int{"k": 10, "m": 20, "g": 30} {
		if rest, ok := strings.CutSuffix(number, unit); ok {
			number, shift = rest, bits
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 1 || n > math.MaxInt64>>(shift+1) {
		return 0, "it is a number of bytes, as 500, 64k, 100m or 2g"
	}
	return n << shift, ""
}

// parseRate reads 10/s, 100/m or 1000/h: so many requests in the time, whether
// evenly or at once.
func parseRate(value string) (rate float64, burst int, wrong string) {
	number, unit, _ := strings.Cut(value, "/")
	seconds := map[string]float64{"s": 1, "m": 60, "h": 3600}[unit]
	n, err := strconv.Atoi(number)
	if err != nil || n < 1 || n > 1_000_000 || seconds == 0 {
		return 0, 0, "it is a number of requests in a time, as 10/s, 100/m or 1000/h"
	}
	return float64(n) / seconds, n, ""
}

// parseHSTS reads off, on, or seconds, and the words subdomains and preload.
func parseHSTS(value string) (header, wrong string) {
	words := strings.Fields(value)
	if len(words) == 1 && words[0] == "off" {
		return "", ""
	}
	const usage = "it is off, on or a number of seconds, and perhaps the words subdomains and preload"
	if len(words) == 0 {
		return "", usage
	}
	seconds := hstsUsual
	if words[0] != "on" {
		n, err := strconv.Atoi(words[0])
		if err != nil || n < 0 {
			return "", usage
		}
		seconds = n
	}
	header = fmt.Sprintf("max-age=%d", seconds)
	for _, word := range words[1:] {
		switch word {
		case "subdomains":
			header += "; includeSubDomains"
		case "preload":
			header += "; preload"
		default:
			return "", usage
		}
	}
	return header, ""
}
