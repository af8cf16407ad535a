package main

import (
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/berthd/berth/verbs"
)

var domainShows = map[string]printer{
	"domains:report":  asTable(printDomains),
	"domains:add":     asText(tellDomains),
	"domains:remove":  asText(tellDomains),
	"domains:set":     asText(tellDomains),
	"domains:clear":   asText(tellDomains),
	"domains:reset":   asText(tellDomains),
	"domains:disable": asText(tellDomains),
	"domains:enable":  asText(tellDomains),
}

func tellDomains(c *cli, app string, now verbs.Domains) {
	if hosts := allHosts(now); len(hosts) > 0 {
		c.say("%s answers at %s", app, strings.Join(hosts, ", "))
		return
	}
	c.say("no host points to %s", app)
}

func allHosts(d verbs.Domains) []string {
	hosts := d.Domains
	if d.Default != "" {
		hosts = append([]string{d.Default}, hosts...)
	}
	return hosts
}

func printDomains(t *table, d verbs.Domains) {
	t.row("global", d.Global)
	if d.App == "" {
		return
	}
	t.row("app", d.App)
	if d.Disabled {
		t.row("hosts", "disabled: berth domains:enable "+d.App)
	}
	for i, host := range allHosts(d) {
		if slices.Contains(d.Stripped, host) {
			host += " (the app does not see the path)"
		}
		t.row(label(i, "hosts"), host)
	}
	for i, from := range slices.Sorted(maps.Keys(d.Redirects)) {
		t.row(label(i, "redirects"), from+" to "+d.Redirects[from])
	}
}

// readFile reads a file of whoever asks; - is standard input, and over SSH the
// only one: the files of the machine are not the asker's.
func (c *cli) readFile(name string) (string, error) {
	if name == "-" {
		return readAtMost(c.in, maxStdin)
	}
	if !c.local {
		return "", usage("over SSH berth cannot read your files").Hint("send it on standard input, without the file's name: ssh berth@HOST COMMAND <%s", name)
	}
	file, err := os.Open(name)
	if err != nil {
		return "", usage("%w", err)
	}
	defer file.Close()
	return readAtMost(file, maxStdin)
}
