package property

import (
	"maps"
	"slices"

	"github.com/berthd/berth/store"
)

// Row is one property in a report.
type Row struct {
	Name   string `json:"name"`
	Value  string `json:"value"`            // the one that counts
	Set    bool   `json:"set"`              // it was set here, for the app or for the machine
	Raw    string `json:"raw,omitempty"`    // as it was set here
	Global string `json:"global,omitempty"` // of a report on an app: the value for apps that have none of their own
	Usual  bool   `json:"usual,omitempty"`  // nobody has set it, here or for all apps
}

// Whose says where a value comes from that was not set here.
func (r Row) Whose() string {
	if r.Usual {
		return "usual"
	}
	return "as for all apps"
}

// Report returns a row for each property that an app, or with "" the machine,
// can have, in the order of the list. A family has a row for each name that is
// set. An app that is missing is a fault (E101).
func (l List) Report(tx *store.Tx, app string) ([]Row, error) {
	own, machine, err := l.values(tx, app)
	if err != nil {
		return nil, err
	}
	rows := []Row{}
	for _, p := range l.Properties {
		if !p.of(app) {
			continue
		}
		names := []string{p.Name}
		if p.Family != nil {
			names = l.family(p, own, machine)
		}
		for _, name := range names {
			row := Row{Name: name, Value: p.Usual, Raw: p.shown(own[name]), Set: own[name] != "", Usual: true}
			if p.Scope == Both && app != "" {
				if machine[name] != "" {
					row.Value, row.Usual = p.shown(machine[name]), false
				}
				row.Global = row.Value
			}
			if row.Set {
				row.Value, row.Usual = row.Raw, false
			}
			rows = append(rows, row)
		}
	}
	return rows, nil
}

// family returns the names of a family that are set, sorted.
func (l List) family(p Property, of ...map[string]string) (names []string) {
	for _, values := range of {
		for name := range values {
			if found, err := l.Find(name); err == nil && found.Scope == p.Scope && len(name) > len(p.Name) && name[:len(p.Name)] == p.Name && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return names
}

// values are what is set of an app and of the machine; of the machine itself the
// second is empty.
func (l List) values(tx *store.Tx, app string) (own, machine map[string]string, err error) {
	if app != "" {
		if _, err := tx.App(app); err != nil {
			return nil, nil, err
		}
	}
	if own, err = l.keeper().Values(tx, app); err != nil || app == "" {
		return own, nil, err
	}
	if l.Global() {
		machine, err = l.keeper().Values(tx, "")
	}
	return own, machine, err
}

// Computed returns the values that count for an app, by name: its own, else the
// machine's. What nobody has set is left out. With "" they are the machine's.
func (l List) Computed(tx *store.Tx, app string) (map[string]string, error) {
	own, machine, err := l.values(tx, app)
	if err != nil {
		return nil, err
	}
	if machine == nil {
		return own, nil
	}
	return l.over(machine, own), nil
}

// ComputedOf is Computed for an app whose own values the caller has read.
func (l List) ComputedOf(tx *store.Tx, own map[string]string) (map[string]string, error) {
	machine, err := l.keeper().Values(tx, "")
	if err != nil {
		return nil, err
	}
	return l.over(machine, own), nil
}

// over lays an app's own values over the machine's.
func (l List) over(machine, own map[string]string) map[string]string {
	values := l.shared(machine)
	maps.Copy(values, own)
	return values
}

// shared are those of the machine's values that apps can have as their own too.
func (l List) shared(machine map[string]string) map[string]string {
	return maps.Collect(func(yield func(name, value string) bool) {
		for name, value := range machine {
			if p, err := l.Find(name); err == nil && p.Scope == Both && !yield(name, value) {
				return
			}
		}
	})
}

// Value returns the value of one property that counts for an app, or with "" for
// the machine: its own, else the machine's, else the usual one.
func (l List) Value(tx *store.Tx, app, name string) (string, error) {
	p, err := l.Find(name)
	if err != nil {
		return "", err
	}
	values, err := l.Computed(tx, app)
	if err != nil || values[name] != "" {
		return values[name], err
	}
	return p.Usual, nil
}

// Raw returns the value of one property as it was set of an app, or with "" of
// the machine; "" when it is not.
func (l List) Raw(tx *store.Tx, app, name string) (string, error) {
	own, _, err := l.values(tx, app)
	return own[name], err
}
