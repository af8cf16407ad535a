package fleettest

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/berthd/berth/fleet"
	"github.com/berthd/berth/store"
)

// Router is the router of a life. Its requests take DrainTakes to end.
type Router struct {
	DrainTakes time.Duration

	life *Life

	mu     sync.Mutex // guards what follows
	routes map[string][]fleet.Backend
	held   map[string]bool
}

// NewRouter returns a life's router, without routes.
func NewRouter(l *Life) *Router {
	return &Router{life: l, DrainTakes: 200 * time.Millisecond, routes: map[string][]fleet.Backend{}, held: map[string]bool{}}
}

// Backends returns the ids of the containers to which an app's requests go.
func (r *Router) Backends(app string) (ids []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, b := range r.routes[app] {
		ids = append(ids, b.ID)
	}
	return ids
}

// Resting returns the names of the backends that are out of turn.
func (r *Router) Resting(app string) (names []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, b := range r.routes[app] {
		if b.Resting {
			names = append(names, b.Name)
		}
	}
	return names
}

// Held tells whether an app's requests wait.
func (r *Router) Held(app string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.held[app]
}

// Apps returns the names of the apps that have a route.
func (r *Router) Apps() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Sorted(maps.Keys(r.routes))
}

// Swap is fleet.Router's.
func (r *Router) Swap(app fleet.Ref, backends []fleet.Backend) (left fleet.Drain, err error) {
	err = r.life.Step("route "+app.Name, func() error {
		r.mu.Lock()
		defer r.mu.Unlock()
		before := len(r.routes[app.Name])
		r.routes[app.Name] = backends
		if before > 0 {
			left = drain{r.DrainTakes}
		}
		return nil
	})
	return left, err
}

// Remove is fleet.Router's.
func (r *Router) Remove(app fleet.Ref) fleet.Drain {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.routes, app.Name)
	return drain{r.DrainTakes}
}

// Hold is fleet.Router's.
func (r *Router) Hold(app fleet.Ref, _ int, patience time.Duration) error {
	return r.life.Step("hold "+app.Name, func() error {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.held[app.Name] = true
		return nil
	})
}

// Resume is fleet.Router's.
func (r *Router) Resume(app fleet.Ref) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.held, app.Name)
}

// Hosts is fleet.Router's: an app has the host of its name.
func (r *Router) Hosts(app fleet.Ref) (hosts []string, usual string) {
	usual = app.Name + ".example.com"
	return []string{usual}, usual
}

// Ports is fleet.Router's: no app has any.
func (r *Router) Ports(fleet.Ref) []string { return nil }

// StreamGrace is fleet.Router's.
func (r *Router) StreamGrace(fleet.Ref) time.Duration { return 30 * time.Second }

// drain is one whose requests take a while to end.
type drain struct{ takes time.Duration }

func (d drain) Wait(ctx context.Context, _, _ time.Duration) int {
	pause(ctx, d.takes)
	return 0
}

// Journal remembers what it hears.
type Journal struct {
	// Fell is called in a goroutine of its own when a release falls over; nil
	// does nothing.
	Fell func(a *fleet.App, t fleet.Trial, why string)

	mu     sync.Mutex // guards what follows
	events []store.Event
}

// Events returns the texts of the events of a kind; "" is every kind.
func (j *Journal) Events(kind string) (texts []string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, e := range j.events {
		if kind == "" || e.Kind == kind {
			texts = append(texts, e.Text)
		}
	}
	return texts
}

// RecordEvent is fleet.Journal's.
func (j *Journal) RecordEvent(e store.Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.events = append(j.events, e)
}

// Changed is fleet.Journal's.
func (j *Journal) Changed(string) {}

// FellOver is fleet.Journal's.
func (j *Journal) FellOver(a *fleet.App, t fleet.Trial, why string) {
	j.RecordEvent(store.Event{App: a.Name(), Kind: "fell", Text: why})
	if j.Fell != nil {
		go j.Fell(a, t, why)
	}
}

// Logs keeps nothing.
type Logs struct{}

// File is fleet.Logs's.
func (Logs) File(app fleet.Ref, release int, source, container string) string {
	return app.Name + "/" + source + "." + container + ".log"
}

// Last is fleet.Logs's.
func (Logs) Last(string, int) ([]string, error) { return nil, nil }

// Note is fleet.Logs's.
func (Logs) Note(*fleet.App, int, string, string) {}

// Trim is fleet.Logs's.
func (Logs) Trim(fleet.Ref, int, string) {}
