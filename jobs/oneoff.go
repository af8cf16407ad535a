package jobs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/berthd/berth/advice"
	"github.com/berthd/berth/fleet"
	"github.com/berthd/berth/fleet/formation"
	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
	"github.com/berthd/berth/units"
)

const (
	// OneOffSource is what the sources of one-offs begin with in logs: "run.12".
	OneOffSource = "run"

	kindOneOff  = "one-off" // of containers
	labelOneOff = "berth.oneoff"

	// UsualTTL is how long a detached one-off may run, and MaxTTL the longest that
	// can be asked for. One that is attached ends with whoever waits for it.
	UsualTTL = 24 * time.Hour
	MaxTTL   = 7 * 24 * time.Hour
)

// OneOffOptions say how a command is run.
type OneOffOptions struct {
	Args []string
	Env  []string      // NAME=value, over the release's config
	TTL  time.Duration // how long it may run; 0 is the usual
}

// oneOff is one that goes on.
type oneOff struct {
	store.OneOff
	cancel    context.CancelCauseFunc
	ended     chan struct{}
	container string // of a detached one
}

// Why a one-off is ended before its time.
var (
	errTTL     = errors.New("its time to live ended")
	errStopped = errors.New("it was stopped")
)

// RunOnce runs a one-off command in a fresh container of the live release, with
// its streams attached, and returns its exit code. One word that is the name
// of a process type runs that one's command, as on Heroku.
func (j *Jobs) RunOnce(ctx context.Context, app string, o OneOffOptions, att runtime.Attachment, by store.User) (int, error) {
	return j.runOnce(ctx, app, o, nil, att, by)
}

// RunBeside runs a one-off command as RunOnce does, with a mount besides those of
// the release, in which it begins.
func (j *Jobs) RunBeside(ctx context.Context, app string, mount fleet.Mount, args []string, att runtime.Attachment, by store.User) (int, error) {
	return j.runOnce(ctx, app, OneOffOptions{Args: args}, &mount, att, by)
}

// runOnce runs a command in a container of its own; mount may be nil.
func (j *Jobs) runOnce(ctx context.Context, app string, o OneOffOptions, mount *fleet.Mount, att runtime.Attachment, by store.User) (int, error) {
	record, release, a, err := j.oneOffOf(app, o)
	if err != nil {
		return 0, err
	}
	kept, err := j.lastOneOff(app)
	if err != nil {
		return 0, err
	}
	ctx, one, err := a.beginOneOff(ctx, store.OneOff{Release: release.Number, Command: o.Args, By: by.Name, TTL: int(o.TTL / time.Second)}, kept)
	if err != nil {
		return 0, err
	}
	defer a.endOneOff(one)
	cmd, spec := oneOffCommand(record, release, o, one.Number), formation.Spec(j.counts(record), release, kindOneOff, nil)
	if mount != nil {
		cmd.Args, cmd.Dir = o.Args, mount.Path
		spec.Mounts = append(spec.Mounts, *mount)
	}
	j.cfg.Journal.RecordEvent(store.Event{App: app, By: by.Name, Kind: "run", Text: "ran a one-off command"})
	defer context.AfterFunc(j.life, func() { one.cancel(context.Canceled) })()
	if o.TTL > 0 {
		defer time.AfterFunc(o.TTL, func() { one.cancel(errTTL) }).Stop()
	}
	var exit fleet.Exit
	for {
		spec.ID = fleet.NewID()
		exit, err = j.cfg.Engine.Attach(ctx, spec, cmd, att)
		if !errors.Is(err, fleet.ErrInterrupted) || ctx.Err() != nil {
			break // else containerd died before the command ran
		}
	}
	switch cause := context.Cause(ctx); {
	case err == nil:
	case errors.Is(cause, errTTL):
		return 0, fault.New(fault.Timeout, code.OneOffTimedOut, "the command was ended after %s", units.Duration(o.TTL)).
			Hint("%s run --ttl-seconds N gives it more time", j.cfg.SSHCommand())
	case errors.Is(cause, errStopped), errors.Is(cause, errDestroyed):
		return 137, nil // as it would end by SIGKILL from elsewhere
	case errors.Is(err, context.Canceled):
		return 0, err
	default:
		return 0, fault.ExplainDiskFull(fmt.Errorf("run a one-off of %s: %w", app, err))
	}
	if exit.OOM {
		j.sayKilled(app, exit, att)
	}
	return exit.Code, nil
}

