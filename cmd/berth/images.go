package main

import (
	"context"
	"strings"

	"github.com/berthd/berth/verbs"
)

var imageShows = map[string]printer{
	"registry:report": shown(func(t *table, registries []verbs.Registry) {
		t.row("HOST", "USER", "APP")
		for _, r := range registries {
			t.row(r.Host, r.Username, r.App)
		}
	}),
}

func (c *cli) imageCommands() []command {
	return []command{

		{
			use: "registry:login HOST USER [FILE]",

			noApp: true, min: 2, max: 3,
			run: func(ctx context.Context, app string, words []string) error {
				file := "-"
				if len(words) > 2 {
					file = words[2]
				}
				if file == "-" && c.term != nil {
					c.say("type the password, then press Ctrl-D on a line of its own")
				}
				password, err := c.readFile(file)
				if err != nil {
					return err
				}
				args := verbs.RegistryLoginArgs{RegistryArgs: registryArgs(app, words[0]), Username: words[1], Password: strings.TrimRight(password, "\r\n")}
				if err := c.ask(ctx, "registry:login", args, nil); err != nil {
					return err
				}
				c.say("logged in to %s as %s", words[0], words[1])
				return nil
			},
		},
	}
}

func registryArgs(app, host string) verbs.RegistryArgs {
	return verbs.RegistryArgs{RegistryReportArgs: verbs.RegistryReportArgs{App: app}, Host: host}
}
