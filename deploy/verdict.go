package deploy

import (
	"context"
	"fmt"
	"strings"

	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store/fault"
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
func (d *Deployer) unhealthy(ctx context.Context, i *instance, c *runtime.Container, what string, tried any) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	logs := d.lastLines(i, 15)
	if ended(c) {
		exit := c.Exit(ctx)
		f := fault.New(fault.Failed, "E302", "%s ended before it was healthy: %s", i.name(), describe(exit))
		if len(logs) == 0 {
			f.With("it printed nothing")
		}
		f.With(logs...).Hint("it ran: %s", i.process.Command)
		if i.process.Type == "web" {
			d.adviseEnd(f, i.app.called(), exit)
		} else {
			f.Hint("it has to keep running; for one that ends by itself: %s ps:scale %s %s=0", d.sshCommand(), i.app.called(), i.process.Type)
		}
		d.moreMemory(advise(f, logs, exit), i.app.called(), exit)
		return d.adviseSettings(f, i.app.called(), logs)
	}
	var f *fault.Error
	if t, ok := tried.(tally); ok {
		f = fault.New(fault.Failed, "E301", "%s did not become healthy in %s", i.name(), i.age())
		for _, text := range t.order {
			f.With(fmt.Sprintf("%s : %d x %s", what, t.counts[text], text))
		}
	} else {
		f = fault.New(fault.Failed, "E303", "%s did not %s in %s", i.name(), what, i.age())
		f.Hint("listen on the port that the variable PORT names")
		if i.process.Type == "web" {
			f.Hint("or, if it answers no requests, call it a worker in a Procfile: worker: %s", i.process.Command)
		}
	}
	f.With(logs...)
	return d.adviseSettings(advise(f, logs, runtime.Exit{}), i.app.called(), logs)
}

// describe says how a program ended.
func describe(exit runtime.Exit) string {
	how := fmt.Sprintf("exit code %d", exit.Code)
	switch {
	case exit.Lost:
		return "its container vanished"
	case exit.OOM && killed(exit):
		return how + ", killed for " + memoryLimit(exit.MemoryLimit)
	case exit.OOM && exit.Code != 0:
		return how + ", after a process of it was killed for " + memoryLimit(exit.MemoryLimit)
	case exit.Signal != 0:
		return fmt.Sprintf("killed by signal %d", exit.Signal)
	}
	return how
}

// killed tells whether SIGKILL ended a program, or the child whose end it passes on.
func killed(exit runtime.Exit) bool { return exit.Signal == 9 || exit.Code == 137 }

// memoryLimit names a limit: "the memory limit of 512 MB".
func memoryLimit(bytes int64) string {
	switch {
	case bytes <= 0:
		return "the memory limit"
	case bytes%(1<<30) == 0:
		return fmt.Sprintf("the memory limit of %d GB", bytes>>30)
	}
	return fmt.Sprintf("the memory limit of %d MB", bytes>>20)
}

// moreMemory adds how a limit of the app's own is raised.
func (d *Deployer) moreMemory(f *fault.Error, app string, exit runtime.Exit) *fault.Error {
	if exit.OOM {
		f.Hint("or give it more: %s ps:set %s memory 1GB", d.sshCommand(), app)
	}
	return f
}

// advise adds the hints that follow from what a program printed.
func advise(f *fault.Error, logs []string, exit runtime.Exit) *fault.Error {
	for _, line := range logs {
		adviseModule(f, line)
		if library := missingLibrary(line); library != "" {
			adviseLibrary(f, library)
		}
	}
	switch {
	case exit.OOM:
		f.Hint("let it take less memory")
	case exit.Code == 127:
		f.Hint("the command was not found; is its package in the app's dependencies?")
	}
	return f
}

// tail keeps the end of a short output.
type tail struct{ buf []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.buf = append(t.buf, p...)
	t.buf = t.buf[max(0, len(t.buf)-512):]
	return len(p), nil
}

func (t *tail) last() string { return strings.TrimSpace(string(t.buf)) }
