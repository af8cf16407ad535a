package deploy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/berthd/berth/advice"
	"github.com/berthd/berth/build"
	"github.com/berthd/berth/build/progress"
	"github.com/berthd/berth/buildpacks/appjson"
	"github.com/berthd/berth/deploy/logs"
	"github.com/berthd/berth/fleet"
	"github.com/berthd/berth/fleet/formation"
	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/runtime/logline"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
	"github.com/berthd/berth/units"
)

// What an app wants run around a release, in the order in which it is run. Each
// is a source of log lines of its own.
//
//	predeploy    in the built image; what it changes below /app stays in it
//	release      the Procfile's release command, with the release's config
//	             (started, healthy, swapped)
//	postdeploy   when the release serves
//
// What fails before the swap fails the release and leaves the one that serves
// as it is; postdeploy comes too late for that, and its failure is a warning.
// A change of config is a release, so release is run for it, as on Heroku;
// predeploy and postdeploy belong to a push.
const (
	phasePredeploy  = "predeploy"
	phaseRelease    = "release"
	phasePostdeploy = "postdeploy"
)

// phaseTimeout is the longest that a phase may take: Heroku's hour.
const phaseTimeout = time.Hour

const kindPhase = "phase"

// phases runs what an app wants run around a release.
type phases struct {
	*turns
	boxes fleet.Host
	logs  *logs.Book
	ssh   func() string
}

// isPhase tells the log lines of phases from those of the formation, whose
// sources have a number.
func isPhase(source string) bool {
	return source == phasePredeploy || source == phaseRelease || source == phasePostdeploy
}

// predeploy runs app.json's predeploy command in what was built, and keeps what it
// has changed as a layer on top. It is run for every push, whether anything has
// changed or not, as on Dokku: it may do more than write files.
func (d *phases) predeploy(ctx context.Context, record store.App, release *store.Release, made *build.Built, out *progress.Report) error {
	script := made.Plan.Manifest.Scripts.Predeploy
	if script == "" {
		return nil
	}
	if err := made.AddSource(); err != nil {
		return err
	}
	leave, err := made.Place(ctx, out)
	if err != nil {
		return err
	}
	defer leave()
	err = d.inPhase(ctx, *release, phasePredeploy, script, out, func(ctx context.Context) error {
		log, err := d.openLog(record.ID(), release.Number, phasePredeploy)
		if err != nil {
			return err
		}
		defer log.file.Close()
		err = made.Extend(ctx, phasePredeploy, runtime.Command(formation.Command(record, *release, script, phasePredeploy)), io.MultiWriter(out, log))
		if failed, ok := errors.AsType[*runtime.CommandError](err); ok {
			return phaseFault(d.ssh(), record.Name, code.PredeployFailed, phasePredeploy, script, fleet.Exit(failed.Exit), failed.Tail)
		}
		return err
	})
	if err != nil {
		return err
	}
	release.Layer, release.Base = made.Image.Top, made.Image.Base
	return nil
}

// release runs the Procfile's release command.
func (d *phases) release(ctx context.Context, record store.App, release store.Release, layered func() error, out *progress.Report) error {
	p, found := release.Process(phaseRelease)
	if !found {
		return nil
	}
	if layered != nil {
		if err := layered(); err != nil {
			return err
		}
	}
	return d.inPhase(ctx, release, phaseRelease, p.Command, out, func(ctx context.Context) error {
		return d.run(ctx, record, release, code.ReleasePhaseFailed, phaseRelease, p.Command, out)
	})
}

// postdeploy runs what app.json wants run when a release serves. A failure does
// not undo the deploy: it is kept for the push's last word.
func (d *phases) postdeploy(ctx context.Context, record store.App, release store.Release, scripts appjson.Scripts, out *progress.Report) {
	wanted := []string{scripts.Postdeploy}
	if record.Release == 0 { // nothing served before
		wanted = []string{scripts.FirstPostdeploy, scripts.Postdeploy}
	}
	for _, script := range wanted {
		if script == "" {
			continue
		}
		err := d.inPhase(ctx, release, phasePostdeploy, script, out, func(ctx context.Context) error {
			return d.run(ctx, record, release, code.PostdeployFailed, phasePostdeploy, script, out)
		})
		if err == nil {
			continue
		}
		f := fault.From(err)
		if errors.Is(err, context.Canceled) {
			f = fault.New(fault.Failed, code.PostdeployFailed, "%s was %s", phasePostdeploy, progress.Reason(err))
		}
		if f == nil {
			f = fault.New(fault.Failed, code.PostdeployFailed, "%s could not be run (ref %s)", phasePostdeploy, d.logInternal(err))
		}
		out.Warn(f.Error(),
			fmt.Sprintf("v%d is live anyway; see %s logs %s --ps %s", release.Number, d.ssh(), record.Name, phasePostdeploy))
	}
}

