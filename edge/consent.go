package edge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/berthd/berth/fleet"
	"github.com/berthd/berth/names"
	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

const (
	// consentInterval is for what no event tells: a program that listens on a
	// port later than it started.
	consentInterval = 5 * time.Second
	// consentPause gathers the events of a rollout.
	consentPause = 50 * time.Millisecond
)

// passages is the engine's hand on what containers reach of each other.
type passages interface {
	SetPassages(ctx context.Context, list []runtime.Passage) error
	// AddressesOf are the addresses of a container, none when it is gone.
	AddressesOf(id string) []netip.Addr
	// OwnerOf tells whose container has an address, 0 when nobody's has.
	OwnerOf(addr netip.Addr) int
}

// Consents are which apps may call which. They are kept in the store, told to the
// engine as the instances come and go, and are what the names of apps are
// answered by. Its methods are safe for concurrent use.
type Consents struct {
	db      *store.Store
	engine  passages
	apps    Apps
	journal Journal
	log     *slog.Logger

	ready   atomic.Bool // Run has begun
	visible atomic.Pointer[map[int]neighbours]

	mu   sync.Mutex // serialises what the engine is told; guards told
	told []runtime.Passage
	said bool // told is what the engine has
}

// NewConsents returns the consents of the apps.
func NewConsents(db *store.Store, engine passages, apps Apps, journal Journal, log *slog.Logger) *Consents {
	return &Consents{db: db, engine: engine, apps: apps, journal: journal, log: log}
}

// neighbours are the apps that an app may call, by their names.
type neighbours map[string][]neighbour

// neighbour is a port of an instance that an app may call.
type neighbour struct {
	process   string
	number    int
	container string
	port      uint16
	four, six bool // the families in which it listens
}

// Run tells the engine of consents as instances come and go, until ctx ends.
// changes gets the name of each app that something changed about.
func (c *Consents) Run(ctx context.Context, changes <-chan string) error {
	c.ready.Store(true)
	tick := time.NewTicker(consentInterval)
	defer tick.Stop()
	for {
		if err := c.keep(ctx); err != nil && ctx.Err() == nil {
			c.log.Warn("what apps reach of each other is not as it should be", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changes:
		case <-tick.C:
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(consentPause):
		}
		for drained := false; !drained; {
			select {
			case _, open := <-changes:
				drained = !open
			default:
				drained = true
			}
		}
	}
}

// keep brings the engine to what the store and the fleet have now.
func (c *Consents) keep(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	consents, ids, err := c.read()
	if err != nil {
		return err
	}
	endpoints := map[int][]fleet.Endpoint{}
	for _, a := range c.apps.All() {
		if slices.ContainsFunc(consents, func(s store.Consent) bool { return ids[s.To] == a.UID() }) {
			endpoints[a.UID()] = a.Endpoints()
		}
	}
	list, visible := decide(consents, ids, endpoints)
	c.visible.Store(&visible)
	if c.said && slices.Equal(list, c.told) {
		return nil
	}
	c.said = false
	if err := c.engine.SetPassages(ctx, list); err != nil {
		return err
	}
	c.told, c.said = list, true
	return nil
}

// read returns the consents and the ids of their apps.
func (c *Consents) read() (consents []store.Consent, ids map[string]int, err error) {
	ids = map[string]int{}
	err = c.db.View(func(tx *store.Tx) error {
		if consents, err = tx.Consents.Of(""); err != nil {
			return err
		}
		for _, consent := range consents {
			for _, name := range []string{consent.From, consent.To} {
				app, err := tx.App(name)
				if err != nil {
					return err
				}
				ids[name] = app.UID
			}
		}
		return nil
	})
	return consents, ids, err
}

// decide says what the engine is to open, and who sees what, of what is healthy
// now.
func decide(consents []store.Consent, ids map[string]int, endpoints map[int][]fleet.Endpoint) (list []runtime.Passage, visible map[int]neighbours) {
	visible = map[int]neighbours{}
	for _, consent := range consents {
		from, to := ids[consent.From], ids[consent.To]
		if visible[from] == nil {
			visible[from] = neighbours{}
		}
		seen := visible[from][consent.To]
		for _, e := range endpoints[to] {
			for _, port := range opened(consent, e) {
				list = append(list, runtime.Passage{From: from, To: e.Container, Port: port})
				n := neighbour{process: e.Type, number: e.Number, container: e.Container, port: port}
				n.four, n.six = listens(e, port)
				if !slices.Contains(seen, n) {
					seen = append(seen, n)
				}
			}
		}
		visible[from][consent.To] = seen
	}
	slices.SortFunc(list, func(a, b runtime.Passage) int {
		if a.From != b.From {
			return a.From - b.From
		}
		if d := strings.Compare(a.To, b.To); d != 0 {
			return d
		}
		return int(a.Port) - int(b.Port)
	})
	return slices.Compact(list), visible
}

// opened are the ports of an instance that a consent opens.
func opened(consent store.Consent, e fleet.Endpoint) (ports []uint16) {
	if n := consent.Number(); n != 0 {
		return []uint16{uint16(n)}
	}
	if consent.Port != e.Type {
		return nil
	}
	for _, address := range e.Listening {
		at, err := netip.ParseAddrPort(address)
		if err != nil || at.Addr().IsLoopback() || e.Serving != "" && portOfAddress(e.Serving) != at.Port() || slices.Contains(ports, at.Port()) {
			continue
		}
		ports = append(ports, at.Port())
	}
	return ports
}

func portOfAddress(address string) uint16 {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return 0
	}
	return at.Port()
}

