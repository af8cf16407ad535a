package edge

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"

	"golang.org/x/crypto/bcrypt"

	"github.com/berthd/berth/property"
	"github.com/berthd/berth/router"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// routeOf returns an app's route as the store has it, without backends and without
// the name that the router knows it by.
func (e *Edge) routeOf(app string) (route router.Route, err error) {
	err = e.db.View(func(tx *store.Tx) error {
		domains, err := DomainsOf(tx, app)
		if err != nil {
			return err
		}
		for _, domain := range domains.All() {
			switch {
			case domain.Redirect != "":
				route.Redirects = append(route.Redirects, router.Redirect{From: domain.Host, To: domain.Redirect})
			case domain.Path != "":
				route.Paths = append(route.Paths, router.Path{Host: domain.Host, Prefix: domain.Path, Strip: domain.Strip})
			default:
				route.Hosts = append(route.Hosts, domain.Host)
			}
		}
		ports, err := tx.Ports.Of(app)
		if err != nil {
			return err
		}
		for _, p := range ports {
			route.Ports = append(route.Ports, router.Port{Number: p.Number, To: p.Container, TLS: p.TLS})
		}
		set, err := e.optionsOf(tx, app)
		if err != nil {
			return err
		}
		route.Options = set.Options
		if route.Options.MaintenancePage, _, err = PageOf(tx, app, store.PageMaintenance); err != nil {
			return err
		}
		route.Options.ErrorPage, _, err = PageOf(tx, app, store.PageError)
		return err
	})
	return route, err
}

// routing is what can be set of an app's requests.
type routing struct {
	router.Options
	streamGrace time.Duration // of WebSockets and event streams, when their instance is replaced
}

