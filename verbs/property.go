package verbs

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/berthd/berth/property"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// PropertyArgs give a property its value: of an app, or without one for all apps
// that have no value of their own. An empty value takes it back.
type PropertyArgs struct {
	App      string `json:"app,omitempty" cli:"[APP]"`
	Property string `json:"property" cli:"PROPERTY"`
	Value    string `json:"value,omitempty" cli:"[VALUE]"`
}

func (a PropertyArgs) target() (string, bool) { return a.App, false }

// ReportArgs name an app, or with "" what is set for all of them.
type ReportArgs struct {
	App string `json:"app,omitempty" cli:"[APP]"`
}

func (a ReportArgs) target() (string, bool) { return a.App, false }

// setter is the verb NOUN:set of a list of properties. Its help, its completion
// and its command line are made of the list.
func setter[R any](l property.List, v Verb, set func(context.Context, Call, PropertyArgs) (R, error)) Verb {
	v.Name, v.Role, v.Properties = l.Noun+":set", deploys, &l
	if l.Global() {
		v.Role = setsProperty
	}
	v.Long, v.Values = l.Help(), l.Complete
	return act(v, func(ctx context.Context, c Call, args PropertyArgs) (result R, err error) {
		if args.App == "" && !l.Global() {
			return result, fault.New(fault.Usage, code.ArgumentsInvalid, "%s needs the name of an app", v.Name)
		}
		return set(ctx, c, args)
	})
}

// reporter is the verb NOUN:report of a list of properties: of an app, or with
// "" what is set for all apps.
func reporter[R any](l property.List, v Verb, report func(context.Context, Call, ReportArgs) (R, error)) Verb {
	v.Name, v.Properties = l.Noun+":report", &l
	if v.Role = reads; l.Global() {
		v.Role = seesReport
	}
	return look(v, func(ctx context.Context, c Call, args ReportArgs) (result R, err error) {
		if args.App == "" && !l.Global() {
			return result, fault.New(fault.Usage, code.ArgumentsInvalid, "%s needs the name of an app", v.Name)
		}
		return report(ctx, c, args)
	})
}

// Key is a value that a report prints alone, by a flag of its name.
type Key struct {
	Name, Value string
}

// keysOf makes of a function of a report's result the entry's Keys. The names are
// Dokku's, where it has them. They are the same for every result but for those
// that name what is found; the command line learns them from an empty one.
func keysOf[R any](of func(R) []Key) func([]byte) ([]Key, error) {
	return func(raw []byte) ([]Key, error) {
		var result R
		if len(raw) > 0 {
			if err := json.Unmarshal(raw, &result); err != nil {
				return nil, fmt.Errorf("read a report: %w", err)
			}
		}
		return of(result), nil
	}
}