// oneOffOf finds what a one-off is run of, and checks how it is asked for.
func (j *Jobs) oneOffOf(app string, o OneOffOptions) (record store.App, release store.Release, a *app, err error) {
	if len(o.Args) == 0 {
		return record, release, nil, fault.New(fault.Usage, code.OneOffNoCommand, "there is no command to run").Hint("berth run %s bash", app)
	}
	if o.TTL < 0 || o.TTL > MaxTTL || o.TTL > 0 && o.TTL < time.Second {
		return record, release, nil, fault.New(fault.Usage, code.OneOffInvalid, "a one-off command may run for 1 to %d seconds", int(MaxTTL.Seconds())).
			Hint("--ttl-seconds 3600 is an hour")
	}
	for _, kv := range o.Env {
		name, value, ok := strings.Cut(kv, "=")
		if !ok {
			return record, release, nil, fault.New(fault.Usage, code.OneOffInvalid, "%.60q sets no variable", name).Hint("write it as NAME=VALUE: --env COLOR=blue")
		}
		if err := store.ValidConfig(name, value); err != nil {
			return record, release, nil, err
		}
	}
	if record, a, err = j.find(app); err != nil {
		return record, release, a, err
	}
	release, err = j.cfg.Apps.Live(record)
	return record, release, a, err
}

// oneOffCommand is what a one-off runs.
func oneOffCommand(record store.App, release store.Release, o OneOffOptions, number int) fleet.Command {
	name := oneOffSource(number)
	cmd := formation.Command(record, release, "", name)
	cmd.Args = o.Args
	if p, found := release.Process(o.Args[0]); found && len(o.Args) == 1 {
		cmd = formation.ProcessCommand(record, release, p, name)
	}
	cmd.Env = append(slices.Clone(cmd.Env), o.Env...)
	return cmd
}

func oneOffSource(number int) string { return store.OneOff{Number: number}.Source() }

// beginOneOff lets a one-off begin, unless there are too many. kept is the number
// of the last that is kept in the store. The context that it returns ends with
// the one-off's cancel.
func (a *app) beginOneOff(ctx context.Context, o store.OneOff, kept int) (context.Context, *oneOff, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.gone {
		return ctx, nil, errDestroyed
	}
	if len(a.oneOffs) >= store.MaxOneOffs {
		return ctx, nil, fault.New(fault.Conflict, code.OneOffsFull, "%d one-off commands of %s are running; that is the maximum", len(a.oneOffs), a.called()).
			Hint("berth run:list %s shows them, berth run:stop ends one", a.called())
	}
	if o.Number == 0 {
		a.last = max(a.last, kept) + 1
		o.Number = a.last
	}
	o.State, o.StartedAt = store.OneOffRunning, time.Now().UTC()
	one := &oneOff{OneOff: o, ended: make(chan struct{})}
	ctx, one.cancel = context.WithCancelCause(ctx)
	a.oneOffs[o.Number] = one
	return ctx, one, nil
}

func (a *app) endOneOff(one *oneOff) {
	one.cancel(nil)
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.oneOffs, one.Number)
	close(one.ended)
}

// RunDetached starts a one-off that goes on when whoever asked has left, and when
// berth is restarted. Its output goes to the logs.
func (j *Jobs) RunDetached(ctx context.Context, app string, o OneOffOptions, by store.User) (store.OneOff, error) {
	if err := j.cfg.Ready(ctx); err != nil {
		return store.OneOff{}, err
	}
	o.TTL = cmp.Or(o.TTL, UsualTTL)
	record, release, a, err := j.oneOffOf(app, o)
	if err != nil {
		return store.OneOff{}, err
	}
	kept, err := j.lastOneOff(app)
	if err != nil {
		return store.OneOff{}, err
	}
	began := store.OneOff{App: app, Detached: true, Release: release.Number, Command: o.Args, By: by.Name, TTL: int(o.TTL / time.Second)}
	ctx, cancel := j.detached(ctx)
	ctx, one, err := a.beginOneOff(ctx, began, kept)
	if err != nil {
		cancel()
		return store.OneOff{}, err
	}
	end := func() {
		a.endOneOff(one)
		cancel()
	}
	err = j.db.Update(func(tx *store.Tx) error {
		e := store.Event{Time: time.Now().UTC(), App: app, By: by.Name, Kind: "run", Text: fmt.Sprintf("started the detached one-off command %d", one.Number)}
		return errors.Join(tx.OneOffs.Put(one.OneOff), tx.AddEvent(e))
	})
	if err != nil {
		end()
		return store.OneOff{}, fault.ExplainDiskFull(err)
	}
	j.cfg.Logs.Trim(a.ref(), release.Number, OneOffSource)
	_, c, err := j.launch(ctx, func() fleet.Spec {
		spec := formation.Spec(j.counts(record), release, kindOneOff, map[string]string{
			fleet.LabelRelease: strconv.Itoa(release.Number), labelOneOff: strconv.Itoa(one.Number),
		})
		spec.LogFile = j.cfg.Logs.File(a.ref(), release.Number, oneOffSource(one.Number), spec.ID)
		return spec
	}, oneOffCommand(record, release, o, one.Number))
	if err != nil {
		defer end()
		if j.life.Err() == nil {
			if ctx.Err() != nil {
				err = context.Cause(ctx)
			}
			j.keepOneOff(a, one.OneOff, fleet.Exit{}, err)
		}
		return store.OneOff{}, fault.ExplainDiskFull(fmt.Errorf("start the one-off: %w", err))
	}
	a.mu.Lock()
	one.container = c.About().ID
	a.mu.Unlock()
	j.cfg.Journal.Changed(app)
	if !j.cfg.Background(func(context.Context) { j.awaitOneOff(ctx, a, one, c); cancel() }) {
		end() // berth ends; the next start takes it back
	}
	return named(app, one.OneOff), nil
}

