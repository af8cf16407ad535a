package jobs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/berthd/berth/fleet"
	"github.com/berthd/berth/fleet/formation"
	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// maxEntered is how many commands may run in the instances of an app at once,
// beside those of its health checks.
const maxEntered = 10

// EnterOptions say where and what is run.
type EnterOptions struct {
	Instance  string // "web.1", "web" for the first of them, "run.12"; "" is the first that requests go to
	Container string // the id of an instance's container or how it begins, in the place of Instance
	Args      []string
}

// Enter runs a command in an instance that runs, with its streams attached, and
// returns its exit code. No command is a shell.
func (j *Jobs) Enter(ctx context.Context, app string, o EnterOptions, att runtime.Attachment, by store.User) (int, error) {
	record, a, err := j.find(app)
	if err != nil {
		return 0, err
	}
	release, err := j.cfg.Apps.Live(record)
	if err != nil {
		return 0, err
	}
	name, container, err := a.whereToEnter(ctx, app, o)
	if err != nil {
		return 0, err
	}
	a.mu.Lock()
	full := a.entered >= maxEntered
	if !full {
		a.entered++
	}
	a.mu.Unlock()
	if full {
		return 0, fault.New(fault.Conflict, code.EntersFull, "%d commands that were started by enter run in %s; that is the maximum", maxEntered, app).
			Hint("end one of them, or run the command in a container of its own: berth run %s COMMAND", app)
	}
	defer func() {
		a.mu.Lock()
		a.entered--
		a.mu.Unlock()
	}()
	cmd := formation.Command(record, release, "", name)
	switch {
	case len(o.Args) > 0:
		cmd.Args = o.Args
	case release.Image != nil:
		cmd.Args = []string{"/bin/sh"}
	default:
		cmd.Args = []string{"/bin/bash"}
	}
	j.cfg.Journal.RecordEvent(store.Event{App: app, By: by.Name, Kind: "run", Text: "entered " + name})
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(j.life, cancel)()
	exit, err := j.cfg.Engine.Enter(ctx, container, cmd, att)
	switch {
	case err == nil:
		return exit.Code, nil
	case errors.Is(err, fleet.ErrEnded):
		return 0, fault.New(fault.Conflict, code.EnterEnded, "%s of %s ended, and the command in it with it", name, app).
			Hint("%s ps:report %s shows what runs now", j.cfg.SSHCommand(), app)
	case errors.Is(err, context.Canceled):
		return 0, err
	}
	if _, why, there := strings.Cut(err.Error(), "exec failed: "); there { // runc's words for a program that is not there
		return 0, fault.New(fault.Usage, code.OneOffInvalid, "%.60q cannot be run in %s: %.200s", cmd.Args[0], name, why)
	}
	return 0, fmt.Errorf("enter %s of %s: %w", name, app, err)
}

// whereToEnter finds the container that is meant.
func (a *app) whereToEnter(ctx context.Context, app string, o EnterOptions) (name, container string, err error) {
	instances := slices.DeleteFunc(a.fleet.Instances(ctx), func(i fleet.Instance) bool {
		return i.Container == "" || i.State != fleet.Up && i.State != fleet.Starting
	})
	a.mu.Lock()
	for _, one := range a.oneOffs {
		if one.container != "" {
			instances = append(instances, fleet.Instance{Name: oneOffSource(one.Number), Process: OneOffSource, Container: one.container})
		}
	}
	a.mu.Unlock()
	none := func(format string, args ...any) *fault.Error {
		f := fault.New(fault.NotFound, code.EnterNoInstance, format, args...)
		var names []string
		for _, i := range instances {
			names = append(names, i.Name)
		}
		if len(names) == 0 {
			return f.Hint("berth run %s COMMAND runs a command in a container of its own", app)
		}
		return f.Hint("these run: %s", strings.Join(names, ", "))
	}
	word := strings.TrimPrefix(o.Instance, app+".")
	for _, i := range instances {
		switch {
		case o.Container != "":
			if len(o.Container) >= 6 && strings.HasPrefix(i.Container, o.Container) {
				return i.Name, i.Container, nil
			}
		case word == i.Name, word == i.Process && word != OneOffSource:
			return i.Name, i.Container, nil
		}
	}
	switch {
	case o.Container != "":
		return "", "", none("%s has no running container %.40q", app, o.Container)
	case word != "":
		return "", "", none("%s has no running instance %.40q", app, o.Instance)
	}
	for _, i := range instances {
		if i.Process == "web" || len(instances) == 1 {
			return i.Name, i.Container, nil
		}
	}
	if len(instances) == 0 {
		return "", "", none("%s has no running instance", app)
	}
	return "", "", none("%s has no web process, so the instance must be named", app)
}