// listens tells in which families an instance listens on a port for others.
func listens(e fleet.Endpoint, port uint16) (four, six bool) {
	for _, address := range e.Listening {
		at, err := netip.ParseAddrPort(address)
		if err != nil || at.Port() != port || at.Addr().IsLoopback() {
			continue
		}
		four = four || at.Addr().Unmap().Is4() || at.Addr().IsUnspecified()
		six = six || at.Addr().Is6() && !at.Addr().Is4In6()
	}
	return four, six
}

// AllowCalls lets an app call another one. It is in force when it returns; where
// that fails, the error says that it is stored. What is allowed already is no
// error.
func (c *Consents) AllowCalls(ctx context.Context, consent store.Consent, by store.User) error {
	consent.By, consent.CreatedAt = by.Name, time.Now().UTC()
	err := c.db.Update(func(tx *store.Tx) error {
		if err := checkProcess(tx, consent); err != nil {
			return err
		}
		added, err := tx.Consents.Put(consent)
		if err != nil || !added {
			return err
		}
		return c.tell(tx, consent, by, fmt.Sprintf("allowed %s to call %s of %s", consent.From, consent.Port, consent.To))
	})
	return c.apply(ctx, consent, err)
}

// DenyCalls takes back what AllowCalls gave, all of it where no port is named,
// and cuts the connections that came by it. None is a fault (E641).
func (c *Consents) DenyCalls(ctx context.Context, consent store.Consent, by store.User) error {
	err := c.db.Update(func(tx *store.Tx) error {
		if err := tx.Consents.Delete(consent); err != nil {
			return err
		}
		what := ""
		if consent.Port != "" {
			what = consent.Port + " of "
		}
		return c.tell(tx, consent, by, fmt.Sprintf("denied %s to call %s%s", consent.From, what, consent.To))
	})
	return c.apply(ctx, consent, err)
}

// tell writes an event for both ends.
func (c *Consents) tell(tx *store.Tx, consent store.Consent, by store.User, text string) error {
	err := tx.AddEvent(store.Event{App: consent.To, By: by.Name, Kind: "network", Text: text})
	if consent.From != consent.To {
		err = errors.Join(err, tx.AddEvent(store.Event{App: consent.From, By: by.Name, Kind: "network", Text: text}))
	}
	return err
}

// apply brings into force what was stored without err.
func (c *Consents) apply(ctx context.Context, consent store.Consent, err error) error {
	if err != nil {
		return fault.ExplainDiskFull(err)
	}
	c.journal.Changed(consent.From)
	c.journal.Changed(consent.To)
	if !c.ready.Load() {
		return nil // Run will, once it is known what runs
	}
	if err := c.keep(ctx); err != nil {
		f := fault.New(fault.Failed, code.NetworkPending, "it is stored, but it is not yet in force for all containers").With(err.Error())
		f.Cause = err
		return f.Hint("berth retries by itself; berth doctor checks the machine")
	}
	return nil
}

// checkProcess refuses a process type that the live release of the app that is
// called does not have (E640).
func checkProcess(tx *store.Tx, consent store.Consent) error {
	app, err := tx.App(consent.To)
	if err != nil || consent.Number() != 0 || consent.Port == store.UsualConsent || app.Release == 0 {
		return err
	}
	release, err := tx.ReleaseWithoutConfig(consent.To, app.Release)
	if err != nil {
		return err
	}
	var types []string
	for _, p := range release.Processes {
		types = append(types, p.Type)
	}
	if slices.Contains(types, consent.Port) {
		return nil
	}
	f := store.InvalidConsent("%s has no process %q", consent.To, consent.Port)
	if near := fault.Nearest(consent.Port, types); near != "" {
		f.Hint("did you mean %q?", near)
	}
	return f.Hint("the process types are %s; --port also takes a port number", strings.Join(types, ", "))
}

// ConsentReport is a consent and what comes of it now.
type ConsentReport struct {
	store.Consent
	Name      string   `json:"name"`      // by which From reaches it: "api.internal"
	Reached   []string `json:"reached"`   // "web.1:5000", of To's healthy instances
	Trouble   string   `json:"trouble"`   // why there are none
	Addresses []string `json:"addresses"` // of those
}