// lastOneOff returns the number of the last one-off of an app that is kept.
func (j *Jobs) lastOneOff(app string) (number int, err error) {
	err = j.db.View(func(tx *store.Tx) error {
		all, err := tx.OneOffs.Of(app)
		for _, o := range all {
			number = max(number, o.Number)
		}
		return err
	})
	return number, err
}

// named gives a one-off the name that it has while the app is called so.
func named(app string, o store.OneOff) store.OneOff {
	o.App, o.Name = app, fmt.Sprintf("%s.%s.%d", app, OneOffSource, o.Number)
	return o
}

// awaitOneOff waits for a detached one-off to end and records how it did.
func (j *Jobs) awaitOneOff(ctx context.Context, a *app, one *oneOff, c fleet.Container) {
	defer a.endOneOff(one)
	ttl := time.NewTimer(time.Until(one.StartedAt.Add(time.Duration(one.TTL) * time.Second)))
	defer ttl.Stop()
	var err error
	select {
	case <-c.Done():
	case <-ttl.C:
		err = errTTL
	case <-ctx.Done():
		if err = context.Cause(ctx); !errors.Is(err, errStopped) && !errors.Is(err, errDestroyed) && !errors.Is(err, errTTL) {
			return // berth is ending; it goes on and is taken back
		}
	}
	ctx = context.WithoutCancel(ctx)
	j.warn("a one-off did not stop", c.Stop(ctx, fleet.StopGrace), "app", a.called(), "number", one.Number)
	o := j.keepOneOff(a, one.OneOff, c.Exit(ctx), err)
	if o.Error != "" {
		j.cfg.Logs.Note(a.fleet, o.Release, oneOffSource(o.Number), string(o.State)+": "+o.Error)
	}
	j.cfg.Fleet.Remove(c)
}

// keepOneOff records how a detached one-off ended.
func (j *Jobs) keepOneOff(a *app, o store.OneOff, exit fleet.Exit, err error) store.OneOff {
	o.FinishedAt, o.ExitCode, o.State = time.Now().UTC(), exit.Code, store.OneOffOK
	if !exit.At.IsZero() {
		o.FinishedAt = exit.At.UTC()
	}
	switch {
	case err != nil:
		o.Error = err.Error()
	case exit.OOM && exit.Code != 0, exit.Lost:
		o.Error = exit.String()
	}
	if o.Error != "" && o.ExitCode == 0 {
		o.ExitCode = 1
	}
	switch {
	case errors.Is(err, errTTL):
		o.State = store.OneOffTimedOut
	case errors.Is(err, errStopped):
		o.State = store.OneOffStopped
	case o.ExitCode != 0:
		o.State = store.OneOffFailed
	}
	failed := j.db.Update(func(tx *store.Tx) error {
		name, err := nameNow(tx, a)
		if err != nil || name == "" {
			return err
		}
		o.App = name
		return tx.OneOffs.Put(o)
	})
	j.warn("the end of a one-off was not recorded", failed, "app", o.App, "number", o.Number)
	j.cfg.Journal.Changed(o.App)
	return o
}

// OneOffOf returns the number of the detached one-off that a container is for, or
// is false for other containers. It goes on, or nobody has seen its end.
func OneOffOf(c fleet.Container) (number int, is bool) {
	labels := c.About().Labels
	number, err := strconv.Atoi(labels[labelOneOff])
	return number, err == nil && labels[fleet.LabelKind] == kindOneOff && c.Launched()
}

func (j *Jobs) adoptOneOff(record store.App, c fleet.Container, number int) {
	a := j.app(j.cfg.Apps.Running(record))
	var all []store.OneOff
	err := j.db.View(func(tx *store.Tx) (err error) {
		all, err = tx.OneOffs.Of(record.Name)
		return err
	})
	j.warn("the record of a one-off cannot be read", err, "app", record.Name, "number", number)
	n := slices.IndexFunc(all, func(o store.OneOff) bool { return o.Number == number && o.State == store.OneOffRunning })
	if n < 0 {
		j.cfg.Background(func(context.Context) { j.cfg.Fleet.Remove(c) })
		return
	}
	began := all[n].StartedAt
	ctx, one, err := a.beginOneOff(j.life, all[n], 0)
	if err != nil {
		j.warn("a one-off was not taken back", err, "app", record.Name, "number", number)
		j.cfg.Background(func(context.Context) { j.cfg.Fleet.Remove(c) })
		return
	}
	a.mu.Lock()
	one.StartedAt, one.container = began, c.About().ID
	a.mu.Unlock()
	j.cfg.Background(func(context.Context) { j.awaitOneOff(ctx, a, one, c) })
}

