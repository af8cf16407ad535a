package main

import (
	"strings"

	"github.com/berthd/berth/edge"
)

var routerShows = map[string]printer{
	"router:report": asTable(printRouter),
	"http-auth:remove-user": asText(func(c *cli, app string, now edge.RouterReport) {
		if len(now.Users) == 0 {
			c.say("%s no longer asks visitors for a password", app)
		} else {
			c.say("%s asks visitors for a password; users: %s", app, strings.Join(now.Users, ", "))
		}
	}),
}

func printRouter(t *table, r edge.RouterReport) {
	if r.App != "" {
		t.row("app", r.App)
		t.row("maintenance", onOff(r.Maintenance))
	}
	printRows(t, r.Properties)
	for i, name := range r.Users {
		t.row(label(i, "users"), name)
	}
}
