package main

import (
	"fmt"
	"strings"

	"github.com/berthd/berth/store"
	"github.com/berthd/berth/verbs"
)

var keyShows = map[string]printer{
	"ssh-keys:add": asText(func(c *cli, _ string, key verbs.KeyAdded) {
		done := "added"
		if key.Known {
			done = "updated"
		}
		c.say("%s the key %s with the role %s (%s)", done, key.Name, scope(key.Key), key.Fingerprint)
	}),
	"ssh-keys:list": asTable(func(t *table, keys []store.Key) {
		t.header("NAME", "ROLE", "LAST USED", "FINGERPRINT")
		for _, key := range keys {
			t.row(key.Name, scope(key), ago(key.LastUsed), key.Fingerprint)
		}
	}),
	"sessions:list": asTable(func(t *table, sessions []verbs.OpenSession) {
		t.header("ID", "USER", "DOOR", "SINCE", "REMOTE")
		for _, s := range sessions {
			t.row(s.ID, s.User, s.Door, ago(s.Since), s.Remote)
		}
	}),
}

// scope is what a key may do.
func scope(key store.Key) string {
	if len(key.Apps) == 0 {
		return string(key.Role)
	}
	return fmt.Sprintf("%s of %s", key.Role, strings.Join(key.Apps, ", "))
}
