package property_test

import (
	"errors"
	"maps"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/berthd/berth/property"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
)

// paint is a list with one property of every kind.
var paint = property.List{
	Noun: "paint", Has: "paint has", Code: "E999", Note: "It dries at once.",
	Properties: []property.Property{
		{Name: "colour", Usual: "white", Scope: property.Both, Values: []string{"white", "red"}, Check: property.OneOf("white", "red", "blue"),
			Meaning: "what it looks like, in the light of a day without clouds and with the sun behind whoever looks"},
		{Name: "gloss", Values: property.OnOff, Check: property.OneOf(property.OnOff...), Meaning: "whether it shines"},
		{Name: "brand", Scope: property.Global, Meaning: "who makes it"},
		{Name: "motto", Scope: property.Both, Words: true, Meaning: "what is written on it"},
		{Name: "recipe", Secret: true, Scope: property.Both, Check: func(value string) (string, error) {
			if strings.Contains(value, "sugar") {
				return "", errors.New("it holds sugar")
			}
			return strings.TrimSpace(value), nil
		}, Meaning: "how it is made"},
		{Name: "swatch", File: true, Meaning: "a picture of it"},
		{Name: "label:", Rest: "NAME", Scope: property.Both, Meaning: "a label of it", Family: func(rest string) (property.Property, error) {
			if strings.ContainsAny(rest, " =") {
				return property.Property{}, fault.New(fault.Usage, "E998", "%q is no name", rest)
			}
			return property.Property{}, nil
		}},
	},
}

func opened(t *testing.T) *store.Store {
	t.Helper()
	db, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	for _, name := range []string{"shop", "blog"} {
		if err := db.Update(func(tx *store.Tx) error { _, err := tx.CreateApp(store.App{Name: name}); return err }); err != nil {
			t.Fatal(err)
		}
	}
	return db
}

func set(t *testing.T, db *store.Store, app, name, value string) property.Change {
	t.Helper()
	change, err := paint.Check(app, name, value)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Update(change.Keep); err != nil {
		t.Fatal(err)
	}
	return change
}

func TestCheck_SaysWhatIsWrong(t *testing.T) {
	const long = 5000
	for _, row := range []struct {
		app, name, value string
		code, want       string // "" is that it will do
	}{
		{"shop", "colour", "red", "", ""},
		{"", "colour", "red", "", ""},
		{"shop", "colour", "", "", ""},
		{"shop", "colour", "green", "E999", `colour cannot be "green": use one of white, red, blue`},
		{"shop", "color", "red", "E999", `did you mean "colour"?`},
		{"shop", "", "red", "E999", "the properties are colour, gloss, brand, motto, recipe, swatch, label:NAME"},
		{"shop", "gloss", "perhaps", "E999", "use on or off"},
		{"", "gloss", "on", "E217", "berth paint:set APP gloss VALUE"},
		{"shop", "brand", "x", "E217", "berth paint:set --global brand VALUE"},
		{"shop", "brand", "", "E217", "for all apps at once"},
		{"shop", "motto", "Ölfarbe ist süß 🎨", "", ""},
		{"shop", "motto", "a\x1b[2Jb", "E999", "control character"},
		{"shop", "motto", "a\nb", "E999", "control character"},
		{"shop", "motto", "\xff", "E999", "not UTF-8"},
		{"shop", "motto", strings.Repeat("a", long), "E999", "it has 5000 bytes, and may have 4000"},
		{"shop", strings.Repeat("a", long), "x", "E999", "no property"},
		{"shop", "recipe", "s3cret sugar", "E999", "it holds sugar"},
		{"shop", "swatch", strings.Repeat("a\n", long), "", ""},
		{"shop", "label:size", "xl", "", ""},
		{"shop", "label:a=b", "xl", "E998", "no name"},
		{"shop", "label:", "xl", "E999", "no property"},
	} {
		_, err := paint.Check(row.app, row.name, row.value)
		f := fault.From(err)
		if row.code == "" {
			if err != nil {
				t.Errorf("%q %.20q=%.20q: got %v", row.app, row.name, row.value, err)
			}
			continue
		}
		if f == nil || f.Code != row.code || f.Kind != fault.Usage || !strings.Contains(strings.Join(f.Lines(0), "\n"), row.want) {
			t.Errorf("%q %.20q=%.20q: got %+v, want %s %q", row.app, row.name, row.value, f, row.code, row.want)
		}
		if f != nil && (strings.Contains(f.Message, "s3cret") || len(f.Message) > 300) {
			t.Errorf("%.20q=%.20q: the message holds too much: %s", row.name, row.value, f.Message)
		}
	}
}

