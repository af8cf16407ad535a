package main

import (
	"strings"

	"github.com/berthd/berth/edge"
)

var portShows = map[string]printer{
	"ports:report": asTable(printPorts),
	"ports:add":    asText(tellPorts),
	"ports:remove": asText(tellPorts),
	"ports:set":    asText(tellPorts),
	"ports:clear":  asText(tellPorts),
}

func tellPorts(c *cli, app string, now edge.PortsReport) {
	if len(now.Ports) == 0 {
		c.say("%s has no ports", app)
		return
	}
	names := make([]string, len(now.Ports))
	for n, p := range now.Ports {
		names[n] = p.String()
	}
	c.say("%s has the ports %s", app, strings.Join(names, ", "))
	for _, p := range now.Ports {
		if len(p.Silent) > 0 {
			c.say("%s does not listen on %d yet", strings.Join(p.Silent, ", "), p.Container)
		}
	}
}

func printPorts(t *table, r edge.PortsReport) {
	for _, p := range r.Ports {
		state := "open"
		switch {
		case p.Error != "":
			state = p.Error
		case len(p.Silent) > 0:
			state = "open, but " + strings.Join(p.Silent, ", ") + " does not listen"
		}
		t.row(p.App, p.String(), state)
	}
}
