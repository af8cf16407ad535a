package fleet

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/berthd/berth/store"
)

// Checked is how one check of an instance went.
type Checked struct {
	Instance string
	Check    string // "GET /health"
	Err      error  // nil when it passed
}

// Check makes the checks of instances once, of one type or one instance ("web",
// "web.1"), or with "" of all. It changes nothing about them.
func (a *App) Check(ctx context.Context, process string) (results []Checked) {
	for _, i := range a.set() {
		if process != "" && process != i.process.Type && process != i.name() {
			continue
		}
		c, state, _ := i.running()
		if state != Up {
			results = append(results, Checked{i.name(), "runs", fmt.Errorf("it is %s: %s", state, i.lastDetail())})
			continue
		}
		for _, check := range i.everyCheck() {
			results = append(results, Checked{i.name(), CheckName(check), i.tryOnce(ctx, c, check)})
		}
	}
	return results
}

// everyCheck returns the checks of an instance, the usual one where it has none.
func (i *instance) everyCheck() (checks []store.HealthCheck) {
	for _, c := range i.process.Checks {
		if c.Process == i.process.Type {
			checks = append(checks, c)
		}
	}
	if len(checks) == 0 && i.process.Type == "web" && len(i.containerPorts()) == 0 {
		checks = append(checks, store.HealthCheck{Path: "/"})
	}
	if len(checks) == 0 {
		checks = append(checks, store.HealthCheck{Uptime: int(steadyFor / time.Second)})
	}
	return checks
}

func (i *instance) tryOnce(ctx context.Context, c Container, check store.HealthCheck) error {
	if check.Uptime > 0 {
		if up := i.age(); up < time.Duration(check.Uptime)*time.Second {
			return fmt.Errorf("it is up for %s", up)
		}
		return nil
	}
	return i.look(ctx, c, check)
}

// CheckName is what a check looks at: "GET /health".
func CheckName(c store.HealthCheck) string {
	switch {
	case len(c.Command) > 0:
		return strings.Join(c.Command, " ")
	case c.Uptime > 0:
		return fmt.Sprintf("is up for %d s", c.Uptime)
	case c.Listening:
		return "listens"
	case c.Path == "":
		return "GET /"
	}
	return "GET " + c.Path
}