// ConsentsReport lists the consents in which an app is an end; "" is all.
func (c *Consents) ConsentsReport(_ context.Context, app string) ([]ConsentReport, error) {
	var consents []store.Consent
	ids := map[string]int{}
	err := c.db.View(func(tx *store.Tx) (err error) {
		if app != "" {
			if _, err := tx.App(app); err != nil {
				return err
			}
		}
		if consents, err = tx.Consents.Of(app); err != nil {
			return err
		}
		for _, consent := range consents {
			record, err := tx.App(consent.To)
			if err != nil {
				return err
			}
			ids[consent.To] = record.UID
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	endpoints := map[int][]fleet.Endpoint{}
	for _, a := range c.apps.All() {
		if slices.Contains(slices.Collect(maps.Values(ids)), a.UID()) {
			endpoints[a.UID()] = a.Endpoints()
		}
	}
	list := []ConsentReport{}
	for _, consent := range consents {
		list = append(list, c.reportOn(consent, endpoints[ids[consent.To]]))
	}
	return list, nil
}

func (c *Consents) reportOn(consent store.Consent, endpoints []fleet.Endpoint) ConsentReport {
	r := ConsentReport{Consent: consent, Name: consent.To + "." + names.Zone, Reached: []string{}, Addresses: []string{}}
	if consent.Number() == 0 && consent.Port != store.UsualConsent {
		r.Name = consent.Port + "." + r.Name
	}
	alone := "" // a loopback address
	for _, e := range endpoints {
		for _, port := range opened(consent, e) {
			if four, six := listens(e, port); !four && !six {
				continue
			}
			r.Reached = append(r.Reached, fmt.Sprintf("%s.%d:%d", e.Type, e.Number, port))
			for _, addr := range c.engine.AddressesOf(e.Container) {
				r.Addresses = append(r.Addresses, addr.String())
			}
		}
		for _, address := range e.Listening {
			if at, err := netip.ParseAddrPort(address); err == nil && at.Addr().IsLoopback() && (e.Type == consent.Port || strconv.Itoa(int(at.Port())) == consent.Port) {
				alone = address
			}
		}
	}
	switch {
	case len(r.Reached) > 0:
	case alone != "":
		r.Trouble = fmt.Sprintf("it listens only on %s, which other apps cannot reach; listen on 0.0.0.0", alone)
	default:
		r.Trouble = "no healthy instance listens there"
	}
	return r
}

// Find is one of names.Apps: what the asker's app may call by a name.
func (c *Consents) Find(asker netip.Addr, name string) (targets []names.Target, found bool) {
	visible := c.visible.Load()
	owner := c.engine.OwnerOf(asker)
	if visible == nil || owner == 0 {
		return nil, false
	}
	app, list := (*visible)[owner].named(name)
	if app == "" {
		return nil, false
	}
	rest, empty := "", false
	if name != app {
		rest = name[:len(name)-len(app)-1]
		empty = rest == ""
	}
	wanted, exists := pick(rest, list)
	if !exists || empty {
		return nil, false
	}
	for _, n := range wanted {
		t := names.Target{Name: fmt.Sprintf("%d.%s.%s", n.number, n.process, app), Port: n.port}
		for _, addr := range c.engine.AddressesOf(n.container) {
			if addr.Is4() && n.four || addr.Is6() && n.six {
				t.Addresses = append(t.Addresses, addr)
			}
		}
		targets = append(targets, t)
	}
	return targets, true
}

// named finds the app that a name is of, the one with the longest name.
func (n neighbours) named(name string) (app string, list []neighbour) {
	for candidate, its := range n {
		if (name == candidate || strings.HasSuffix(name, "."+candidate)) && len(candidate) > len(app) {
			app, list = candidate, its
		}
	}
	return app, list
}

// pick takes what stands before an app's name: nothing is its sites, or all that
// may be called where it has none, "worker" a process type, "2.worker" one
// instance.
func pick(rest string, list []neighbour) (wanted []neighbour, exists bool) {
	of := func(process string, number int) (wanted []neighbour) {
		for _, n := range list {
			if n.process == process && (number == 0 || n.number == number) {
				wanted = append(wanted, n)
			}
		}
		return wanted
	}
	if rest == "" {
		if web := of(store.UsualConsent, 0); len(web) > 0 {
			return web, true
		}
		return list, true
	}
	first, process, numbered := strings.Cut(rest, ".")
	if !numbered {
		wanted = of(rest, 0)
		return wanted, len(wanted) > 0 || rest == store.UsualConsent
	}
	number, err := strconv.Atoi(first)
	if err != nil || number < 1 {
		return nil, false
	}
	wanted = of(process, number)
	return wanted, len(wanted) > 0
}
