package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/storage"
	"github.com/berthd/berth/units"
	"github.com/berthd/berth/verbs"
)

var storageShows = map[string]printer{
	"storage:list": func(c *cli, app string, raw json.RawMessage) error {
		if app != "" {
			return asTable(printMounts)(c, app, raw)
		}
		return asTable(printStorage)(c, app, raw)
	},
	"storage:info": asTable(printVolume),
	"storage:set":  asTable(printVolume),
	"storage:ls":   asTable(printFiles),
}

// attach calls a verb that has the streams of the command line.
func (c *cli) attach(ctx context.Context, verb string, args any) error {
	if verb == "storage:export" && c.term != nil {
		return usage("a tar cannot be shown at a terminal").Hint("berth storage:export NAME >FILE")
	}
	code, err := c.client.Attach(ctx, verb, args, runtime.Attachment{Stdin: c.in, Stdout: c.out, Stderr: c.err, Signals: c.signals})
	if err != nil {
		return err
	}
	if code != 0 {
		return exitCode(code)
	}
	return nil
}

func (c *cli) storageCommands() []command {
	noTTY := false
	return []command{{
		use: "storage:exec NAME [--] COMMAND ...",

		noApp: true, min: 2, max: -1, literal: true,
		flags: func(cmd *cobra.Command) {
			cmd.Flags().BoolVarP(&noTTY, "no-tty", "T", false, "no terminal, even at one")
		},
		run: func(ctx context.Context, app string, words []string) error {
			name, words := words[0], words[1:]
			for len(words) > 0 && slices.Contains([]string{"-T", "--no-tty", "--"}, words[0]) {
				noTTY = noTTY || words[0] != "--"
				words = words[1:]
			}
			if len(words) == 0 {
				return usage("storage:exec needs a command").Hint("usage: berth storage:exec NAME [--] COMMAND ...")
			}
			if len(words) == 1 && strings.ContainsAny(words[0], " \t\n") {
				words = []string{"bash", "-c", words[0]}
			}
			args := verbs.VolumeExecArgs{VolumeArgs: verbs.VolumeArgs{Name: name, App: app}, Args: words}
			return c.atTerminal(c.term != nil && !noTTY, func(att runtime.Attachment) (int, error) {
				args.Terminal, args.Size = att.Terminal, att.Size
				return c.client.Attach(ctx, "storage:exec", args, att)
			})
		},
	}}
}

// printMounts prints the mounts of an app as Dokku does, which scripts read.
func printMounts(t *table, entries []verbs.StorageEntry) {
	for _, e := range entries {
		from := e.Volume
		if from == "" {
			from = e.HostPath
		}
		if e.ContainerPath != "" {
			t.line("%s", strings.TrimSuffix(from+":"+e.ContainerPath+":"+e.VolumeOptions, ":"))
		}
	}
}

func printStorage(t *table, entries []verbs.StorageEntry) {
	t.header("VOLUME", "APP", "MOUNTED AT", "WRITERS", "LIMIT")
	for _, e := range entries {
		from, writers, limit := e.Volume, e.Access, storage.Size(e.Size)
		if from == "" {
			from = e.HostPath
		}
		if e.VolumeOptions == "ro" {
			writers = "none"
		}
		if e.Full {
			limit += ", over it"
		}
		if e.Volume == "" {
			limit = ""
		}
		t.row(from, e.App, e.ContainerPath, writers, limit)
	}
}

func printVolume(t *table, v verbs.VolumeInfo) {
	t.row("name", v.Name)
	t.row("app", v.App)
	if v.Former != "" {
		t.row("former app", v.Former)
	}
	t.row("mounted", strings.Join(v.Mounts, ", "))
	t.row("files", v.Path)
	t.row("used", units.Bytes(v.Used))
	t.row("limit", v.Limit)
	t.row("enforced", v.Enforced)
	if v.Full {
		t.row("full", "over its limit, so it is read-only")
	}
	t.row("created", fmt.Sprintf("%s by %s", ago(v.CreatedAt), v.CreatedBy))
	t.row("id", v.ID)
}

func printFiles(t *table, r verbs.VolumeFiles) {
	for _, f := range r.Files {
		name := f.Name
		switch f.Kind {
		case "dir":
			name += "/"
		case "link":
			name += " -> " + f.Link
		}
		t.row(f.Mode, units.Bytes(f.Size), ago(f.At), name)
	}
	if r.More {
		t.line("and more")
	}
}
