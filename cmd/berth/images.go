package main

import (
	"context"
	"strings"

	"github.com/berthd/berth/store"
	"github.com/berthd/berth/web"
)

func (c *cli) imageCommands() []command {
	return []command{
		{
			use: "git:from-image APP IMAGE", short: "deploy a ready image",
			long:    "It is pulled, checked and rolled out as a push is. A private one needs\nregistry:login first.",
			example: "git:from-image shop registry.example.com/shop:1.4", min: 1, max: 1,
			run: func(ctx context.Context, app string, words []string) error {
				var release store.Release
				args := web.FromImageArgs{AppArgs: web.AppArgs{App: app}, Image: words[0]}
				if err := c.ask(ctx, "git:from-image", args, &release); err != nil {
					return err
				}
				return nil
			},
		},
		{
			use: "registry:login HOST USER [FILE]", short: "let berth in to a registry",
			long: "The password is read from standard input without FILE. It is kept encrypted and\n" +
				"used for git:from-image and for FROM in Dockerfiles, of every app. docker.io is\n" +
				"the registry of images that name none.",
			example: "registry:login registry.example.com deployer <token", noApp: true, min: 2, max: 3,
			run: func(ctx context.Context, _ string, words []string) error {
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
				args := web.RegistryLoginArgs{Host: words[0], Username: words[1], Password: strings.TrimRight(password, "\r\n")}
				if err := c.ask(ctx, "registry:login", args, nil); err != nil {
					return err
				}
				c.say("berth is %s to %s", words[1], words[0])
				return nil
			},
		},
		{
			use: "registry:logout HOST", short: "forget the login of a registry", example: "registry:logout registry.example.com",
			noApp: true, min: 1, max: 1,
			run: func(ctx context.Context, _ string, words []string) error {
				if err := c.ask(ctx, "registry:logout", web.RegistryArgs{Host: words[0]}, nil); err != nil {
					return err
				}
				c.say("forgotten")
				return nil
			},
		},
		{
			use: "registry:report", short: "list the registries with a login", example: "registry:report",
			aliases: []string{"registry"}, noApp: true, reads: true,
			run: func(ctx context.Context, _ string, _ []string) error {
				return read(ctx, c, "registry:report", nil, func(t *table, registries []web.Registry) {
					t.row("HOST", "USER")
					for _, r := range registries {
						t.row(r.Host, r.Username)
					}
				})
			},
		},
	}
}