func TestReport_AnAppsOwnValueGoesBeforeTheMachines(t *testing.T) {
	db := opened(t)
	row := func(app, name string) (found property.Row) {
		t.Helper()
		err := db.View(func(tx *store.Tx) error {
			rows, err := paint.Report(tx, app)
			for _, r := range rows {
				if r.Name == name {
					found = r
				}
			}
			value, valueErr := paint.Value(tx, app, name)
			if valueErr == nil && name != "recipe" && name != "swatch" && value != found.Value {
				t.Errorf("Value of %s is %q, and the report says %q", name, value, found.Value)
			}
			return errors.Join(err, valueErr)
		})
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	check := func(app string, want property.Row) {
		t.Helper()
		if got := row(app, want.Name); got != want {
			t.Errorf("%q: got %+v, want %+v", app, got, want)
		}
	}
	check("shop", property.Row{Name: "colour", Value: "white", Global: "white", Usual: true})
	check("", property.Row{Name: "colour", Value: "white", Usual: true})
	set(t, db, "", "colour", "red")
	check("shop", property.Row{Name: "colour", Value: "red", Global: "red"})
	check("", property.Row{Name: "colour", Value: "red", Raw: "red", Set: true})
	set(t, db, "shop", "colour", "blue")
	check("shop", property.Row{Name: "colour", Value: "blue", Raw: "blue", Global: "red", Set: true})
	check("blog", property.Row{Name: "colour", Value: "red", Global: "red"})
	set(t, db, "shop", "colour", "")
	set(t, db, "shop", "colour", "") // twice is no error
	check("shop", property.Row{Name: "colour", Value: "red", Global: "red"})
	set(t, db, "", "colour", "")
	check("shop", property.Row{Name: "colour", Value: "white", Global: "white", Usual: true})

	set(t, db, "", "label:size", "xl")
	set(t, db, "blog", "label:Größe", "größer")
	check("shop", property.Row{Name: "label:size", Value: "xl", Global: "xl"})
	check("blog", property.Row{Name: "label:Größe", Value: "größer", Raw: "größer", Set: true})
	if text := set(t, db, "shop", "recipe", " s3cret ").Text(); text != "set recipe to a secret" {
		t.Errorf("the event says %q", text)
	}
	check("shop", property.Row{Name: "recipe", Value: "a secret", Raw: "a secret", Set: true})
	if text := set(t, db, "shop", "swatch", "12345").Text(); text != "set swatch to 5 bytes" {
		t.Errorf("the event says %q", text)
	}
	check("shop", property.Row{Name: "swatch", Value: "5 bytes", Raw: "5 bytes", Set: true})
	if text := set(t, db, "shop", "motto", "").Text(); text != "unset motto" {
		t.Errorf("the event says %q", text)
	}
	check("", property.Row{Name: "brand", Usual: true})
	if got := row("shop", "brand"); got != (property.Row{}) {
		t.Errorf("an app has %+v, which is the machine's alone", got)
	}
}

func TestComputed_LeavesOutWhatIsTheMachinesAlone(t *testing.T) {
	db := opened(t)
	set(t, db, "", "brand", "acme")
	set(t, db, "", "colour", "red")
	set(t, db, "", "motto", "dry")
	set(t, db, "shop", "motto", "wet paint")
	err := db.View(func(tx *store.Tx) error {
		got, err := paint.Computed(tx, "shop")
		if want := map[string]string{"colour": "red", "motto": "wet paint"}; !maps.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		raw, rawErr := paint.Raw(tx, "shop", "colour")
		if raw != "" {
			t.Errorf("the raw value is %q, and nobody has set it", raw)
		}
		return errors.Join(err, rawErr)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestKeep_OfAnAppThatIsGone(t *testing.T) {
	db := opened(t)
	change, err := paint.Check("shop", "colour", "red")
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Update(func(tx *store.Tx) error { return tx.DeleteApp("shop") }); err != nil {
		t.Fatal(err)
	}
	if f := fault.From(db.Update(change.Keep)); f == nil || f.Code != "E101" {
		t.Errorf("got %v, want E101", f)
	}
	err = db.View(func(tx *store.Tx) error { _, err := paint.Report(tx, "shop"); return err })
	if f := fault.From(err); f == nil || f.Code != "E101" {
		t.Errorf("got %v, want E101", f)
	}
}

// What a later berth has set is left out, and does not stand in the way.
func TestReport_PassesOverWhatItDoesNotKnow(t *testing.T) {
	db := opened(t)
	err := db.Update(func(tx *store.Tx) error {
		return errors.Join(
			tx.Properties.Put("", "paint", map[string]string{"smell": "strong", "colour": "red"}),
			tx.Properties.Put("shop", "paint", map[string]string{"taste": "bad"}),
		)
	})
	if err != nil {
		t.Fatal(err)
	}
	err = db.View(func(tx *store.Tx) error {
		rows, err := paint.Report(tx, "shop")
		for _, row := range rows {
			if row.Name == "smell" || row.Name == "taste" {
				t.Errorf("the report has %+v", row)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	set(t, db, "shop", "colour", "blue")
	err = db.View(func(tx *store.Tx) error {
		values, err := tx.Properties.Of("shop", "paint")
		if values["taste"] != "bad" {
			t.Errorf("what a later berth has set is gone: %v", values)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestFields_AreInTheRecordOfTheApp(t *testing.T) {
	list := property.List{
		Noun: "branch", Has: "a branch has", Code: "E999",
		Properties: []property.Property{{Name: "name", Scope: property.Both, Usual: "main"}, {Name: "depth"}},
		Kept: property.Fields{Noun: "branch", Of: map[string]property.Field{"name": {
			Get: func(app store.App) string { return app.Branch },
			Set: func(app *store.App, value string) { app.Branch = value },
		}}},
	}
	db := opened(t)
	for _, step := range []struct{ app, name, value, want string }{
		{"shop", "name", "trunk", "trunk"}, {"", "name", "master", "trunk"}, {"shop", "name", "", "master"}, {"", "name", "", "main"}, {"shop", "depth", "1", "main"},
	} {
		change, err := list.Check(step.app, step.name, step.value)
		if err == nil {
			err = db.Update(change.Keep)
		}
		if err != nil {
			t.Fatal(err)
		}
		err = db.View(func(tx *store.Tx) error {
			app, err := tx.App("shop")
			if want := (map[bool]string{true: "trunk"})[step.want == "trunk"]; app.Branch != want {
				t.Errorf("%+v: the record has %q, want %q", step, app.Branch, want)
			}
			value, valueErr := list.Value(tx, "shop", "name")
			if value != step.want {
				t.Errorf("%+v: got %q", step, value)
			}
			return errors.Join(err, valueErr)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestHelp_NamesEveryPropertyWithin80Columns(t *testing.T) {
	help := paint.Help()
	for _, want := range []string{
		"colour      what it looks like, in the light of a day without clouds and with\n            the sun behind whoever looks (usual: white)\n",
		"\nWith --global, for all apps:\nbrand  who makes it\n",
		"gloss and swatch can be set for an app alone.", "Without VALUE a property is unset. It dries at once.",
	} {
		if !strings.Contains(strings.Join(strings.Fields(help), " "), strings.Join(strings.Fields(want), " ")) || strings.Contains(want, "\n") && !strings.Contains(help, want) {
			t.Errorf("the help has no %q:\n%s", want, help)
		}
	}
	for line := range strings.Lines(help) {
		if utf8.RuneCountInString(strings.TrimSuffix(line, "\n")) > 80 {
			t.Errorf("longer than 80 columns: %s", line)
		}
	}
	for _, name := range paint.Names() {
		if !strings.Contains(help, name+" ") {
			t.Errorf("the help has no %s:\n%s", name, help)
		}
	}
}

func TestComplete_NamesThenValues(t *testing.T) {
	for words, want := range map[string]string{
		"": "colour gloss brand motto recipe swatch label:", "colour": "white red", "colour red": "", "gloss": "on off", "none": "", "motto": "",
	} {
		if got := strings.Join(paint.Complete(strings.Fields(words)), " "); got != want {
			t.Errorf("%q: got %q, want %q", words, got, want)
		}
	}
}
