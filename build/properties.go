package build

import (
	"context"
	"errors"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/berthd/berth/buildpacks"
	"github.com/berthd/berth/property"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// BuilderProperties are what can be set of how apps are built.
var BuilderProperties = property.List{
	Noun: "builder", Has: "a builder has", Code: code.BuilderInvalid,
	Note: "Changes apply from the next push.",
	Properties: []property.Property{
		{Name: "selected", Scope: property.Both, Values: buildpacks.Languages(), Check: checkBuilder,
			Meaning: "the builder to use instead of the detected one"},
		{Name: "build-dir", Scope: property.Both, Check: checkBuildDir,
			Meaning: "the directory of the repository to build, for example apps/api; . is all of it"},
		{Name: "test", Usual: "off", Scope: property.Both, Values: property.OnOff, Check: property.OneOf(property.OnOff...),
			Meaning: "on runs the language's usual tests if app.json has none"},
		{Name: "versions", Values: []string{"latest"}, Check: checkVersions,
			Meaning: "latest resolves the versions of tools again"},
	},
	Kept: property.Fields{Noun: "builder", Of: map[string]property.Field{
		"selected": {
			Get: func(app store.App) string { return app.Builder.Selected },
			Set: func(app *store.App, value string) { app.Builder.Selected = value },
		},
		"build-dir": {
			Get: func(app store.App) string { return app.Builder.BuildDir },
			Set: func(app *store.App, value string) { app.Builder.BuildDir = value },
		},
		"test": {
			Get: func(app store.App) string {
				switch {
				case app.Builder.Test:
					return "on"
				case app.Builder.NoTest:
					return "off"
				}
				return ""
			},
			Set: func(app *store.App, value string) {
				app.Builder.Test, app.Builder.NoTest = value == "on", value == "off"
			},
		},
		"versions": { // it is done, and not kept
			Get: func(store.App) string { return "" },
			Set: func(app *store.App, _ string) { app.Versions = nil },
		},
	}},
}

// Properties say how apps are built.
type Properties struct {
	db      *store.Store
	changed func(app string)
}

// BuilderReport is how an app is built, or with "" as its name what is set for
// all apps.
type BuilderReport struct {
	App      string            `json:"app"`
	Selected string            `json:"selected"`  // as it was set of the app; "" is what the source tells
	BuildDir string            `json:"build_dir"` // likewise; "" is the whole repository
	Test     bool              `json:"test"`      // as it counts
	Versions map[string]string `json:"versions"`  // of tools, as builds have resolved them

	// What the live release was built as.
	Language string `json:"language,omitempty"`
	Summary  string `json:"summary,omitempty"`

	Properties []property.Row `json:"properties"`
	Builders   []string       `json:"builders"` // that can be selected
}

// BuilderReport tells how an app is built, or with "" what is set for all apps.
func (p Properties) BuilderReport(_ context.Context, app string) (r BuilderReport, err error) {
	r = BuilderReport{App: app, Versions: map[string]string{}, Builders: buildpacks.Languages()}
	var record store.App
	err = p.db.View(func(tx *store.Tx) error {
		if r.Properties, err = BuilderProperties.Report(tx, app); err != nil || app == "" {
			return err
		}
		record, err = tx.App(app)
		return err
	})
	if err != nil || app == "" {
		return r, err
	}
	built, err := live(p.db, record)
	if err != nil {
		return BuilderReport{}, err
	}
	counts, err := p.of(record)
	r.Selected, r.BuildDir, r.Test = record.Builder.Selected, record.Builder.BuildDir, counts.Test
	r.Language, r.Summary = built.Language, built.Summary
	maps.Copy(r.Versions, record.Versions)
	return r, err
}

// SetBuilder sets a property of an app's builds, or with "" of those of all apps
// that have no value of their own. It counts for the pushes to come; an empty
// value takes it back.
func (p Properties) SetBuilder(ctx context.Context, app, name, value string, by store.User) (BuilderReport, error) {
	change, err := BuilderProperties.Check(app, name, value)
	if err != nil {
		return BuilderReport{}, err
	}
	text := change.Text()
	if name == "versions" {
		text = "reset the resolved versions"
	}
	err = p.db.Update(func(tx *store.Tx) error {
		return errors.Join(change.Keep(tx), tx.AddEvent(store.Event{App: app, By: by.Name, Kind: "builder", Text: text}))
	})
	if err != nil {
		return BuilderReport{}, fault.ExplainDiskFull(err)
	}
	p.changed(app)
	return p.BuilderReport(ctx, app)
}

// of returns how an app is built, what is set for all apps included.
func (p Properties) of(record store.App) (b store.Builder, err error) {
	err = p.db.View(func(tx *store.Tx) error {
		values, err := BuilderProperties.ComputedOf(tx, BuilderProperties.Kept.(property.Fields).ValuesOf(record))
		b = store.Builder{Selected: values["selected"], BuildDir: values["build-dir"], Test: values["test"] == "on"}
		return err
	})
	return b, err
}

func checkBuilder(value string) (string, error) {
	names := buildpacks.Languages()
	if slices.Contains(names, value) {
		return value, nil
	}
	f := fault.New(fault.Usage, code.BuilderInvalid, "there is no builder %.60q", value)
	if near := fault.Nearest(value, names); near != "" {
		f.Hint("did you mean %q?", near)
	}
	return "", f.Hint("the builders are %s", strings.Join(names, ", "))
}

func checkVersions(value string) (string, error) {
	if value == "latest" {
		return "", nil
	}
	return "", fault.New(fault.Usage, code.BuilderInvalid, "versions only takes the value latest, not %.60q", value).
		Hint("pin a version in the repository: .python-version, .nvmrc, .tool-versions, ...")
}

// checkBuildDir takes the path of a directory of a repository, as git writes it.
func checkBuildDir(dir string) (string, error) {
	bad := func(why string) (string, error) {
		return "", fault.New(fault.Usage, code.BuilderInvalid, "%.100q is not a valid build-dir: %s", dir, why).
			Hint("use a path from the root of the repository: apps/api")
	}
	switch trimmed := strings.TrimSuffix(dir, "/"); {
	case trimmed == ".":
		return ".", nil // said by itself: in the place of a directory that is set for all apps
	case len(dir) > 1000:
		return bad("it is too long")
	case strings.HasPrefix(dir, "/"):
		return bad("it begins with /")
	case strings.ContainsFunc(dir, func(r rune) bool { return r < 0x20 || r == 0x7f }):
		return bad("it has a control character in it")
	case slices.Contains(strings.Split(trimmed, "/"), ".."):
		return bad("it leaves the repository")
	case path.Clean(trimmed) != trimmed:
		return bad("it could be written as " + path.Clean(trimmed))
	}
	return strings.TrimSuffix(dir, "/"), nil
}
