package deploy

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/berthd/berth/advice"
	"github.com/berthd/berth/fleet"
	"github.com/berthd/berth/fleet/local"
	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
)

// RunOnce runs a one-off command in a fresh container of the live release, with
// its streams attached, and returns its exit code. One word that is the name
// of a process type runs that one's command, as on Heroku.
func (d *Deployer) RunOnce(ctx context.Context, app string, args []string, att runtime.Attachment, by store.User) (int, error) {
	if len(args) == 0 {
		return 0, fault.New(fault.Usage, "E124", "there is no command to run").Hint("berth run %s bash", app)
	}
	record, _, err := d.find(app)
	if err != nil {
		return 0, err
	}
	release, err := d.liveRelease(record)
	if err != nil {
		return 0, err
	}
	cmd := command(record, release, "", "run")
	cmd.Args = args
	if p, found := release.Process(args[0]); found && len(args) == 1 {
		cmd = processCommand(record, release, p, "run")
	}
	d.happened(store.Event{App: app, By: by.Name, Kind: "run", Text: "ran a one-off"})
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(d.life, cancel)()
	var exit runtime.Exit
	for {
		exit, err = d.engine.Attach(ctx, local.Spec(d.spec(record, release, kindOneOff, nil)), runtime.Command(cmd), att)
		if !errors.Is(err, runtime.ErrInterrupted) || ctx.Err() != nil {
			break // else containerd died before the command ran
		}
	}
	if err != nil {
		if errors.Is(err, context.Canceled) {
			return 0, err
		}
		return 0, d.full(fmt.Errorf("run a one-off of %s: %w", app, err))
	}
	if exit.OOM {
		d.sayKilled(app, exit, att)
	}
	return exit.Code, nil
}

// sayKilled tells a one-off's terminal, or its stderr, that the memory limit
// ended it or a child of it: its exit code alone, which is the command's own,
// does not.
func (d *Deployer) sayKilled(app string, exit runtime.Exit, att runtime.Attachment) {
	what := "a process of the command was"
	if fleet.Exit(exit).Killed() {
		what = "the command was"
	}
	f := fault.New(fault.Failed, "E305", "%s killed for %s", what, advice.MemoryLimit(exit.MemoryLimit)).
		Hint("give it more: %s ps:set %s memory 1GB", d.sshCommand(), app)
	w, end := att.Stderr, "\n"
	if att.Terminal {
		w, end = att.Stdout, "\r\n"
	}
	if w == nil {
		return
	}
	for _, line := range f.Lines(0) {
		io.WriteString(w, line+end)
	}
}
