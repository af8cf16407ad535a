package deploy

import (
	"context"
	"fmt"
	"slices"

	"github.com/berthd/berth/router"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
)

// routeOf returns an app's route as the store has it, without backends.
func (d *Deployer) routeOf(app string) (route router.Route, err error) {
	route.Name = app
	err = d.db.View(func(tx *store.Tx) error {
		domains, err := domainsOf(tx, app)
		if err != nil {
			return err
		}
		for _, domain := range domains {
			switch {
			case domain.Redirect != "":
				route.Redirects = append(route.Redirects, router.Redirect{From: domain.Host, To: domain.Redirect})
			case domain.Path != "":
				route.Paths = append(route.Paths, router.Path{Host: domain.Host, Prefix: domain.Path, Strip: domain.Strip})
			default:
				route.Hosts = append(route.Hosts, domain.Host)
			}
		}
		routing, err := tx.Routing(app)
		if err != nil {
			return err
		}
		route.Options = d.optionsOf(app, routing)
		return nil
	})
	return route, err
}

// optionsOf translates what was set of an app into the router's words. What a
// later berth has set is left out: an app that is routed a little otherwise is
// better than one that is not.
func (d *Deployer) optionsOf(app string, routing store.Routing) (o router.Options) {
	for name, value := range routing.Properties {
		property, err := routerPropertyNamed(name)
		if err == nil {
			err = property.apply(&o, name, value)
		}
		d.warn("a property of the router is left out", err, "app", app)
	}
	return o
}

// RouterReport is how an app's requests are treated.
type RouterReport struct {
	App        string           `json:"app"`
	Properties []RouterProperty `json:"properties"`
}

// RouterProperty is one of them.
type RouterProperty struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	Set   bool   `json:"set"` // by somebody; else it is what is usual
}

// RouterReport tells how an app's requests are treated.
func (d *Deployer) RouterReport(_ context.Context, app string) (RouterReport, error) {
	r := RouterReport{App: app}
	err := d.db.View(func(tx *store.Tx) error {
		if _, err := tx.App(app); err != nil {
			return err
		}
		routing, err := tx.Routing(app)
		if err != nil {
			return err
		}
		for _, p := range routerProperties {
			value, set := routing.Properties[p.name]
			if !set {
				value = p.usual
			}
			r.Properties = append(r.Properties, RouterProperty{p.name, value, set})
		}
		return nil
	})
	return r, err
}

// SetRouter sets how an app's requests are treated; an empty value takes a
// property back. It counts at once and fails no request.
func (d *Deployer) SetRouter(ctx context.Context, app, name, value string, by store.User) (RouterReport, error) {
	property, err := routerPropertyNamed(name)
	if err != nil {
		return RouterReport{}, err
	}
	text := "unset " + name
	if value != "" {
		if err := property.apply(new(router.Options), name, value); err != nil {
			return RouterReport{}, err
		}
		text = fmt.Sprintf("set %s to %.100s", name, value)
	}
	err = d.changeRouting(app, by, text, func(tx *store.Tx, r *store.Routing) error {
		if value == "" {
			delete(r.Properties, name)
			return nil
		}
		if r.Properties == nil {
			r.Properties = map[string]string{}
		}
		r.Properties[name] = value
		return nil
	})
	if err != nil {
		return RouterReport{}, err
	}
	return d.RouterReport(ctx, app)
}

// changeRouting changes how an app's requests are treated, and routes it so.
func (d *Deployer) changeRouting(app string, by store.User, text string, change func(*store.Tx, *store.Routing) error) error {
	_, a, err := d.find(app)
	if err != nil {
		return err
	}
	err = d.db.Update(func(tx *store.Tx) error {
		if _, err := tx.App(app); err != nil { // destroyed or renamed just now
			return err
		}
		routing, err := tx.Routing(app)
		if err != nil {
			return err
		}
		if err := change(tx, &routing); err != nil {
			return err
		}
		return tx.PutRouting(app, routing)
	})
	if err != nil {
		return d.full(err)
	}
	d.reroute(a)
	d.happened(store.Event{App: app, By: by.Name, Kind: "router", Text: text})
	return nil
}

// routerProperty is one thing that can be set of an app's routing.
type routerProperty struct {
	name   string
	usual  string   // what it is when nobody has set it
	values []string // to complete; nil when there are too many
	// set reads a value, never an empty one. It returns what is wrong with it as
	// the end of a sentence, "" when nothing is.
	set func(o *router.Options, value string) (wrong string)
}

var routerProperties = []routerProperty{
	{name: "https-only", usual: "on", values: []string{"on", "off"}, set: func(o *router.Options, value string) string {
		o.Plain = value == "off"
		return onOrOff(value)
	}},
}

// RouterProperties are the names of what can be set of an app's routing.
func RouterProperties() (names []string) {
	for _, p := range routerProperties {
		names = append(names, p.name)
	}
	return names
}

// RouterValues are the values that a property may have, as far as they can be
// told.
func RouterValues(name string) []string {
	p, err := routerPropertyNamed(name)
	if err != nil {
		return nil
	}
	return p.values
}

func routerPropertyNamed(name string) (routerProperty, error) {
	names := RouterProperties()
	if i := slices.Index(names, name); i >= 0 {
		return routerProperties[i], nil
	}
	f := fault.New(fault.Usage, "E181", "the router has no property %.60q", name)
	if near := fault.Nearest(name, names); near != "" {
		f.Hint("did you mean %q?", near)
	}
	return routerProperty{}, f.Hint("berth help router:set lists them")
}

// apply sets the property in o, or returns a fault (E181).
func (p routerProperty) apply(o *router.Options, name, value string) error {
	if wrong := p.set(o, value); wrong != "" {
		return fault.New(fault.Usage, "E181", "%s cannot be %.60q: %s", name, value, wrong)
	}
	return nil
}

func onOrOff(value string) (wrong string) {
	if value != "on" && value != "off" {
		return "it is on or off"
	}
	return ""
}
