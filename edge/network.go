package edge

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/berthd/berth/property"
	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// maxExceptions bounds the addresses of the LAN that apps reach all the same:
// each is a rule in every container.
const maxExceptions = 100

// maxPublic bounds the addresses that lead to the machine from outside.
const maxPublic = 20

// networkProperty is one thing that can be set of the network of all apps.
type networkProperty struct {
	name   string
	usual  string
	values []string // to complete
	// set reads a value as routerProperty's does.
	set func(lan *runtime.LAN, value string) (wrong string)
}

var networkProperties = []networkProperty{
	{name: "lan", usual: "auto", values: []string{"allow", "deny", "auto"}, set: func(lan *runtime.LAN, value string) string {
		mode, ok := map[string]runtime.LANMode{"allow": runtime.LANAllow, "deny": runtime.LANDeny, "auto": runtime.LANAuto}[value]
		if !ok {
			return "use allow, deny or auto (deny on a machine with a public IPv4 address)"
		}
		lan.Mode = mode
		return ""
	}},
	{name: "lan-allow", usual: "none", values: []string{"none"}, set: func(lan *runtime.LAN, value string) (wrong string) {
		lan.Except, wrong = parseExceptions(value)
		return wrong
	}},
	{name: "public-addresses", usual: "none", values: []string{"none"}, set: func(lan *runtime.LAN, value string) (wrong string) {
		lan.Public, wrong = parsePublic(value)
		return wrong
	}},
}

// parsePublic reads the addresses at which others reach the machine.
func parsePublic(value string) (list []netip.Addr, wrong string) {
	if value == "none" {
		return nil, ""
	}
	for word := range strings.FieldsFuncSeq(value, func(r rune) bool { return r == ',' || r == ' ' }) {
		addr, err := netip.ParseAddr(word)
		switch {
		case err != nil || addr.Zone() != "" || addr.Is4In6():
			return nil, fmt.Sprintf("%.60q is not an address such as 203.0.113.7", word)
		case !addr.IsGlobalUnicast():
			return nil, fmt.Sprintf("others cannot reach this machine at %s", addr)
		}
		if !slices.Contains(list, addr) {
			list = append(list, addr)
		}
	}
	if len(list) == 0 || len(list) > maxPublic {
		return nil, fmt.Sprintf("it is a list of 1 to %d addresses, as 203.0.113.7,2001:db8::7, or none", maxPublic)
	}
	return list, ""
}

// parseExceptions reads addresses and networks, with commas or spaces between them.
func parseExceptions(value string) (list []netip.Prefix, wrong string) {
	if value == "none" {
		return nil, ""
	}
	for word := range strings.FieldsFuncSeq(value, func(r rune) bool { return r == ',' || r == ' ' }) {
		p, err := netip.ParsePrefix(word)
		if addr, single := netip.ParseAddr(word); single == nil && addr.Zone() == "" {
			p, err = netip.PrefixFrom(addr, addr.BitLen()), nil
		}
		switch {
		case err != nil || p.Addr().Is4In6():
			return nil, fmt.Sprintf("%.60q is not an address or a network such as 192.168.1.0/24", word)
		case p != p.Masked():
			return nil, fmt.Sprintf("%s has host bits set: the network is %s", p, p.Masked())
		}
		if !slices.Contains(list, p) {
			list = append(list, p)
		}
	}
	if len(list) == 0 || len(list) > maxExceptions {
		return nil, fmt.Sprintf("use a list of 1 to %d addresses and networks, for example 192.168.1.10,10.0.0.0/24, or none", maxExceptions)
	}
	return list, ""
}

// NetworkProperties are the names of what can be set of all apps' network.
func NetworkProperties() (names []string) {
	for _, p := range networkProperties {
		names = append(names, p.name)
	}
	return names
}

// NetworkValues are values that a property may have, to complete a command line.
func NetworkValues(name string) []string {
	for _, p := range networkProperties {
		if p.name == name {
			return p.values
		}
	}
	return nil
}

func (p networkProperty) apply(lan *runtime.LAN, value string) error {
	if wrong := p.set(lan, value); wrong != "" {
		return fault.New(fault.Usage, code.NetworkInvalid, "%s cannot be %.60q: %s", p.name, value, wrong)
	}
	return nil
}