// optionsOf translates what was set of an app, and of all apps, into the router's
// words. What a later berth has set is left out: an app that is routed a little
// otherwise is better than one that is not.
func (e *Edge) optionsOf(tx *store.Tx, app string) (r routing, err error) {
	r.streamGrace = drainUpgraded
	set, err := tx.Routing(app)
	if err != nil {
		return r, err
	}
	settings, err := tx.Settings()
	if err != nil {
		return r, err
	}
	r.Maintenance = set.Maintenance
	for _, values := range []map[string]string{settings.Router, set.Properties} { // the app's own go last, and stay
		for _, name := range slices.Sorted(maps.Keys(values)) {
			property, err := routerPropertyNamed(name)
			if err != nil && slices.ContainsFunc(peerProperties, func(p peerProperty) bool { return p.Name == name }) {
				continue // is no app's
			}
			if err == nil {
				changed := r
				if err = property.set(&changed, values[name]); err == nil {
					r = changed
				}
			}
			e.warn("a property of the router is left out", err, "app", app)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(set.Users)) {
		r.Users = append(r.Users, router.User{Name: name, Hash: []byte(set.Users[name])})
	}
	return r, nil
}

// drainUpgraded is the grace of WebSockets and event streams, which may never
// end by themselves; stream-grace sets it per app.
const drainUpgraded = 30 * time.Second

// streamGrace is how long the WebSockets and event streams of instances that
// are replaced may go on.
func (e *Edge) streamGrace(app string) (grace time.Duration) {
	grace = drainUpgraded
	err := e.db.View(func(tx *store.Tx) error {
		set, err := e.optionsOf(tx, app)
		if err == nil {
			grace = set.streamGrace
		}
		return err
	})
	e.warn("the grace of streams cannot be read", err, "app", app)
	return grace
}

// RouterReport is how an app's requests are treated.
type RouterReport struct {
	App         string         `json:"app"` // empty: all of them
	Maintenance bool           `json:"maintenance"`
	Properties  []property.Row `json:"properties"`
	Users       []string       `json:"users"` // who may enter; none is everybody
}

// RouterReport tells how an app's requests are treated, or with "" what is set
// for all apps.
func (e *Edge) RouterReport(_ context.Context, app string) (RouterReport, error) {
	r := RouterReport{App: app, Users: []string{}}
	err := e.db.View(func(tx *store.Tx) (err error) {
		if r.Properties, err = RouterProperties.Report(tx, app); err != nil || app == "" {
			return err
		}
		set, err := tx.Routing(app)
		if err != nil {
			return err
		}
		for i, p := range r.Properties {
			if !slices.Contains(RouterPages, p.Name) || p.Set {
				continue
			}
			content, carried, err := PageOf(tx, app, p.Name)
			if err != nil {
				return err
			}
			if carried {
				r.Properties[i].Usual = false
				r.Properties[i].Value = fmt.Sprintf("%d bytes, %s", len(content), pageFiles[p.Name])
			}
		}
		r.Maintenance = set.Maintenance
		r.Users = slices.AppendSeq(r.Users, maps.Keys(set.Users))
		slices.Sort(r.Users)
		return nil
	})
	return r, err
}

// SetRouter sets how an app's requests are treated, or with "" those of all apps;
// an empty value takes a property back. The value of a page is its HTML. It
// counts at once, fails no request and closes no connection.
func (e *Edge) SetRouter(ctx context.Context, app, name, value string, by store.User) (RouterReport, error) {
	change, err := RouterProperties.Check(app, name, value)
	if err != nil {
		return RouterReport{}, err
	}
	err = e.db.Update(func(tx *store.Tx) error {
		return errors.Join(change.Keep(tx), tx.AddEvent(store.Event{App: app, By: by.Name, Kind: "router", Text: change.Text()}))
	})
	if err != nil {
		return RouterReport{}, fault.ExplainDiskFull(err)
	}
	if app == "" {
		e.AnnouncePeers()
		if change.Scope == property.Both {
			for _, a := range e.cfg.Apps.All() {
				a.Reroute()
			}
		}
	} else if _, a, err := e.find(app); err == nil {
		a.Reroute()
	}
	e.changed(app)
	return e.RouterReport(ctx, app)
}

// SetMaintenance puts the maintenance page in an app's place, or takes it away.
func (e *Edge) SetMaintenance(_ context.Context, app string, on bool, by store.User) error {
	text := "began maintenance"
	if !on {
		text = "ended maintenance"
	}
	return e.changeRouting(app, by, text, func(_ *store.Tx, r *store.Routing) error {
		r.Maintenance = on
		return nil
	})
}

// maxUsers bounds the users of an app.
const maxUsers = 100

// AddHTTPUser adds a user with a password. From now on all visitors need one.
// An existing user gets the new password.
func (e *Edge) AddHTTPUser(_ context.Context, app, name, password string, by store.User) error {
	switch {
	case name == "" || len(name) > 100 || strings.Contains(name, ":") || strings.ContainsFunc(name, unicode.IsControl):
		return fault.New(fault.Usage, code.HTTPUserInvalid, "%.60q cannot be the name of a user", name).Hint("a name must not contain a colon")
	case password == "" || len(password) > 72 || strings.ContainsFunc(password, unicode.IsControl):
		return fault.New(fault.Usage, code.HTTPUserInvalid, "a password must have 1 to 72 bytes and no control characters")
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.DefaultCost)
	if err != nil {
		return fmt.Errorf("hash a password: %w", err)
	}
	return e.changeRouting(app, by, "added the http-auth user "+name, func(_ *store.Tx, r *store.Routing) error {
		if _, there := r.Users[name]; !there && len(r.Users) >= maxUsers {
			return fault.New(fault.Conflict, code.HTTPUserInvalid, "%s has %d users, which is the maximum", app, maxUsers)
		}
		if r.Users == nil {
			r.Users = map[string]string{}
		}
		r.Users[name] = string(hash)
		return nil
	})
}

// RemoveHTTPUser takes a user's password away. Without users everybody may
// enter. One who is not there is a fault (E183).
func (e *Edge) RemoveHTTPUser(_ context.Context, app, name string, by store.User) error {
	return e.changeRouting(app, by, "removed the http-auth user "+name, func(_ *store.Tx, r *store.Routing) error {
		if _, there := r.Users[name]; !there {
			return fault.New(fault.NotFound, code.HTTPUserUnknown, "%s has no user %.60q", app, name).Hint("berth router:report %s lists them", app)
		}
		delete(r.Users, name)
		return nil
	})
}

// changeRouting changes how an app's requests are treated, and routes it so.
func (e *Edge) changeRouting(app string, by store.User, text string, change func(*store.Tx, *store.Routing) error) error {
	_, a, err := e.find(app)
	if err != nil {
		return err
	}
	err = e.db.Update(func(tx *store.Tx) error {
		if _, err := tx.App(app); err != nil { // destroyed or renamed just now
			return err
		}
		set, err := tx.Routing(app)
		if err != nil {
			return err
		}
		if err := change(tx, &set); err != nil {
			return err
		}
		return errors.Join(tx.PutRouting(app, set), tx.AddEvent(store.Event{App: app, By: by.Name, Kind: "router", Text: text}))
	})
	if err != nil {
		return fault.ExplainDiskFull(err)
	}
	a.Reroute()
	e.changed(app)
	return nil
}
