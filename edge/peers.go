package edge

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/berthd/berth/property"
	"github.com/berthd/berth/router/peer"
	"github.com/berthd/berth/store"
)

// defaultConnections is how many connections one address may have: an office
// of 150 whose browsers open six each. Somebody who holds them all on purpose
// costs some 20 MB, and nobody else's place.
const defaultConnections = 1000

// maxNetworks bounds the proxies that can be named; the largest networks that
// deliver other people's pages publish some hundred.
const maxNetworks = 1000

// peerProperty is one thing that can be set of the requests of all apps.
type peerProperty struct {
	property.Property
	// set reads a value as routerProperty's does.
	set func(p *peer.Policy, value string) error
}

var peerProperties = []peerProperty{
	{property.Property{Name: "trusted-proxies", Usual: "none", Values: []string{"none", "loopback", "private"}, Words: true,
		Meaning: "addresses and networks of the proxies in front, whose headers about clients are trusted; also the words private and loopback",
	}, func(p *peer.Policy, value string) error {
		if value == "none" {
			return nil
		}
		trusted, err := peer.ParseNetworks(value)
		switch {
		case err != nil:
			return err
		case len(trusted) == 0 || len(trusted) > maxNetworks:
			return fmt.Errorf("use a list of 1 to %d addresses and networks, for example 192.0.2.1,2001:db8::/32, or none", maxNetworks)
		}
		p.Trusted = trusted
		return nil
	}},
	{property.Property{Name: "proxy-protocol", Usual: "off", Values: []string{"off", "on", "optional"},
		Meaning: "on: proxies begin each connection with a PROXY header; optional",
	}, func(p *peer.Policy, value string) error {
		header, ok := map[string]peer.Header{"off": peer.HeaderNone, "on": peer.HeaderRequired, "optional": peer.HeaderOptional}[value]
		if !ok {
			return errors.New("use off, on or optional")
		}
		p.Header = header
		return nil
	}},
	{property.Property{Name: "max-connections-per-address", Usual: strconv.Itoa(defaultConnections), Values: []string{"off"},
		Meaning: "of a client, at all ports together, or off",
	}, func(p *peer.Policy, value string) error {
		n, err := strconv.Atoi(value)
		if value != "off" && (err != nil || n < 1) {
			return errors.New("use a number from 1, or off")
		}
		p.MaxConnections = n
		return nil
	}},
}

// peersOf translates the settings into the router's words. What a later berth
// has set is left out, which trusts nobody too many.
func (e *Edge) peersOf(s store.Settings) (p peer.Policy) {
	p.MaxConnections, p.Strangers = defaultConnections, e.cfg.Containers
	for _, name := range slices.Sorted(maps.Keys(s.Router)) {
		if _, err := routerPropertyNamed(name); err == nil {
			continue // of apps that have no value of their own
		}
		i := slices.IndexFunc(peerProperties, func(p peerProperty) bool { return p.Name == name })
		if i < 0 {
			e.warn("a property of the router is left out", fmt.Errorf("there is no property %q", name))
			continue
		}
		e.warn("a property of the router is left out", peerProperties[i].set(&p, s.Router[name]))
	}
	return p
}

// AnnouncePeers tells the router whom it may believe.
func (e *Edge) AnnouncePeers() {
	e.announcing.Lock() // as for hosts: what is told last is what was read last
	defer e.announcing.Unlock()
	e.table.SetPeers(e.peersOf(e.settings()))
}
