package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/berthd/berth/store"
	"github.com/berthd/berth/verbs"
)

func (c *cli) accessCommands() []command {
	var add verbs.KeyAddArgs
	var remove verbs.KeyRemoveArgs
	var end verbs.SessionEndArgs
	role := ""
	return []command{
		{
			use: "ssh-keys:add [NAME] [FILE]", short: "let a public key in",
			long: "The key is read from standard input without FILE, and named by its comment\n" +
				"without NAME. The role is admin, deploy or read: admin for the first key, deploy\n" +
				"for those that follow, unless --role says otherwise.",
			example: "ssh-keys:add alice <alice.pub\nssh-keys:add ci --role deploy --app shop <ci.pub",
			noApp:   true, max: 2,
			flags: func(cmd *cobra.Command) {
				cmd.Flags().StringVar(&role, "role", "", "admin, deploy or read")
				cmd.Flags().StringSliceVarP(&add.Apps, "app", "a", nil, "this app alone; may be given again")
			},
			run: func(ctx context.Context, _ string, words []string) error {
				add.Role = store.Role(role)
				file := "-"
				if len(words) > 0 {
					add.Name = words[0]
				}
				if len(words) > 1 {
					file = words[1]
				}
				if file == "-" && c.term != nil {
					c.say("paste the public key, then press Ctrl-D on a line of its own")
				}
				var err error
				if add.Key, err = c.readFile(file); err != nil {
					return err
				}
				var key verbs.KeyAdded
				if err := c.ask(ctx, "ssh-keys:add", add, &key); err != nil {
					return err
				}
				already := ""
				if key.Known {
					already = ", and was here already"
				}
				c.say("%s may enter as %s%s (%s)", key.Name, scope(key.Key), already, key.Fingerprint)
				return nil
			},
		},
		{
			use: "ssh-keys:list", short: "list who may enter", example: "ssh-keys:list",
			aliases: []string{"ssh-keys"}, noApp: true, reads: true,
			run: func(ctx context.Context, _ string, _ []string) error {
				return read(ctx, c, "ssh-keys:list", nil, func(t *table, keys []store.Key) {
					t.row("NAME", "ROLE", "LAST USED", "FINGERPRINT")
					for _, key := range keys {
						t.row(key.Name, scope(key), ago(key.LastUsed), key.Fingerprint)
					}
				})
			},
		},
		{
			use: "ssh-keys:remove NAME", short: "shut a key out, and its sessions", example: "ssh-keys:remove alice",
			noApp: true, min: 1, max: 1,
			flags: func(cmd *cobra.Command) {
				cmd.Flags().BoolVarP(&remove.Force, "force", "f", false, "even the last key of an admin")
			},
			run: func(ctx context.Context, _ string, words []string) error {
				remove.Name = words[0]
				if err := c.ask(ctx, "ssh-keys:remove", remove, nil); err != nil {
					return err
				}
				c.say("%s may not enter any more", remove.Name)
				return nil
			},
		},
		{
			use: "sessions:list", short: "list who is in",
			long:    "Browsers that are signed in to the admin page, and SSH connections.",
			example: "sessions:list", aliases: []string{"sessions"}, noApp: true, reads: true,
			run: func(ctx context.Context, _ string, _ []string) error {
				return read(ctx, c, "sessions:list", nil, func(t *table, sessions []verbs.OpenSession) {
					t.row("ID", "USER", "DOOR", "SINCE", "REMOTE")
					for _, s := range sessions {
						t.row(s.ID, s.User, s.Door, ago(s.Since), s.Remote)
					}
				})
			},
		},
		{
			use: "sessions:end [ID] [--user NAME]", short: "end a session, or all of a user",
			long:    "It ends at once, with all that goes on in it but builds. A user whose key stays\nmay come back: ssh-keys:remove shuts the key out, and ends its sessions too.",
			example: "sessions:end --user root", noApp: true, max: 1,
			flags: func(cmd *cobra.Command) {
				cmd.Flags().StringVarP(&end.User, "user", "u", "", "all sessions of this user")
			},
			run: func(ctx context.Context, _ string, words []string) error {
				if len(words) > 0 {
					end.ID = words[0]
				}
				var ended verbs.SessionsEnded
				if err := c.ask(ctx, "sessions:end", end, &ended); err != nil {
					return err
				}
				c.say("ended %d", ended.Ended)
				return nil
			},
		},
		{
			use: "login", short: "print a link to sign in with, once",
			example: "login", noApp: true, reads: true,
			run: func(ctx context.Context, _ string, _ []string) error {
				if c.format == "json" {
					return read(ctx, c, "login", nil, func(*table, verbs.Login) {})
				}
				var login verbs.Login
				if err := c.ask(ctx, "login", nil, &login); err != nil {
					return err
				}
				c.say("good once, for %d minutes:", verbs.LinkLife/time.Minute)
				_, err := fmt.Fprintln(c.out, login.URL)
				return err
			},
		},
	}
}

// scope is what a key may do.
func scope(key store.Key) string {
	if len(key.Apps) == 0 {
		return string(key.Role)
	}
	return fmt.Sprintf("%s of %s", key.Role, strings.Join(key.Apps, ", "))
}
