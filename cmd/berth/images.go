package main

import (
	"context"
	"strings"

	"github.com/berthd/berth/store"
	"github.com/berthd/berth/verbs"
)

func (c *cli) imageCommands() []command {
	return []command{
		{
			use: "git:from-image APP IMAGE", short: "deploy a ready image",
			long:    "It is pulled, checked and rolled out as a push is. A private one needs\nregistry:login first.",
			example: "git:from-image shop registry.example.com/shop:1.4", min: 1, max: 1,
			run: func(ctx context.Context, app string, words []string) error {
				var release store.Release
				args := verbs.FromImageArgs{AppArgs: verbs.AppArgs{App: app}, Image: words[0]}
				if err := c.ask(ctx, "git:from-image", args, &release); err != nil {
					return err
				}
				return nil
			},
		},
		{
			use: "registry:login HOST USER [FILE]", short: "let berth in to a registry",
			long: "Without FILE the password is read from standard input. It is kept encrypted.\n" +
				"berth uses it for git:from-image and for FROM in Dockerfiles: with --app for\n" +
				"that app, else for all apps, except where a key that is bound to apps deploys.\n" +
				"docker.io is the registry of images that name none.",
			example: "registry:login registry.example.com deployer <token", noApp: true, min: 2, max: 3,
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
		{
			use: "registry:logout HOST", short: "delete the login of a registry", example: "registry:logout registry.example.com",
			long: "With --app it is that app's login.", noApp: true, min: 1, max: 1,
			run: func(ctx context.Context, app string, words []string) error {
				if err := c.ask(ctx, "registry:logout", registryArgs(app, words[0]), nil); err != nil {
					return err
				}
				c.say("deleted")
				return nil
			},
		},
		{
			use: "registry:report", short: "list the registries with a login", example: "registry:report",
			long: "With --app those of that app.", aliases: []string{"registry"}, noApp: true, reads: true,
			run: func(ctx context.Context, app string, _ []string) error {
				return read(ctx, c, "registry:report", verbs.RegistryReportArgs{App: app}, func(t *table, registries []verbs.Registry) {
					t.row("HOST", "USER", "APP")
					for _, r := range registries {
						t.row(r.Host, r.Username, r.App)
					}
				})
			},
		},
	}
}

func registryArgs(app, host string) verbs.RegistryArgs {
	return verbs.RegistryArgs{RegistryReportArgs: verbs.RegistryReportArgs{App: app}, Host: host}
}
