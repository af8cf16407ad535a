package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/berthd/berth/store"
	"github.com/berthd/berth/verbs"
)

var accessShows = map[string]printer{
	"ssh-keys:list": shown(func(t *table, keys []store.Key) {
		t.row("NAME", "ROLE", "LAST USED", "FINGERPRINT")
		for _, key := range keys {
			t.row(key.Name, scope(key), ago(key.LastUsed), key.Fingerprint)
		}
	}),
	"sessions:list": shown(func(t *table, sessions []verbs.OpenSession) {
		t.row("ID", "USER", "DOOR", "SINCE", "REMOTE")
		for _, s := range sessions {
			t.row(s.ID, s.User, s.Door, ago(s.Since), s.Remote)
		}
	}),
}

func (c *cli) accessCommands() []command {
	var add verbs.KeyAddArgs
	role := ""
	return []command{
		{
			use: "ssh-keys:add [NAME] [FILE]",

			noApp: true, max: 2,
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
	}
}

// scope is what a key may do.
func scope(key store.Key) string {
	if len(key.Apps) == 0 {
		return string(key.Role)
	}
	return fmt.Sprintf("%s of %s", key.Role, strings.Join(key.Apps, ", "))
}
