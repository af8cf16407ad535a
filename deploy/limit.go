package deploy

import (
	"context"
	"io"
	"strings"

	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// limitProperties are the limits that ps:set has for every process type: what
// resource:limit sets under another name.
var limitProperties = []struct{ name, resource string }{
	{"memory", "memory"},
	{"processes", "pids"},
}

// LimitProperties are the names of the limits that SetLimit takes.
func LimitProperties() (names []string) {
	for _, p := range limitProperties {
		names = append(names, p.name)
	}
	return names
}

// EffectiveLimits are what an instance of an app may take that has no limits of
// its process type.
func EffectiveLimits(record store.App) store.Limits {
	l := usually(record.Limit(store.AnyType))
	return store.Limits{Memory: l.Memory, CPUs: float64(l.CPU) / 1000, Pids: l.Pids}
}

// NoProcessProperty returns the fault (E188) of a property that processes do
// not have.
func NoProcessProperty(name string) *fault.Error {
	return fault.New(fault.Usage, code.ProcessPropertyInvalid, "processes have no property %.60q", name).
		Hint("the properties are rollout, %s", strings.Join(LimitProperties(), ", "))
}

// SetLimit sets a limit of every process type of an app, by the name that ps:set
// has for it. An empty value is the usual one.
func (d *Processes) SetLimit(ctx context.Context, app, name, value string, by store.User, out io.Writer) error {
	for _, p := range limitProperties {
		if p.name != name {
			continue
		}
		if value == "" {
			value = clearWord
		} else if _, err := resourceOf(p.resource).parse(value); err != nil || strings.Trim(value, "0123456789") == "" && p.resource == "memory" {
			// A number alone says no unit, and means another thing to everybody.
			return fault.New(fault.Usage, code.ProcessPropertyInvalid, "%s cannot be %.60q", name, value).
				Hint("%s", resourceOf(p.resource).bounds())
		}
		_, err := d.allot(ctx, app, Allotting{Process: store.AnyType, Limit: map[string]string{p.resource: value}}, by, out)
		return err
	}
	return NoProcessProperty(name)
}

// usually fills in the limits that every instance has.
func usually(r store.Resource) store.Resource {
	for _, kind := range resources {
		if n := r.Of(kind.name); *n == 0 {
			*n = kind.usual
		}
	}
	return r
}

// The limits that every container has.
const (
	usualMemory = runtime.DefaultMemory
	usualPids   = runtime.DefaultPids
)
