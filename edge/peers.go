package edge

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/berthd/berth/router/peer"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// defaultConnections is how many connections one address may have: an office
// of 150 whose browsers open six each. Somebody who holds them all on purpose
// costs some 20 MB, and nobody else's place.
const defaultConnections = 1000

// maxNetworks bounds the proxies that can be named; the largest networks that
// deliver other people's pages publish some hundred.
const maxNetworks = 1000

// globalProperty is one thing that can be set of the requests of all apps.
type globalProperty struct {
	name   string
	usual  string
	values []string // to complete
	// set reads a value as routerProperty's does.
	set func(p *peer.Policy, value string) (wrong string)
}

var globalProperties = []globalProperty{
	{name: "trusted-proxies", usual: "none", values: []string{"none", "loopback", "private"}, set: func(p *peer.Policy, value string) string {
		if value == "none" {
			return ""
		}
		trusted, err := peer.ParseNetworks(value)
		switch {
		case err != nil:
			return err.Error()
		case len(trusted) == 0 || len(trusted) > maxNetworks:
			return fmt.Sprintf("use a list of 1 to %d addresses and networks, for example 192.0.2.1,2001:db8::/32, or none", maxNetworks)
		}
		p.Trusted = trusted
		return ""
	}},
	{name: "proxy-protocol", usual: "off", values: []string{"off", "on", "optional"}, set: func(p *peer.Policy, value string) string {
		header, ok := map[string]peer.Header{"off": peer.HeaderNone, "on": peer.HeaderRequired, "optional": peer.HeaderOptional}[value]
		if !ok {
			return "use off, on or optional"
		}
		p.Header = header
		return ""
	}},
	{name: "max-connections-per-address", usual: strconv.Itoa(defaultConnections), values: []string{"off"}, set: func(p *peer.Policy, value string) string {
		n, err := strconv.Atoi(value)
		if value != "off" && (err != nil || n < 1) {
			return "it is a number from 1, or off"
		}
		p.MaxConnections = n
		return ""
	}},
}

// GlobalRouterProperties are the names of what can be set of all apps' requests.
func GlobalRouterProperties() (names []string) {
	for _, p := range globalProperties {
		names = append(names, p.name)
	}
	return names
}

func globalPropertyNamed(name string) (globalProperty, error) {
	for _, p := range globalProperties {
		if p.name == name {
			return p, nil
		}
	}
	f := fault.New(fault.Usage, code.RouterInvalid, "the router has no property %.60q for all apps", name)
	if slices.Contains(RouterProperties(), name) {
		return globalProperty{}, f.Hint("it is set for each app: berth router:set APP %s VALUE", name)
	}
	return globalProperty{}, f.Hint("it has %s", strings.Join(GlobalRouterProperties(), ", "))
}

func (g globalProperty) apply(p *peer.Policy, value string) error {
	if wrong := g.set(p, value); wrong != "" {
		return fault.New(fault.Usage, code.RouterInvalid, "%s cannot be %.60q: %s", g.name, value, wrong)
	}
	return nil
}

// peersOf translates the settings into the router's words. What a later berth
// has set is left out, which trusts nobody too many.
func (e *Edge) peersOf(s store.Settings) (p peer.Policy) {
	p.MaxConnections = defaultConnections
	for _, name := range slices.Sorted(maps.Keys(s.Router)) {
		property, err := globalPropertyNamed(name)
		if err == nil {
			err = property.apply(&p, s.Router[name])
		}
		e.warn("a property of the router is left out", err)
	}
	return p
}

// AnnouncePeers tells the router whom it may believe.
func (e *Edge) AnnouncePeers() {
	e.announcing.Lock() // as for hosts: what is told last is what was read last
	defer e.announcing.Unlock()
	e.table.SetPeers(e.peersOf(e.settings()))
}

// GlobalRouterReport tells how the requests of all apps are treated.
func (e *Edge) GlobalRouterReport(context.Context) (RouterReport, error) {
	r := RouterReport{Users: []string{}}
	err := e.db.View(func(tx *store.Tx) error {
		settings, err := tx.Settings()
		for _, p := range globalProperties {
			value, isSet := settings.Router[p.name]
			if !isSet {
				value = p.usual
			}
			r.Properties = append(r.Properties, RouterProperty{p.name, value, isSet})
		}
		return err
	})
	return r, err
}

// SetGlobalRouter sets how the requests of all apps are treated; an empty value
// takes a property back. It counts at once, and closes no connection.
func (e *Edge) SetGlobalRouter(ctx context.Context, name, value string, by store.User) (RouterReport, error) {
	property, err := globalPropertyNamed(name)
	if err != nil {
		return RouterReport{}, err
	}
	text := "unset " + name
	if value != "" {
		if err := property.apply(new(peer.Policy), value); err != nil {
			return RouterReport{}, err
		}
		text = fmt.Sprintf("set %s to %.100s", name, value)
	}
	err = e.db.Update(func(tx *store.Tx) error {
		settings, err := tx.Settings()
		if err != nil {
			return err
		}
		if settings.Router == nil {
			settings.Router = map[string]string{}
		}
		if settings.Router[name] = value; value == "" {
			delete(settings.Router, name)
		}
		return errors.Join(tx.PutSettings(settings), tx.AddEvent(store.Event{By: by.Name, Kind: "router", Text: text}))
	})
	if err != nil {
		return RouterReport{}, fault.ExplainDiskFull(err)
	}
	e.AnnouncePeers()
	e.changed("")
	return e.GlobalRouterReport(ctx)
}
