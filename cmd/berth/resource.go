package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/berthd/berth/deploy"
	"github.com/berthd/berth/verbs"
)

var resourceShows = map[string]printer{
	"ps:inspect":             func(c *cli, _ string, raw json.RawMessage) error { return c.printJSON(raw) },
	"resource:report":        asTable(printResources),
	"resource:limit":         asAllotted(),
	"resource:limit-clear":   asAllotted(),
	"resource:reserve":       asAllotted(),
	"resource:reserve-clear": asAllotted(),
}

// asAllotted says what came of a change. Without one it is a report.
func asAllotted() printer {
	return func(c *cli, app string, raw json.RawMessage) error {
		var done verbs.Allotted
		if err := json.Unmarshal(raw, &done); err != nil {
			return fmt.Errorf("read the answer: %w", err)
		}
		if !done.Changed {
			return asTable(printResources)(c, app, raw)
		}
		c.say("set for %s", app)
		if len(done.Now) > 0 {
			c.say("what runs has it already: %s", strings.Join(done.Now, ", "))
		}
		if len(done.Later) > 0 {
			c.say("from the next start of an instance: %s; berth ps:restart %s", strings.Join(done.Later, ", "), app)
		}
		return nil
	}
}

func printResources(t *table, r deploy.ResourceReport) {
	none := func(n int64, text string) string {
		if n == 0 {
			return ""
		}
		return text
	}
	cpu := func(n int64) string { return none(n, strconv.FormatFloat(float64(n)/1000, 'f', -1, 64)) }
	sized := func(n int64) string { return none(n, size(n)) }
	t.header("TYPE", "INSTANCES", "MEMORY", "WITH SWAP", "CPU", "PIDS", "FILES", "SHM", "DISK", "RESERVED", "USED", "PEAK")
	for _, p := range r.Types {
		l := p.Limit
		reserved := strings.TrimSuffix(strings.TrimPrefix(sized(p.Reserve.Memory)+", "+cpu(p.Reserve.CPU)+" CPU", ", "), ",  CPU")
		if p.Reserve.CPU == 0 && p.Reserve.Memory == 0 {
			reserved = ""
		}
		t.row(p.Process, p.Instances, sized(l.Memory), sized(l.Swap), cpu(l.CPU), l.Pids, l.Files, sized(l.Shm), sized(l.Disk), reserved, sized(p.Memory), sized(p.Peak))
	}
}
