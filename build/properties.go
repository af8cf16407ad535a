package build

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/berthd/berth/buildpacks"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// BuilderProperties are what of an app's builds can be set by hand.
var BuilderProperties = []string{"selected", "build-dir", "test", "versions"}

// Properties say how apps are built.
type Properties struct {
	db      *store.Store
	changed func(app string)
}

// BuilderReport is how an app is built.
type BuilderReport struct {
	App      string            `json:"app"`
	Selected string            `json:"selected"`  // "" is what the source tells
	BuildDir string            `json:"build_dir"` // "" is the whole repository
	Test     bool              `json:"test"`
	Versions map[string]string `json:"versions"` // of tools, as builds have resolved them

	// What the live release was built as.
	Language string `json:"language,omitempty"`
	Summary  string `json:"summary,omitempty"`

	Builders []string `json:"builders"` // that can be selected
}

// BuilderReport tells how an app is built.
func (p Properties) BuilderReport(_ context.Context, app string) (BuilderReport, error) {
	record, err := find(p.db, app)
	if err != nil {
		return BuilderReport{}, err
	}
	built, err := live(p.db, record)
	if err != nil {
		return BuilderReport{}, err
	}
	r := BuilderReport{
		App: app, Selected: record.Builder.Selected, BuildDir: record.Builder.BuildDir, Test: record.Builder.Test,
		Versions: maps.Clone(record.Versions), Language: built.Language, Summary: built.Summary, Builders: buildpacks.Languages(),
	}
	if r.Versions == nil {
		r.Versions = map[string]string{}
	}
	return r, nil
}

// SetBuilder sets a property of an app's builds, for the pushes to come; an
// empty value takes it back.
func (p Properties) SetBuilder(ctx context.Context, app, property, value string, by store.User) (BuilderReport, error) {
	change, text, err := builderChange(property, value)
	if err != nil {
		return BuilderReport{}, err
	}
	err = p.db.Update(func(tx *store.Tx) error {
		record, err := tx.App(app)
		if err != nil {
			return err
		}
		change(&record)
		return errors.Join(tx.PutApp(record), tx.AddEvent(store.Event{App: app, By: by.Name, Kind: "builder", Text: text}))
	})
	if err != nil {
		return BuilderReport{}, fault.ExplainDiskFull(err)
	}
	p.changed(app)
	return p.BuilderReport(ctx, app)
}

// builderChange returns what a property's value changes of an app's record.
func builderChange(property, value string) (change func(*store.App), text string, err error) {
	text = "unset " + property
	if value != "" {
		text = fmt.Sprintf("set %s to %.100s", property, value)
	}
	switch property {
	case "selected":
		names := buildpacks.Languages()
		if value != "" && !slices.Contains(names, value) {
			f := fault.New(fault.Usage, code.BuilderInvalid, "there is no builder %.60q", value)
			if near := fault.Nearest(value, names); near != "" {
				f.Hint("did you mean %q?", near)
			}
			return nil, "", f.Hint("there are %s", strings.Join(names, ", "))
		}
		return func(app *store.App) { app.Builder.Selected = value }, text, nil
	case "build-dir":
		if err := checkBuildDir(value); err != nil {
			return nil, "", err
		}
		dir := strings.TrimSuffix(value, "/")
		if dir == "." {
			dir = ""
		}
		return func(app *store.App) { app.Builder.BuildDir = dir }, text, nil
	case "test":
		if !slices.Contains([]string{"on", "off", ""}, value) {
			return nil, "", fault.New(fault.Usage, code.BuilderInvalid, "test is on or off, and not %.60q", value)
		}
		return func(app *store.App) { app.Builder.Test = value == "on" }, text, nil
	case "versions":
		if value != "latest" && value != "" {
			return nil, "", fault.New(fault.Usage, code.BuilderInvalid, "versions takes no value but latest, and not %.60q", value).
				Hint("a version is pinned in the repository: .python-version, .nvmrc, .tool-versions, ...")
		}
		return func(app *store.App) { app.Versions = nil }, "forgot the resolved versions", nil
	}
	f := fault.New(fault.Usage, code.BuilderInvalid, "a builder has no property %.60q", property)
	if near := fault.Nearest(property, BuilderProperties); near != "" {
		f.Hint("did you mean %q?", near)
	}
	return nil, "", f.Hint("it has %s", strings.Join(BuilderProperties, ", "))
}

// checkBuildDir takes the path of a directory of a repository, as git writes it.
func checkBuildDir(dir string) error {
	bad := func(why string) error {
		return fault.New(fault.Usage, code.BuilderInvalid, "%.100q cannot be a build-dir: %s", dir, why).
			Hint("name a directory of the repository, from its root: apps/api")
	}
	switch trimmed := strings.TrimSuffix(dir, "/"); {
	case dir == "" || dir == ".":
		return nil
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
	return nil
}