func networkPropertyNamed(name string) (networkProperty, error) {
	for _, p := range networkProperties {
		if p.name == name {
			return p, nil
		}
	}
	f := fault.New(fault.Usage, code.NetworkInvalid, "the network has no property %.60q", name)
	if near := fault.Nearest(name, NetworkProperties()); near != "" {
		f.Hint("did you mean %q?", near)
	}
	return networkProperty{}, f.Hint("it has %s", strings.Join(NetworkProperties(), ", "))
}

// LAN translates the settings into the engine's words. What cannot be read, a
// later berth has set: then all is denied that can be.
func LAN(s store.Settings) (lan runtime.LAN, err error) {
	for _, name := range slices.Sorted(maps.Keys(s.Network)) {
		property, err := networkPropertyNamed(name)
		if err == nil {
			err = property.apply(&lan, s.Network[name])
		}
		if err != nil {
			return runtime.LAN{Mode: runtime.LANDeny}, fmt.Errorf("read the network's settings: %w", err)
		}
	}
	return lan, nil
}

// lanSetter is the engine's hand on the reach of containers.
type lanSetter interface {
	SetLAN(ctx context.Context, lan runtime.LAN) error
}

// Network is what apps and builds reach of the networks around the machine. Its
// methods are safe for concurrent use.
type Network struct {
	db         *store.Store
	lan        lanSetter
	journal    Journal
	announcing sync.Mutex // serialises what the engine is told
}

// NewNetwork returns the network of an engine.
func NewNetwork(db *store.Store, engine lanSetter, journal Journal) *Network {
	return &Network{db: db, lan: engine, journal: journal}
}

// NetworkReport tells what apps reach.
type NetworkReport struct {
	Properties []property.Row `json:"properties"`
}

// NetworkReport tells what apps reach beside the internet.
func (n *Network) NetworkReport(context.Context) (r NetworkReport, err error) {
	err = n.db.View(func(tx *store.Tx) error {
		settings, err := tx.Settings()
		for _, p := range networkProperties {
			value, isSet := settings.Network[p.name]
			if !isSet {
				value = p.usual
			}
			r.Properties = append(r.Properties, property.Row{Name: p.name, Value: value, Set: isSet})
		}
		return err
	})
	return r, err
}

// SetNetwork sets what all apps and builds reach; an empty value takes a
// property back. It counts at once, for containers that run too; where that
// fails, the error says that it is stored, and the same call tries again.
func (n *Network) SetNetwork(ctx context.Context, name, value string, by store.User) (NetworkReport, error) {
	property, err := networkPropertyNamed(name)
	if err != nil {
		return NetworkReport{}, err
	}
	text := "unset " + name
	if value != "" {
		if err := property.apply(new(runtime.LAN), value); err != nil {
			return NetworkReport{}, err
		}
		text = fmt.Sprintf("set %s to %.100s", name, value)
	}
	n.announcing.Lock() // what the engine is told last is what was written last
	defer n.announcing.Unlock()
	var lan runtime.LAN
	err = n.db.Update(func(tx *store.Tx) error {
		settings, err := tx.Settings()
		if err != nil {
			return err
		}
		if settings.Network == nil {
			settings.Network = map[string]string{}
		}
		if settings.Network[name] = value; value == "" {
			delete(settings.Network, name)
		}
		if lan, err = LAN(settings); err != nil {
			return err
		}
		return errors.Join(tx.PutSettings(settings), tx.AddEvent(store.Event{By: by.Name, Kind: "settings", Text: text}))
	})
	if err != nil {
		return NetworkReport{}, fault.ExplainDiskFull(err)
	}
	n.journal.Changed("")
	if err := n.lan.SetLAN(ctx, lan); err != nil {
		return NetworkReport{}, notInForce(name, value, err)
	}
	return n.NetworkReport(ctx)
}

// notInForce says that a property is stored and that the engine, which tries
// again by itself, could not apply it.
func notInForce(name, value string, err error) error {
	f := fault.New(fault.Failed, code.NetworkPending, "%s is stored, but not yet applied to all containers", name).With(err.Error())
	f.Cause = err
	return f.Hint("berth retries within a minute; to retry now: berth %s", strings.TrimSpace("network:set --global "+name+" "+value))
}
