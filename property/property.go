// Package property is the one mechanism of what can be set by name: builder:set,
// ps:set, router:set and their like. A room declares its list of properties once.
// The verbs, their help and completion, the checks and the reports read the list.
//
//	own value of an app  →  the machine's, set with --global  →  the usual one
//
// The first that there is counts. An empty value takes one back. The package
// knows neither what a value means nor what follows from it: the room that
// declares a property says what may stand in it, and does what has to be done.
package property

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// Scope says for whom a property can be set.
type Scope int

// The scopes there are.
const (
	App    Scope = iota // for one app
	Both                // for one app, and with --global for those that have no value of their own
	Global              // with --global, for all apps at once
)

// Property is one thing that can be set.
type Property struct {
	Name    string
	Usual   string   // the value that counts where nobody has set one; may be empty
	Values  []string // to complete a command line; nil when there are too many
	Meaning string   // for the help, which wraps it: begins in lower case, ends without a full stop
	Scope   Scope

	// Check reads a value, never an empty one, and returns it as it is kept. Its
	// error is a fault, or says what the value has to be as the end of a sentence:
	// "it is on or off". Nil takes every value.
	Check func(value string) (kept string, err error)

	// Family makes the name the beginning of many names ("header:"). It returns
	// the property of the one whose name goes on with rest. The help shows the
	// name with Rest behind it.
	Family func(rest string) (Property, error)
	Rest   string

	Words  bool // a value may be several words, which the command line joins with spaces
	File   bool // the command line takes the name of a file that holds the value
	Secret bool // no report, event or error shows the value
}

// Most is how long a value may be in bytes. One that comes from a file, or that
// is a secret, is bounded by its check.
const Most = 4000

// List is what can be set of one noun.
type List struct {
	Noun string // as in its verbs: "builder"
	Has  string // begins a sentence: "a builder has", "processes have"
	Code string // of the fault of a name or a value that will not do
	Note string // ends the help; may be empty

	Properties []Property

	// Foreign says why there is no property of a name that other platforms have;
	// nil is that it knows nothing of the name. It may be nil itself.
	Foreign func(name string) error

	// Kept has the values; nil keeps them in the store under the noun.
	Kept Keeper
}

// Keeper has the values of a list. An app of "" is the machine.
type Keeper interface {
	// Values returns what is set, by name, without empty values. The caller may
	// change the map.
	Values(tx *store.Tx, app string) (map[string]string, error)
	// Keep stores a value that has been checked; an empty one takes it back.
	Keep(tx *store.Tx, app, name, value string) error
}

// Find returns the property of a name, or the fault that there is none.
func (l List) Find(name string) (Property, error) {
	for _, p := range l.Properties {
		if p.Family == nil && p.Name == name {
			return p, nil
		}
		if rest, ok := strings.CutPrefix(name, p.Name); ok && p.Family != nil && rest != "" {
			one, err := p.Family(rest)
			if err != nil {
				return Property{}, err
			}
			one.Name, one.Scope, one.Family = name, p.Scope, nil
			return one, nil
		}
	}
	if l.Foreign != nil {
		if err := l.Foreign(name); err != nil {
			return Property{}, err
		}
	}
	f := fault.New(fault.Usage, l.Code, "%s no property %.60q", l.Has, name)
	if near := fault.Nearest(name, l.Names()); near != "" {
		f.Hint("did you mean %q?", near)
	}
	return Property{}, f.Hint("the properties are %s", strings.Join(l.Names(), ", "))
}

// Names are the names of all properties, families as header:NAME.
func (l List) Names() (names []string) {
	for _, p := range l.Properties {
		names = append(names, p.Name+p.Rest)
	}
	return names
}

// NamesOf are the names of those that can be set for an app, or with "" for the
// machine.
func (l List) NamesOf(app string) (names []string) {
	for _, p := range l.Properties {
		if p.of(app) {
			names = append(names, p.Name+p.Rest)
		}
	}
	return names
}