// OneOffs lists the one-offs of an app: those that run, and with all the detached
// ones that are remembered, the newest first.
func (j *Jobs) OneOffs(_ context.Context, app string, all bool) (list []store.OneOff, err error) {
	record, a, err := j.find(app)
	if err != nil {
		return nil, err
	}
	var kept []store.OneOff
	err = j.db.View(func(tx *store.Tx) error {
		kept, err = tx.OneOffs.Of(app)
		return err
	})
	if err != nil {
		return nil, err
	}
	if !all { // a start of berth may not have taken back all that run
		kept = slices.DeleteFunc(kept, func(o store.OneOff) bool { return o.State != store.OneOffRunning })
	}
	a.mu.Lock()
	running := slices.Collect(maps.Values(a.oneOffs))
	for _, one := range running {
		list = append(list, named(record.Name, one.OneOff))
	}
	a.mu.Unlock()
	for _, o := range kept {
		if !slices.ContainsFunc(list, func(other store.OneOff) bool { return other.Number == o.Number && other.Detached }) {
			list = append(list, named(record.Name, o))
		}
	}
	slices.SortFunc(list, func(x, y store.OneOff) int { return y.StartedAt.Compare(x.StartedAt) })
	return list, nil
}

// OneOff returns one of an app, which runs or is remembered, by its name
// ("shop.run.12", "run.12", "12").
func (j *Jobs) OneOff(ctx context.Context, app, name string) (store.OneOff, error) {
	all, err := j.OneOffs(ctx, app, true)
	if err != nil {
		return store.OneOff{}, err
	}
	short := strings.TrimPrefix(strings.TrimPrefix(name, app+"."), OneOffSource+".")
	for _, o := range all {
		if strconv.Itoa(o.Number) == short {
			return o, nil
		}
	}
	return store.OneOff{}, fault.New(fault.NotFound, code.OneOffUnknown, "%s has no one-off command %.60q", app, name).
		Hint("berth run:list %s --all lists them", app)
}

// StopOneOffs ends a one-off of an app that runs, or with "" all of them, and
// waits for their end. It returns those that it ended.
func (j *Jobs) StopOneOffs(ctx context.Context, app, name string, by store.User) ([]store.OneOff, error) {
	if name != "" {
		o, err := j.OneOff(ctx, app, name)
		if err != nil {
			return nil, err
		}
		name = strconv.Itoa(o.Number)
	}
	return j.stopOneOffs(ctx, app, errStopped, func(o store.OneOff) bool { return name == "" || strconv.Itoa(o.Number) == name }, by)
}

// RetireOneOffs ends the detached one-offs of an app whose time to live is over.
// They are ended without being asked for too.
func (j *Jobs) RetireOneOffs(ctx context.Context, app string, by store.User) ([]store.OneOff, error) {
	return j.stopOneOffs(ctx, app, errTTL, func(o store.OneOff) bool {
		return o.TTL > 0 && time.Since(o.StartedAt) > time.Duration(o.TTL)*time.Second
	}, by)
}

func (j *Jobs) stopOneOffs(ctx context.Context, app string, why error, which func(store.OneOff) bool, by store.User) (ended []store.OneOff, err error) {
	if err := j.cfg.Ready(ctx); err != nil {
		return nil, err
	}
	record, a, err := j.find(app)
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	running := slices.DeleteFunc(slices.Collect(maps.Values(a.oneOffs)), func(one *oneOff) bool { return !which(one.OneOff) })
	a.mu.Unlock()
	for _, one := range running {
		one.cancel(why)
	}
	for _, one := range running {
		select {
		case <-one.ended:
			ended = append(ended, named(record.Name, one.OneOff))
		case <-ctx.Done():
			return ended, ctx.Err()
		}
	}
	if len(ended) > 0 && why == errStopped {
		j.cfg.Journal.RecordEvent(store.Event{App: app, By: by.Name, Kind: "run", Text: fmt.Sprintf("stopped %d one-off commands", len(ended))})
	}
	slices.SortFunc(ended, func(x, y store.OneOff) int { return x.Number - y.Number })
	return ended, nil
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
		Hint("raise the limit: %s", fleet.RaiseMemory(j.cfg.SSHCommand(), app, "", exit.MemoryLimit))
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
