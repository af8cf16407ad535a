package jobs

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/berthd/berth/advice"
	"github.com/berthd/berth/fleet"
	"github.com/berthd/berth/fleet/formation"
	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// RunOnce runs a one-off command in a fresh container of the live release, with
// its streams attached, and returns its exit code. One word that is the name of
// a process type runs that type's command, as on Heroku.
func (j *Jobs) RunOnce(ctx context.Context, app string, args []string, att runtime.Attachment, by store.User) (int, error) {
	if len(args) == 0 {
		return 0, fault.New(fault.Usage, code.OneOffNoCommand, "there is no command to run").Hint("berth run %s bash", app)
	}
	record, _, err := j.find(app)
	if err != nil {
		return 0, err
	}
	release, err := j.cfg.Apps.Live(record)
	if err != nil {
		return 0, err
	}
	cmd := formation.Command(record, release, "", "run")
	cmd.Args = args
	if p, found := release.Process(args[0]); found && len(args) == 1 {
		cmd = formation.ProcessCommand(record, release, p, "run")
	}
	return j.runOnce(ctx, app, formation.Spec(j.counts(record), release, "one-off", nil), cmd, att, by)
}

// RunBeside runs a one-off command as RunOnce does, with a mount besides those of
// the release, in which it begins.
func (j *Jobs) RunBeside(ctx context.Context, app string, mount fleet.Mount, args []string, att runtime.Attachment, by store.User) (int, error) {
	record, _, err := j.find(app)
	if err != nil {
		return 0, err
	}
	release, err := j.cfg.Apps.Live(record)
	if err != nil {
		return 0, err
	}
	cmd := formation.Command(record, release, "", "run")
	cmd.Args, cmd.Dir = args, mount.Path
	spec := formation.Spec(j.counts(record), release, "one-off", nil)
	spec.Mounts = append(spec.Mounts, mount)
	return j.runOnce(ctx, app, spec, cmd, att, by)
}

// runOnce runs a command in a container of its own.
func (j *Jobs) runOnce(ctx context.Context, app string, spec fleet.Spec, cmd fleet.Command, att runtime.Attachment, by store.User) (int, error) {
	j.cfg.Journal.RecordEvent(store.Event{App: app, By: by.Name, Kind: "run", Text: "ran a one-off command"})
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(j.life, cancel)()
	var exit fleet.Exit
	var err error
	for {
		spec.ID = fleet.NewID()
		exit, err = j.cfg.Engine.Attach(ctx, spec, cmd, att)
		if !errors.Is(err, fleet.ErrInterrupted) || ctx.Err() != nil {
			break // else containerd died before the command ran
		}
	}
	if err != nil {
		if errors.Is(err, context.Canceled) {
			return 0, err
		}
		return 0, fault.ExplainDiskFull(fmt.Errorf("run a one-off of %s: %w", app, err))
	}
	if exit.OOM {
		j.sayKilled(app, exit, att)
	}
	return exit.Code, nil
}

// sayKilled tells a one-off's terminal, or its stderr, that the memory limit
// ended it or a child of it: its exit code alone, which is the command's own,
// does not.
func (j *Jobs) sayKilled(app string, exit fleet.Exit, att runtime.Attachment) {
	what := "a process of the command was"
	if exit.Killed() {
		what = "the command was"
	}
	f := fault.New(fault.Failed, code.OneOffKilled, "%s killed for %s", what, advice.MemoryLimit(exit.MemoryLimit)).
		Hint("raise the limit: %s ps:set %s memory 1GB", j.cfg.SSHCommand(), app)
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
