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
		set, err := tx.Routing(app)
		if err != nil {
			return err
		}
		route.Options = e.optionsOf(app, set).Options
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

// optionsOf translates what was set of an app into the router's words. What a
// later berth has set is left out: an app that is routed a little otherwise is
// better than one that is not.
func (e *Edge) optionsOf(app string, set store.Routing) routing {
	r := routing{streamGrace: drainUpgraded}
	r.Maintenance = set.Maintenance
	for _, name := range slices.Sorted(maps.Keys(set.Properties)) {
		property, err := routerPropertyNamed(name)
		if err == nil {
			err = property.apply(&r, name, set.Properties[name])
		}
		e.warn("a property of the router is left out", err, "app", app)
	}
	for _, name := range slices.Sorted(maps.Keys(set.Users)) {
		r.Users = append(r.Users, router.User{Name: name, Hash: []byte(set.Users[name])})
	}
	return r
}

// drainUpgraded is the grace of WebSockets and event streams, which may never
// end by themselves; stream-grace sets it per app.
const drainUpgraded = 30 * time.Second

// streamGrace is how long the WebSockets and event streams of instances that
// are replaced may go on.
func (e *Edge) streamGrace(app string) (grace time.Duration) {
	grace = drainUpgraded
	err := e.db.View(func(tx *store.Tx) error {
		set, err := tx.Routing(app)
		grace = e.optionsOf(app, set).streamGrace
		return err
	})
	e.warn("the grace of streams cannot be read", err, "app", app)
	return grace
}

// RouterReport is how an app's requests are treated.
type RouterReport struct {
	App         string           `json:"app"` // empty: all of them
	Maintenance bool             `json:"maintenance"`
	Properties  []RouterProperty `json:"properties"`
	Users       []string         `json:"users"` // who may enter; none is everybody
}

// RouterProperty is one of them.
type RouterProperty struct {
	Name  string `json:"name"`
	Value string `json:"value"` // of a page, how long it is
	Set   bool   `json:"set"`   // by somebody; else it is what is usual
}

// RouterReport tells how an app's requests are treated.
func (e *Edge) RouterReport(_ context.Context, app string) (RouterReport, error) {
	r := RouterReport{App: app, Users: []string{}}
	err := e.db.View(func(tx *store.Tx) error {
		if _, err := tx.App(app); err != nil {
			return err
		}
		set, err := tx.Routing(app)
		if err != nil {
			return err
		}
		for _, p := range routerProperties {
			value, isSet := set.Properties[p.name]
			if !isSet {
				value = p.usual
			}
			r.Properties = append(r.Properties, RouterProperty{p.name, value, isSet})
		}
		for _, name := range RouterPages {
			content, carried, err := PageOf(tx, app, name)
			if err != nil {
				return err
			}
			value := "berth's own"
			switch {
			case carried:
				value = fmt.Sprintf("%d bytes, %s", len(content), pageFiles[name])
			case len(content) > 0:
				value = fmt.Sprintf("%d bytes", len(content))
			}
			r.Properties = append(r.Properties, RouterProperty{name, value, len(content) > 0 && !carried})
		}
		for _, name := range slices.Sorted(maps.Keys(set.Properties)) {
			if strings.HasPrefix(name, headerPrefix) {
				r.Properties = append(r.Properties, RouterProperty{name, set.Properties[name], true})
			}
		}
		r.Maintenance = set.Maintenance
		r.Users = slices.AppendSeq(r.Users, maps.Keys(set.Users))
		slices.Sort(r.Users)
		return nil
	})
	return r, err
}

// SetRouter sets how an app's requests are treated; an empty value takes a
// property back. The value of a page is its HTML. It counts at once and fails
// no request.
func (e *Edge) SetRouter(ctx context.Context, app, name, value string, by store.User) (RouterReport, error) {
	text := "unset " + name
	set := func(_ *store.Tx, r *store.Routing) error {
		delete(r.Properties, name)
		return nil
	}
	switch {
	case slices.Contains(RouterPages, name):
		if len(value) > store.MaxPage {
			return RouterReport{}, fault.New(fault.Usage, code.RouterInvalid, "%s has %d bytes; the maximum is %d", name, len(value), store.MaxPage).
				Hint("load images from another address")
		}
		if value != "" {
			text = fmt.Sprintf("set %s to %d bytes", name, len(value))
		}
		set = func(tx *store.Tx, _ *store.Routing) error { return tx.Pages.Put(app, name, []byte(value)) }
	default:
		property, err := routerPropertyNamed(name)
		if err != nil {
			return RouterReport{}, err
		}
		if value == "" {
			break
		}
		if err := property.apply(new(routing), name, value); err != nil {
			return RouterReport{}, err
		}
		text = fmt.Sprintf("set %s to %.100s", name, value)
		set = func(_ *store.Tx, r *store.Routing) error {
			if _, there := r.Properties[name]; !there && len(r.Properties) >= maxRouterProperties {
				return fault.New(fault.Conflict, code.RouterInvalid, "%s has %d router properties, which is the maximum", app, maxRouterProperties)
			}
			if r.Properties == nil {
				r.Properties = map[string]string{}
			}
			r.Properties[name] = value
			return nil
		}
	}
	if err := e.changeRouting(app, by, text, set); err != nil {
		return RouterReport{}, err
	}
	return e.RouterReport(ctx, app)
}

// maxRouterProperties bounds what an app can have set, headers included.
const maxRouterProperties = 100

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
