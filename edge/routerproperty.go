package edge

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/berthd/berth/property"
	"github.com/berthd/berth/router"
	"github.com/berthd/berth/router/peer"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// routerProperty is one thing that can be set of an app's requests.
type routerProperty struct {
	property.Property
	// set reads a value, never an empty one. Its error says what is wrong with
	// the value as the end of a sentence.
	set func(r *routing, value string) error
}

// routerProperties are those of an app that have one name each.
var routerProperties = []routerProperty{
	{property.Property{Name: "https-only", Usual: "on", Values: property.OnOff, Scope: property.Both,
		Meaning: "off answers plain HTTP instead of redirecting it to HTTPS",
	}, func(r *routing, value string) (err error) {
		r.Plain, err = isOff(value)
		return err
	}},
	{property.Property{Name: "balance", Usual: string(router.RoundRobin), Values: balances, Scope: property.Both,
		Meaning: "round-robin, least-connections, or sticky by a cookie",
	}, func(r *routing, value string) error {
		r.Balance = router.Balance(value)
		return oneOf(value, balances)
	}},
	{property.Property{Name: "protocol", Usual: string(router.HTTP), Values: protocols,
		Meaning: "http (gRPC included) or h2c",
	}, func(r *routing, value string) error {
		r.Protocol = router.Protocol(value)
		return oneOf(value, protocols)
	}},
	{property.Property{Name: "max-body", Usual: "100m", Values: []string{"unlimited"}, Scope: property.Both,
		Meaning: "the largest request: 64k, 100m, 2g, unlimited",
	}, func(r *routing, value string) (err error) {
		if r.MaxBody = -1; value != "unlimited" {
			r.MaxBody, err = parseSize(value)
		}
		return err
	}},
	{property.Property{Name: "min-body-rate", Usual: strconv.Itoa(router.DefaultMinBodyRate), Values: []string{"off"}, Scope: property.Both,
		Meaning: "the slowest upload in bytes a second, or off",
	}, func(r *routing, value string) (err error) {
		if r.MinBodyRate = -1; value != "off" {
			r.MinBodyRate, err = parseSize(value)
		}
		return err
	}},
	{property.Property{Name: "rate-limit", Usual: "off", Values: []string{"off", "10/s", "100/m"}, Scope: property.Both,
		Meaning: "requests of one address: 10/s, 100/m, 1000/h, off",
	}, func(r *routing, value string) (err error) {
		if value != "off" {
			r.Rate, r.Burst, err = parseRate(value)
		}
		return err
	}},
	{property.Property{Name: "max-in-flight", Usual: "off", Values: []string{"off"}, Scope: property.Both,
		Meaning: "requests of one address at once, or off",
	}, func(r *routing, value string) error {
		if value == "off" {
			return nil
		}
		n, err := strconv.Atoi(value)
		if err != nil || n < 1 {
			return errors.New("use a number from 1, or off")
		}
		r.InFlight = n
		return nil
	}},
	{property.Property{Name: "response-timeout", Usual: "60s", Values: []string{"60s", "5m", "1h"}, Scope: property.Both,
		Meaning: "how long the app may take to begin its response: 5m",
	}, func(r *routing, value string) error {
		d, err := time.ParseDuration(value)
		if err != nil || d < time.Second || d > maxResponseTimeout {
			return errors.New("use a time from 1s to 24h, such as 90s or 5m")
		}
		r.ResponseTimeout = d
		return nil
	}},
	{property.Property{Name: "stream-grace", Usual: drainUpgraded.String(), Values: []string{"0s", "30s", "5m"}, Scope: property.Both,
		Meaning: "how long WebSockets continue when a release replaces theirs: 5m",
	}, func(r *routing, value string) error {
		d, err := time.ParseDuration(value)
		if err != nil || d < 0 || d > maxStreamGrace {
			return errors.New("use a time from 0s to " + strings.TrimSuffix(maxStreamGrace.String(), "0m0s") + ", such as 90s or 5m")
		}
		r.streamGrace = d
		return nil
	}},
	{property.Property{Name: "hsts", Usual: "off", Values: []string{"off", "on"}, Scope: property.Both, Words: true,
		Meaning: "on, off or SECONDS, optionally with subdomains and preload",
	}, func(r *routing, value string) (err error) {
		r.HSTS, err = parseHSTS(value)
		return err
	}},
	{property.Property{Name: "compress", Usual: "on", Values: property.OnOff, Scope: property.Both,
		Meaning: "off passes responses unchanged",
	}, func(r *routing, value string) (err error) {
		r.Uncompressed, err = isOff(value)
		return err
	}},
	{property.Property{Name: "access-log", Usual: string(router.LogAll), Values: logged, Scope: property.Both,
		Meaning: "off, or paths to omit queries, which may contain secrets",
	}, func(r *routing, value string) error {
		r.Log = router.Logged(value)
		return oneOf(value, logged)
	}},
}

