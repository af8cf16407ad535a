package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/berthd/berth/build"
	"github.com/berthd/berth/buildpacks"
	"github.com/berthd/berth/buildpacks/mirror"
	"github.com/berthd/berth/buildpacks/plan"
	"github.com/berthd/berth/buildpacks/source"
	"github.com/berthd/berth/property"
	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
	"github.com/berthd/berth/verbs"
)

var builderShows = map[string]printer{
	"builder:report": asTable(printBuilder),
	"builder:mirror": asTable(printMirror),
}

func (c *cli) builderCommands() []command {
	ref := ""
	return []command{

		{
			use: "builds:plan APP|DIR",

			reads: true,
			flags: func(cmd *cobra.Command) {
				cmd.Flags().StringVar(&ref, "ref", "", "a branch, a tag or a commit that was pushed")
			},
			run: func(ctx context.Context, app string, _ []string) error {
				if c.local && (strings.Contains(app, "/") || app == ".") {
					return c.planDir(app, ref)
				}
				return read(ctx, c, "builds:plan", verbs.PlanArgs{AppArgs: verbs.AppArgs{App: app}, Ref: ref}, printPlan)
			},
		},
	}
}

func printBuilder(t *table, r build.BuilderReport) {
	if r.App != "" {
		t.row("app", r.App)
	}
	printRows(t, slices.DeleteFunc(r.Properties, func(p property.Row) bool { return p.Name == "versions" }))
	if r.App == "" {
		return
	}
	for i, version := range plan.ToolVersions(r.Versions) {
		t.row(label(i, "versions"), version)
	}
	t.row("built as", r.Summary)
	t.row("builders", strings.Join(r.Builders, " "))
}

func printMirror(t *table, r mirror.Report) {
	t.header("TOOL", "VERSION", "FILE", "NOTE")
	for _, e := range r.Entries {
		note := e.Why
		switch {
		case note != "":
			note = "ignored: " + note
		case e.Checked:
			note = "in " + mirror.SumsFile
		}
		t.row(e.Tool, e.Version, e.File, note)
	}
	t.line("\nin %s", r.Dir)
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

// planDir plans a directory of this machine, without the daemon. What of it
// would be there already, nobody can say: layers are an app's own.
func (c *cli) planDir(dir, ref string) error {
	if ref != "" {
		return usage("--ref is for an app's repository, and %.60q is a directory", dir)
	}
	root, err := os.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return fault.New(fault.NotFound, code.DirectoryUnknown, "there is no directory %.100q", dir)
	}
	if err != nil {
		return usage("%w", err)
	}
	defer root.Close()
	made, err := buildpacks.Detect(plan.Request{FS: root.FS(), Digest: filepath.Base(dir), Stack: runtime.StackKey(), Owner: "nobody",
		Mirror: mirror.Open(fromEnv("MIRROR", filepath.Join(fromEnv("DATA", defaultData), mirrorDir)))})
	if err != nil {
		return err
	}
	planned := build.Planned{Plan: made, Layers: []build.PlannedLayer{}}
	for _, l := range made.Layers {
		planned.Layers = append(planned.Layers, build.PlannedLayer{Layer: l})
	}
	return show(c, planned, printPlan)
}

func printPlan(t *table, p build.Planned) {
	if p.App != "" {
		t.row("app", p.App)
		t.row("commit", short(p.Commit)+" "+p.Subject)
	}
	if p.BuildDir != "" {
		t.row("build-dir", p.BuildDir)
	}
	t.row("builder", p.Language)
	t.row("summary", p.Summary)
	for i, version := range plan.ToolVersions(p.Versions) {
		t.row(label(i, "versions"), version)
	}
	for i, proc := range p.Processes {
		inferred := ""
		if proc.Inferred {
			inferred = " (inferred)"
		}
		t.row(label(i, "processes"), proc.Type+": "+proc.Command+inferred)
	}
	if p.Test != nil {
		t.row("test", p.Test.Command)
	}
	for i, note := range p.Notes {
		t.row(label(i, "notes"), note)
	}
	for _, l := range p.Layers {
		printLayer(t, l, p)
	}
	if !p.Sealed {
		t.line("\nsource  run")
		t.line("  the repository, on top of the last layer that runs")
	}
}

func printLayer(t *table, l build.PlannedLayer, p build.Planned) {
	there := ""
	if p.App != "" {
		there = "  not there yet"
		if l.Present {
			there = "  there"
		}
	}
	t.line("\n%s  %s  %s%s", l.Name, shortKey(l.Key), kindOf(l.Layer), there)
	if i := slices.IndexFunc(p.Layers, func(below build.PlannedLayer) bool { return below.Key == l.Parent }); i >= 0 {
		t.line("  on       %s %s", p.Layers[i].Name, shortKey(l.Parent))
	}
	if i := slices.IndexFunc(p.Layers, func(with build.PlannedLayer) bool { return with.Key == l.Builder }); i >= 0 {
		t.line("  with     %s %s", p.Layers[i].Name, shortKey(l.Builder))
	}
	inputs := l.Inputs
	if l.Source || slices.Contains(inputs, ".") {
		inputs = []string{"the whole repository"}
	}
	if len(inputs) > 0 {
		t.line("  reads    %s", strings.Join(inputs, ", "))
	}
	if l.Archive != nil {
		t.line("  unpacks  the mirror's %s", l.Archive.File())
	}
	for _, cmd := range l.Commands {
		t.line("  runs     %s", commandLine(cmd))
	}
	if l.Else != nil {
		t.line("  or       unpacks the mirror's %s", l.Else.Archive.File())
	}
	if len(l.Keep) > 0 {
		t.line("  keeps    %s", strings.Join(l.Keep, ", "))
	}
	for _, cache := range l.Caches {
		t.line("  cache    %s at %s", cache.Name, cache.Target)
	}
	if l.Config != plan.ConfigNone {
		t.line("  config   %s", map[plan.ConfigUse]string{
			plan.ConfigPasses: "is seen by the commands; a change of it rebuilds nothing",
			plan.ConfigBakes:  "goes into the layer; a change of it rebuilds it",
		}[l.Config])
	}
	if l.Offline {
		t.line("  network  none")
	}
}

// kindOf says who makes a layer and what it is for.
func kindOf(l plan.Layer) string {
	switch {
	case l.Root && l.Build:
		return "root, build"
	case l.Root:
		return "root, run"
	case l.Build:
		return "build"
	}
	return "run"
}

// commandLine writes a command as it could be typed, without the settings that
// each call of apt has; JSON has those too.
func commandLine(cmd plan.Command) string {
	var words []string
	for i := 0; i < len(cmd.Args); i++ {
		if cmd.Args[0] == "apt-get" && cmd.Args[i] == "-o" {
			i++
			continue
		}
		words = append(words, source.ShellWord(cmd.Args[i]))
	}
	return strings.Join(words, " ")
}

func shortKey(key string) string { return key[:min(12, len(key))] }
