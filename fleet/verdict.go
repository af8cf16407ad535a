package fleet

import (
	"context"
	"fmt"
	"strings"

	"github.com/berthd/berth/advice"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
	"github.com/berthd/berth/units"
)

// tally counts what went wrong, so that a hundred refused connections are one line.
type tally struct {
	order  []string
	counts map[string]int
}

func (t *tally) add(err error) {
	text := err.Error()
	if t.counts == nil {
		t.counts = map[string]int{}
	}
	if t.counts[text]++; t.counts[text] == 1 {
		t.order = append(t.order, text)
	}
}

// unhealthy says why an instance is not healthy: it ended (E302), it listens
// nowhere (E303), or it does not answer as it should (E301).
func (i *instance) unhealthy(ctx context.Context, c Container, what string, tried any) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	ssh, app, logs := i.fleet().cfg.SSHCommand(), i.app.Name(), i.lastLines(15)
	if Ended(c) {
		exit := c.Exit(ctx)
		f := fault.New(fault.Failed, code.InstanceEnded, "%s ended before it was healthy: %s", i.name(), exit)
		if len(logs) == 0 {
			f.With("it printed nothing")
		}
		f.With(logs...).Hint("it ran: %s", i.process.Command)
		if i.process.Type == "web" {
			adviseEnd(f, ssh, app, exit)
		} else {
			f.Hint("it has to keep running; if it is meant to end: %s ps:scale %s %s=0", ssh, app, i.process.Type)
		}
		MoreMemory(advice.Give(f, logs, exit), ssh, app, i.process.Type, exit)
		return advice.Settings(f, ssh, app, logs)
	}
	var f *fault.Error
	if t, ok := tried.(tally); ok {
		f = fault.New(fault.Failed, code.InstanceUnhealthy, "%s did not become healthy in %s", i.name(), units.Elapsed(i.age()))
		for _, text := range t.order {
			f.With(fmt.Sprintf("%s : %d x %s", what, t.counts[text], text))
		}
	} else {
		f = fault.New(fault.Failed, code.InstanceNotListening, "%s did not %s in %s", i.name(), what, units.Elapsed(i.age()))
		f.Hint("listen on the port in the variable PORT")
		if i.process.Type == "web" {
			f.Hint("or, if it answers no requests, make it a worker in a Procfile: worker: %s", i.process.Command)
		}
	}
	f.With(logs...)
	return advice.Settings(advice.Give(f, logs, Exit{}), ssh, app, logs)
}

// adviseEnd says what to do about a web process that ended without an error.
func adviseEnd(f *fault.Error, ssh, app string, exit Exit) {
	if exit.Code != 0 || exit.Signal != 0 || exit.Lost || exit.OOM {
		return
	}
	f.Hint("it ended without an error: web has to stay in the foreground and listen on $PORT")
	f.Hint("a command that ends belongs in cron, in a release line of the Procfile, or in %s run %s COMMAND", ssh, app)
}

// tail keeps the end of a short output.
type tail struct{ buf []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.buf = append(t.buf, p...)
	t.buf = t.buf[max(0, len(t.buf)-512):]
	return len(p), nil
}

func (t *tail) last() string { return strings.TrimSpace(string(t.buf)) }
