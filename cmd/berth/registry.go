package main

import (
	"context"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/berthd/berth/verbs"
)

var registryShows = map[string]printer{
	"registry:report": asTable(func(t *table, registries []verbs.Registry) {
		t.header("HOST", "USER", "APP")
		for _, r := range registries {
			t.row(r.Host, r.Username, r.App)
		}
	}),
}

// registryCommands has registry:login in Dokku's forms. No error shows a word of
// it: one of them is the password, and which one is not sure when there are too
// many.
func (c *cli) registryCommands() []command {
	fromStdin, global := false, false
	return []command{
		{
			use: "registry:login [--global] HOST USER [PASSWORD]", noApp: true, max: -1, reads: true,
			flags: func(cmd *cobra.Command) {
				cmd.Flags().BoolVar(&fromStdin, "password-stdin", false, "read the password from standard input")
				cmd.Flags().BoolVar(&global, "global", false, "for all apps, as without --app")
			},
			run: func(ctx context.Context, _ string, words []string) error {
				app := c.app
				if len(words) == 4 && app == "" && !global { // Dokku: registry:login APP HOST USER PASSWORD
					app, words = words[0], words[1:]
				}
				switch {
				case len(words) < 2, len(words) > 3:
					return usage("registry:login takes a host, a user and optionally a password").Hint("usage: berth registry:login HOST USER <FILE")
				case global && app != "":
					return usage("--global is for all apps, and --app for one")
				case len(words) == 3 && fromStdin:
					return usage("the password is given twice: as an argument and with --password-stdin")
				case len(words) == 3 && c.local && namesFile(words[2]):
					return usage("the password is the name of a file").Hint("berth registry:login HOST USER <FILE reads it from the file")
				}
				password := parameter{stdin: "type the password"}
				value, err := c.value(password, slices.DeleteFunc(slices.Clone(words[2:]), func(word string) bool { return word == "-" }))
				if err != nil {
					return err
				}
				args := verbs.RegistryLoginArgs{Username: words[1], Password: value.(string)}
				args.App, args.Host = app, words[0]
				if c.format != "json" {
					if err := c.ask(ctx, "registry:login", args, nil); err != nil {
						return err
					}
					c.say("logged in to %s as %s", args.Host, args.Username)
					return nil
				}
				return read(ctx, c, "registry:login", args, func(*table, verbs.Registry) {})
			},
		},
	}
}

// namesFile tells whether a word is the path of a file, which an older berth took
// there.
func namesFile(word string) bool {
	if !strings.Contains(word, "/") {
		return false
	}
	info, err := os.Stat(word)
	return err == nil && info.Mode().IsRegular()
}