// RouterProperties are what can be set of how requests are treated.
var RouterProperties = property.List{
	Noun: "router", Has: "the router has", Code: code.RouterInvalid,
	Note:       "Changes apply at once and fail no request.",
	Properties: listRouterProperties(),
	Kept:       routerKeeper{},
}

func listRouterProperties() (all []property.Property) {
	for _, p := range routerProperties {
		one, set := p.Property, p.set
		one.Check = func(value string) (string, error) { return value, set(new(routing), value) }
		all = append(all, one)
	}
	all = append(all,
		property.Property{Name: store.PageMaintenance, Usual: "berth's own", Scope: property.Both, File: true, Check: checkPage,
			Meaning: "FILE of HTML, - is standard input"},
		property.Property{Name: store.PageError, Usual: "berth's own", Scope: property.Both, File: true, Check: checkPage,
			Meaning: "the same, for when the app does not answer (502, 503, 504)"},
		property.Property{Name: headerPrefix, Rest: "NAME", Scope: property.Both, Words: true,
			Meaning: "a header of every response, replacing the app's",
			Family: func(header string) (property.Property, error) {
				p, err := headerProperty(header)
				return p.Property, err
			}},
	)
	for _, p := range peerProperties {
		one, set := p.Property, p.set
		one.Scope = property.Global
		one.Check = func(value string) (string, error) { return value, set(new(peer.Policy), value) }
		all = append(all, one)
	}
	return all
}

func checkPage(content string) (string, error) {
	if len(content) > store.MaxPage {
		return "", fault.New(fault.Usage, code.RouterInvalid, "a page has %d bytes; the maximum is %d", len(content), store.MaxPage).
			Hint("load images from another address")
	}
	return content, nil
}

// routerKeeper keeps an app's values in its routing, the machine's in the
// settings, and the pages of both beside the routing.
type routerKeeper struct{}

// Values implements property.Keeper.
func (routerKeeper) Values(tx *store.Tx, app string) (map[string]string, error) {
	values := map[string]string{}
	if app == "" {
		settings, err := tx.Settings()
		if err != nil {
			return nil, err
		}
		maps.Copy(values, settings.Router)
	} else {
		set, err := tx.Routing(app)
		if err != nil {
			return nil, err
		}
		maps.Copy(values, set.Properties)
	}
	for _, page := range RouterPages {
		if content := tx.Pages.Get(pagesOf(app), page); len(content) > 0 {
			values[page] = string(content)
		}
	}
	return values, nil
}

// pagesOf is whose pages the store has for an app, or with "" for the machine.
func pagesOf(app string) string { return cmp.Or(app, store.Machine) }

// Keep implements property.Keeper.
func (routerKeeper) Keep(tx *store.Tx, app, name, value string) error {
	if slices.Contains(RouterPages, name) {
		return tx.Pages.Put(pagesOf(app), name, []byte(value))
	}
	if app == "" {
		settings, err := tx.Settings()
		if err == nil {
			err = keepRouterProperty(&settings.Router, "the machine", name, value)
		}
		if err != nil {
			return err
		}
		return tx.PutSettings(settings)
	}
	set, err := tx.Routing(app)
	if err == nil {
		err = keepRouterProperty(&set.Properties, app, name, value)
	}
	if err != nil {
		return err
	}
	return tx.PutRouting(app, set)
}

