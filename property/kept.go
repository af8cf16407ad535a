package property

import (
	"maps"

	"github.com/berthd/berth/store"
)

// kept is the keeper of a list that names none: the store's bucket properties.
type kept struct{ noun string }

func (l List) keeper() Keeper {
	if l.Kept == nil {
		return kept{l.Noun}
	}
	return l.Kept
}

func (k kept) Values(tx *store.Tx, app string) (map[string]string, error) {
	return tx.Properties.Of(app, k.noun)
}

func (k kept) Keep(tx *store.Tx, app, name, value string) error {
	values, err := tx.Properties.Of(app, k.noun)
	if err != nil {
		return err
	}
	if values[name] = value; value == "" {
		delete(values, name)
	}
	return tx.Properties.Put(app, k.noun, values)
}

// Field is a value that an app's record has a field for.
type Field struct {
	Get func(app store.App) string // "" when it is not set
	Set func(app *store.App, value string)
}

// Fields is the keeper of a list some of whose values, of apps, have fields in
// the app's record. All others are kept in the store under the noun.
type Fields struct {
	Noun string
	Of   map[string]Field // by the property's name
}

// Values implements Keeper.
func (f Fields) Values(tx *store.Tx, app string) (map[string]string, error) {
	values, err := tx.Properties.Of(app, f.Noun)
	if err != nil || app == "" {
		return values, err
	}
	record, err := tx.App(app)
	if err != nil {
		return nil, err
	}
	maps.Copy(values, f.ValuesOf(record))
	return values, nil
}

// ValuesOf returns what the fields of a record say.
func (f Fields) ValuesOf(record store.App) map[string]string {
	values := map[string]string{}
	for name, field := range f.Of {
		if value := field.Get(record); value != "" {
			values[name] = value
		}
	}
	return values
}

// Keep implements Keeper.
func (f Fields) Keep(tx *store.Tx, app, name, value string) error {
	field, ok := f.Of[name]
	if !ok || app == "" {
		return kept{f.Noun}.Keep(tx, app, name, value)
	}
	record, err := tx.App(app)
	if err != nil {
		return err
	}
	field.Set(&record, value)
	return tx.PutApp(record)
}
