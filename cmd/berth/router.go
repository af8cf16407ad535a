package main

import (
	"strings"

	"github.com/berthd/berth/edge"
)

var routerShows = map[string]printer{
	"router:report": asTable(printRouter),
	"http-auth:remove-user": asText(func(c *cli, app string, now edge.RouterReport) {
		if len(now.Users) == 0 {
			c.say("everybody may enter %s", app)
		} else {
			c.say("%s may enter %s", strings.Join(now.Users, ", "), app)
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