// of tells whether a property can be set for an app, or with "" for the machine.
func (p Property) of(app string) bool {
	return p.Scope == Both || (p.Scope == Global) == (app == "")
}

// Global tells whether anything of the list can be set for all apps.
func (l List) Global() bool {
	return slices.ContainsFunc(l.Properties, func(p Property) bool { return p.of("") })
}

// Own tells whether anything of the list can be set for one app.
func (l List) Own() bool {
	return slices.ContainsFunc(l.Properties, func(p Property) bool { return p.Scope != Global })
}

// Change is a value that has been checked and is not yet kept.
type Change struct {
	Property
	App   string // "" is the machine
	Value string // as it is kept; "" takes the property back
	list  List
}

// Check returns the change of a property to a value, for an app or with "" for
// the machine. A name that there is not, or a value that will not do, is a fault
// of the list's code; one that cannot be set there is E217.
func (l List) Check(app, name, value string) (Change, error) {
	p, err := l.Find(name)
	if err != nil {
		return Change{}, err
	}
	if !p.of(app) {
		return Change{}, l.elsewhere(p, app)
	}
	if value != "" {
		if value, err = p.read(value); err != nil {
			return Change{}, l.wrong(p, value, err)
		}
	}
	return Change{p, app, value, l}, nil
}

// elsewhere says where a property can be set.
func (l List) elsewhere(p Property, app string) error {
	if app == "" {
		return fault.New(fault.Usage, code.PropertyScope, "%s is set for one app, and not for all of them", p.Name).
			Hint("it is set for each app: berth %s:set APP %s VALUE", l.Noun, p.Name)
	}
	return fault.New(fault.Usage, code.PropertyScope, "%s is set for all apps at once, and not for one", p.Name).
		Hint("berth %s:set --global %s VALUE", l.Noun, p.Name)
}

// read checks a value. It returns the value as it was where it will not do.
func (p Property) read(value string) (string, error) {
	switch {
	case !utf8.ValidString(value):
		return value, errors.New("it is not UTF-8")
	case p.File || p.Secret:
	case len(value) > Most:
		return value, fmt.Errorf("it has %d bytes, and may have %d", len(value), Most)
	case strings.ContainsFunc(value, unicode.IsControl):
		return value, errors.New("it has a control character in it")
	}
	if p.Check == nil {
		return value, nil
	}
	kept, err := p.Check(value)
	if err != nil {
		return value, err
	}
	return kept, nil
}

func (l List) wrong(p Property, value string, err error) error {
	if f := fault.From(err); f != nil {
		return f
	}
	if p.File || p.Secret {
		return fault.New(fault.Usage, l.Code, "%s cannot have this value: %w", p.Name, err)
	}
	return fault.New(fault.Usage, l.Code, "%s cannot be %.60q: %w", p.Name, value, err)
}

// Keep stores the change.
func (c Change) Keep(tx *store.Tx) error {
	if c.App != "" {
		if _, err := tx.App(c.App); err != nil { // destroyed or renamed just now
			return err
		}
	}
	return c.list.keeper().Keep(tx, c.App, c.Name, c.Value)
}

// Text says for the event what the change does.
func (c Change) Text() string {
	if c.Value == "" {
		return "unset " + c.Name
	}
	return fmt.Sprintf("set %s to %.100s", c.Name, c.shown(c.Value))
}

// shown is how a value is shown.
func (p Property) shown(value string) string {
	switch {
	case value == "":
		return ""
	case p.Secret:
		return "a secret"
	case p.File:
		return fmt.Sprintf("%d bytes", len(value))
	}
	return value
}

// OneOf returns a check of values that can be counted.
func OneOf(values ...string) func(string) (string, error) {
	return func(value string) (string, error) {
		if slices.Contains(values, value) {
			return value, nil
		}
		if len(values) == 2 {
			return "", fmt.Errorf("use %s or %s", values[0], values[1])
		}
		return "", fmt.Errorf("use one of %s", strings.Join(values, ", "))
	}
}

// OnOff are the values of what is on or off.
var OnOff = []string{"on", "off"}