// maxRouterProperties bounds what an app can have set, headers included.
const maxRouterProperties = 100

func keepRouterProperty(values *map[string]string, whose, name, value string) error {
	if value == "" {
		delete(*values, name)
		return nil
	}
	if _, there := (*values)[name]; !there && len(*values) >= maxRouterProperties {
		return fault.New(fault.Conflict, code.RouterInvalid, "%s has %d properties of the router, which is the maximum", whose, maxRouterProperties)
	}
	if *values == nil {
		*values = map[string]string{}
	}
	(*values)[name] = value
	return nil
}

var (
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

// routerPropertyNamed returns the property of an app's requests of that name.
func routerPropertyNamed(name string) (routerProperty, error) {
	for _, p := range routerProperties {
		if p.Name == name {
			return p, nil
		}
	}
	if header, ok := strings.CutPrefix(name, headerPrefix); ok {
		return headerProperty(header)
	}
	return routerProperty{}, fmt.Errorf("there is no property %q of requests", name)
}

func headerProperty(header string) (routerProperty, error) {
	switch {
	case !httpguts.ValidHeaderFieldName(header) || len(header) > 100:
		return routerProperty{}, fault.New(fault.Usage, code.RouterInvalid, "%.60q is not a header name", header).Hint("write it as header:X-Frame-Options")
	case router.OwnHeader(header):
		f := fault.New(fault.Usage, code.RouterInvalid, "%s cannot be set as a header", header)
		if strings.EqualFold(header, "Strict-Transport-Security") {
			f.Hint("use the property hsts")
		}
		return routerProperty{}, f
	}
	set := func(r *routing, value string) error {
		if !httpguts.ValidHeaderFieldValue(value) {
			return errors.New("it has a control character in it")
		}
		r.Headers = slices.DeleteFunc(r.Headers, func(h router.Header) bool { return strings.EqualFold(h.Name, header) })
		r.Headers = append(r.Headers, router.Header{Name: header, Value: value})
		return nil
	}
	check := func(value string) (string, error) { return value, set(new(routing), value) }
	return routerProperty{property.Property{Name: headerPrefix + header, Words: true, Check: check}, set}, nil
}

func isOff(value string) (bool, error) { return value == "off", oneOf(value, property.OnOff) }

func oneOf(value string, values []string) error {
	_, err := property.OneOf(values...)(value)
	return err
}

// parseSize reads bytes: 500, 64k, 100m, 2g; nginx and Dokku write them so.
func parseSize(value string) (int64, error) {
	number, shift := strings.ToLower(value), 0
	for unit, bits := range map[string]int{"k": 10, "m": 20, "g": 30} {
		if rest, ok := strings.CutSuffix(number, unit); ok {
			number, shift = rest, bits
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 1 || n > math.MaxInt64>>(shift+1) {
		return 0, errors.New("use a size such as 64k, 100m or 2g")
	}
	return n << shift, nil
}

// parseRate reads 10/s, 100/m or 1000/h: so many requests in the time, whether
// evenly or at once.
func parseRate(value string) (rate float64, burst int, err error) {
	number, unit, _ := strings.Cut(value, "/")
	seconds := map[string]float64{"s": 1, "m": 60, "h": 3600}[unit]
	n, err := strconv.Atoi(number)
	if err != nil || n < 1 || n > 1_000_000 || seconds == 0 {
		return 0, 0, errors.New("use requests in a time, such as 10/s, 100/m or 1000/h")
	}
	return float64(n) / seconds, n, nil
}

// parseHSTS reads off, on, or seconds, and the words subdomains and preload.
func parseHSTS(value string) (header string, err error) {
	words := strings.Fields(value)
	if len(words) == 1 && words[0] == "off" {
		return "", nil
	}
	usage := errors.New("use off, on or a number of seconds, optionally with subdomains and preload")
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
	return header, nil
}