// inPhase says what is run, times it and remembers how it ended.
func (d *phases) inPhase(ctx context.Context, release store.Release, name, script string, out *progress.Report, work func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, phaseTimeout,
		fault.New(fault.Timeout, code.PhaseTimeout, "%s took longer than %s", name, units.Duration(phaseTimeout)))
	defer cancel()
	out.Step("Run", "%s", progress.Clip(name+": "+progress.OneLine(script), progress.Columns-len("-----> Run      ")))
	began := time.Now()
	err := out.Timed(name, func() error { return work(ctx) })
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause
	}
	err = fault.ExplainDiskFull(err)
	e := store.Event{App: release.App, By: release.CreatedBy, Kind: name}
	if err != nil {
		e.Text = fmt.Sprintf("v%d: %s", release.Number, progress.Reason(err))
	} else {
		out.Detail("%s succeeded in %s", name, progress.Seconds(time.Since(began)))
		e.Text = fmt.Sprintf("v%d: succeeded in %s", release.Number, progress.Seconds(time.Since(began)))
	}
	d.recordEvent(e)
	return err
}

// run runs a command in a container of the release, with its config and
// limits, and copies its output to out.
func (d *phases) run(ctx context.Context, record store.App, release store.Release, code, name, script string, out *progress.Report) error {
	spec, c, err := fleet.Create(ctx, d.boxes, func() fleet.Spec {
		spec := formation.Spec(d.counts(record), release, kindPhase, map[string]string{labelRelease: strconv.Itoa(release.Number), labelProcess: name})
		spec.LogFile = d.logs.Path(record.ID(), release.Number, name, spec.ID)
		return spec
	})
	if err != nil {
		return fmt.Errorf("make the container of %s: %w", name, err)
	}
	defer d.background(func(context.Context) { d.fleet.Remove(c) })
	if err := c.Launch(ctx, formation.Command(record, release, script, name)); err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	followed := follow(ctx, spec.LogFile, out)
	select {
	case <-c.Done():
	case <-ctx.Done():
		d.warn("a phase did not stop", c.Stop(context.WithoutCancel(ctx), fleet.StopGrace), "app", record.Name, "phase", name)
	}
	followed()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	exit := c.Exit(ctx)
	if exit.Code == 0 && !exit.Lost {
		return nil
	}
	d.logs.Note(d.app(record).fleet, release.Number, name, "failed: "+exit.String())
	lines, err := runtime.ReadLog(spec.LogFile, evidenceLines)
	d.warn("the log of a phase cannot be read", err, "app", record.Name, "phase", name)
	var last []string
	for _, l := range lines {
		last = append(last, l.Text)
	}
	return fleet.MoreMemory(phaseFault(d.ssh(), record.Name, code, name, script, exit, last), d.ssh(), record.Name, "", exit)
}

// evidenceLines is how much of an output a failure shows.
const evidenceLines = 15

// phaseFault says how a command of the app's failed, with the end of what it
// printed.
func phaseFault(ssh string, app, code, name, script string, exit fleet.Exit, last []string) *fault.Error {
	f := fault.New(fault.Failed, code, "%s failed: %s", name, exit)
	f.With("it ran: " + progress.Clip(progress.OneLine(script), 200))
	lines := build.Quoted(last)
	if len(lines) == 0 {
		lines = append(lines, "it printed nothing")
	}
	return advice.Settings(advice.Give(f.With(lines...), lines, exit), ssh, app, lines)
}

// follow copies the lines of a log to out until the function that it returns
// is called, which waits for the last of them.
func follow(ctx context.Context, name string, out *progress.Report) (end func()) {
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	var copying sync.WaitGroup
	copying.Go(func() {
		runtime.FollowLog(ctx, name, time.Unix(1, 0), func(l runtime.LogLine) error {
			fmt.Fprintln(out, l.Text)
			return nil
		})
	})
	return func() {
		time.AfterFunc(runtime.LogSettles, stop)
		copying.Wait()
	}
}

// phaseLog is the log of a phase that is not a container of its own. It has the
// format of the others, and goes no further than one file of theirs.
type phaseLog struct {
	file *os.File
	size int
	last time.Time
}

func (d *phases) openLog(id string, release int, phase string) (*phaseLog, error) {
	name := d.logs.Path(id, release, phase, runtime.NewID())
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return nil, fmt.Errorf("make the directory of logs: %w", err)
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the log of %s: %w", phase, err)
	}
	return &phaseLog{file: f}, nil
}

// Write takes whole lines, as a build gives them. It never fails: a full disk
// costs lines of the log, not the phase.
func (l *phaseLog) Write(p []byte) (int, error) {
	at := time.Now().UTC()
	if !at.After(l.last) {
		at = l.last.Add(1) // times rise from line to line
	}
	l.last = at
	if l.size < logline.FileSize {
		n, _ := l.file.Write(logline.Append(nil, at, logline.Stdout, bytes.TrimSuffix(p, []byte("\n"))))
		l.size += n
	}
	return len(p), nil
}

// moveLogs gives the logs of a phase to another release than the one that
// they were begun for.
func (d *phases) moveLogs(id, phase string, from, to int) error {
	if from == to {
		return nil
	}
	logs, err := filepath.Glob(filepath.Join(d.logs.Dir(id, from), phase+".*"))
	if err != nil || len(logs) == 0 {
		return err
	}
	if err := os.MkdirAll(d.logs.Dir(id, to), 0o700); err != nil {
		return err
	}
	for _, log := range logs {
		if err := os.Rename(log, filepath.Join(d.logs.Dir(id, to), filepath.Base(log))); err != nil {
			return err
		}
	}
	return nil
}
