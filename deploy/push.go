package deploy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/berthd/berth/build"
	"github.com/berthd/berth/build/progress"
	"github.com/berthd/berth/buildpacks/plan"
	"github.com/berthd/berth/edge"
	"github.com/berthd/berth/git"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// Push is one push of a commit to the deploy branch, or of refs that deploy
// nothing.
type Push struct {
	App    string
	UID    int // the app's: another app may get the name meanwhile. 0 is any
	Branch string
	Commit string         // "" deploys nothing
	Repo   git.Repository // sees the pushed objects
	By     store.User
	Out    io.Writer // progress and, on failure, the whole error text

	// Turn is the push's turn at the app; nil waits for one.
	Turn *Turn

	// Accept moves the refs, once the commit is live. Nobody renames or destroys
	// the app meanwhile: either would take the repository away. An error has been
	// written to Out.
	Accept func(context.Context) error

	direct bool // the error is for whoever called, and not written to Out
}

// ErrReported is what a push ends with when its reason has been written to Out.
var ErrReported = errors.New("the push was refused")

// Push builds, releases and rolls out. It returns once the new release is live,
// or with ErrReported when the reason has been written to Out. The build
// continues when ctx ends: a dropped connection does not stop it.
func (d *Deployer) Push(ctx context.Context, p Push) error {
	if p.Commit == "" {
		return d.storeRefs(ctx, p)
	}
	commit, err := p.Repo.ReadCommit(ctx, p.Commit)
	if err != nil {
		return d.refusePush(p, progress.New(p.Out), fmt.Errorf("read the pushed commit: %w", err))
	}
	what := fmt.Sprintf("the push of %s by %s", short(commit.ID), p.By.Name)
	return d.attempt(ctx, p, commit, ticket{what: what, push: true}, func(ctx context.Context, a *app, record store.App, build *store.Build, out *progress.Report) (store.Release, error) {
		out.Title("%s", headline(record.Name, commit, p.By.Name, build.Number))
		return d.deploy(ctx, a, record, build, commit, p, out)
	})
}

// storeRefs takes a push that deploys nothing.
func (d *Deployer) storeRefs(ctx context.Context, p Push) error {
	out := progress.New(p.Out)
	t := ticket{what: "a push by " + p.By.Name}
	record, _, leave, err := d.inTurn(ctx, p, t, out.Waiting)
	if err != nil {
		return d.refusePush(p, out, err)
	}
	defer leave()
	if err := p.fits(record); err != nil {
		return d.refusePush(p, out, err)
	}
	return p.accept(ctx)
}

// fits returns a fault (E416) when the app is not the one that the push is for.
// The caller has a turn at the app.
func (p Push) fits(record store.App) error {
	if p.UID == 0 || p.UID == record.UID {
		return nil
	}
	return fault.New(fault.Conflict, code.PushNameTaken, "another app got the name %s during your push", p.App).
		Hint("find the new name of your app, and push to it: berth apps:list")
}

// accept moves the refs of the push.
func (p Push) accept(ctx context.Context) error {
	if p.Accept == nil {
		return nil
	}
	if err := p.Accept(ctx); err != nil {
		return fmt.Errorf("%w: %w", ErrReported, err)
	}
	return nil
}

// attempt waits until nothing else is built for the app, then does the work of
// one build, with all that is written down of it: its record, its transcript, an
// event, what the one who waits reads at its end.
func (d *Deployer) attempt(ctx context.Context, p Push, commit git.Commit, turn ticket, work func(context.Context, *app, store.App, *store.Build, *progress.Report) (store.Release, error)) error {
	began := time.Now()
	wait := progress.New(p.Out)
	now, a, leave, err := d.inTurn(ctx, p, turn, func(holder string) {
		wait.Title("waiting for %s", holder)
	})
	if err != nil {
		if why := fault.From(err); why != nil && (why.Code == code.PushSuperseded || why.Code == code.PushCancelled) {
			d.unbegun(p, commit, err)
		}
		return d.refusePush(p, wait, err)
	}
	defer leave()
	if err := cmp.Or(p.fits(now), unlocked(now)); err != nil {
		return d.refusePush(p, wait, err)
	}

	ctx, done := d.begun(ctx, a)
	defer done()
	record, build, err := beginBuild(d.db, p, commit)
	if err != nil {
		return d.refusePush(p, wait, err)
	}
	ctx, end := a.begin(ctx, build.Number)
	defer end()
	script, err := d.build.Transcribe(record, build)
	if err != nil {
		build.Status, build.Error, build.FinishedAt = store.BuildFailed, err.Error(), time.Now().UTC()
		d.endBuild(build)
		return d.refusePush(p, wait, err)
	}
	d.publish(record.Name) // now that its output can be followed
	defer script.Close()
	out := progress.New(p.Out, script)
	out.Record = script
	d.tellFallen(record, out)

	release, err := work(ctx, a, record, &build, out)
	build.FinishedAt, build.Steps = time.Now().UTC(), out.Steps()
	if err != nil {
		build.Status = store.BuildFailed
		if why := cancelled(ctx); why != nil {
			build.Status, err = store.BuildCancelled, why
		}
		build.Error = err.Error()
		d.endBuild(build)
		// An app whose pushes all fail has layers and logs to collect too.
		d.background(func(ctx context.Context) { d.build.Collect(ctx, record.Name) })
		return d.refusePush(p, out, err)
	}
	build.Status, build.Release, build.Layers = store.BuildSucceeded, release.Number, nil // the release names them
	d.endBuild(build)
	d.printSuccess(out, record, release, out.Live.Sub(began))
	return p.accept(ctx)
}

// inTurn waits for the turn of a push at its app, unless it came with one. The
// pushes that wait and came before it are sent away: this one takes their place.
func (s *turns) inTurn(ctx context.Context, p Push, t ticket, waiting func(holder string)) (record store.App, a *app, leave func(), err error) {
	leave = func() {}
	if p.Turn != nil {
		record, a, err = s.find(p.App)
	}
	if p.Turn == nil || err == nil && p.Turn.app != a {
		record, a, leave, err = s.buildTurn(ctx, p.App, t, waiting)
	}
	if err != nil {
		return record, nil, nil, err
	}
	if why := a.doom(); why != nil {
		leave()
		return record, nil, nil, why
	}
	if t.push {
		lines := []*line{&a.builds}
		if p.Turn != nil {
			lines = append(lines, p.Turn.lines...)
		}
		for _, l := range lines {
			l.call(t.what)
			l.supersede()
		}
	}
	return record, a, leave, nil
}

// headline says what is being built. The subject gives way when the line is full.
func headline(app string, commit git.Commit, by string, build int) string {
	head, foot := app+"  "+short(commit.ID)+" ", fmt.Sprintf("  by %s  build %d", by, build)
	room := progress.Columns - len("-----> ") - utf8.RuneCountInString(head+foot) - len(`""`)
	return head + strconv.Quote(progress.Clip(commit.Subject, room)) + foot
}

// deploy is the story of a push: source, plan, layers, tests, release, rollout.
// What it learns of the build stands in its record.
func (d *Deployer) deploy(ctx context.Context, a *app, record store.App, number *store.Build, commit git.Commit, p Push, out *progress.Report) (store.Release, error) {
	made, err := d.build.Run(ctx, build.Job{App: record, By: p.By, Commit: commit, Repo: p.Repo, Record: number}, out)
	if err != nil {
		return store.Release{}, err
	}
	defer made.Close()
	release := releaseOf(record, *number, commit, made.Plan, made.Image)
	release.Config = made.Config // of predeploy, with that of all apps; the one of the release is read once the app is held
	pages := edge.ReadPages(made.Root(), out.Line)
	for page, content := range pages {
		if release.Pages == nil {
			release.Pages = map[string]string{}
		}
		release.Pages[page] = store.PageKey(content)
	}
	if err := d.phases.predeploy(ctx, record, &release, made, out); err != nil {
		return store.Release{}, err
	}
	ready := a.fleet.Claim(made.Image.Base)
	defer ready.Dismiss()
	if !made.Image.Whole() {
		out.Timed("source", func() error { ready.Fill(ctx, made.Path(), "/app"); return nil })
	}

	// The layer of the source is made while the readied containers start: they
	// hold the source already.
	defer made.AddSource() // before the tree is removed
	go made.AddSource()
	release, err = d.releaseBuild(ctx, a, record, release, made.Plan, rollout{
		standby: ready, waitForLayer: made.AddSource, onRecorded: made.Named, by: p.By,
		inSwapTx: func(tx *store.Tx) error {
			for _, content := range pages {
				if err := tx.Pages.PutCarried(record.Name, content); err != nil {
					return err
				}
			}
			return nil
		},
	}, out)
	if err == nil {
		a.building(number.Number).unseal()
		d.phases.postdeploy(ctx, record, release, made.Plan.Manifest.Scripts, out)
	}
	return release, err
}

// releaseBuild rolls out what a build has made. From here on the app is held.
// Until now it was not: what the build read of it at its begin, in began, may
// have changed, and what somebody has done since is not undone.
func (d *Deployer) releaseBuild(ctx context.Context, a *app, began store.App, release store.Release, made *plan.Plan, with rollout, out *progress.Report) (store.Release, error) {
	t := ticket{what: fmt.Sprintf("the release of build %d by %s", release.Build, release.CreatedBy)}
	record, _, leave, err := d.hold(ctx, began.Name, t, out.Waiting)
	if err != nil {
		return release, err
	}
	defer leave()
	guessed, before := release.Number, release.Config
	release.Number, release.CreatedAt = record.LastRelease+1, time.Now().UTC()
	d.warn("the log of a predeploy has the wrong release", d.phases.moveLogs(record.ID(), phasePredeploy, guessed, release.Number), "app", record.Name)
	if err := d.tellReplaced(began, record, out); err != nil {
		return release, err
	}
	for _, line := range rescaled(record, made) {
		out.Line("note: %s", line)
	}
	build := a.building(release.Build)
	with.build, with.phase = build, true
	with.config = func(now, global map[string]string) (map[string]string, error) {
		return completed(d.sshCommand(), record.Name, now, global, made.Manifest, before)
	}
	with.updateApp = func(app *store.App) {
		settle(app, began, made)
		app.Stopped = build.stopper() != ""
	}
	also := with.inSwapTx
	with.inSwapTx = func(tx *store.Tx) error {
		if also != nil {
			if err := also(tx); err != nil {
				return err
			}
		}
		what := cmp.Or(strings.TrimSpace(short(release.Commit)+" "+release.Subject), made.Summary)
		return tx.AddEvent(store.Event{App: record.Name, By: release.CreatedBy, Kind: "deploy", Text: fmt.Sprintf("v%d: %s", release.Number, what)})
	}
	release.Config, err = d.roll(ctx, a, record, release, with, out)
	if err != nil {
		return release, err
	}
	if by := build.stopper(); by != "" {
		out.Warn(fmt.Sprintf("%s stopped %s during the build; it stays stopped", by, record.Name),
			fmt.Sprintf("start v%[3]d: %[1]s ps:start %[2]s", d.sshCommand(), record.Name, release.Number))
	}
	if made.ReadsConfig() && !maps.Equal(before, release.Config) {
		out.Warn(fmt.Sprintf("the config of %s changed during the build", record.Name),
			"the build used the old config; the next push uses the new one")
	}
	d.warn("what an app loses with its next release is not told", d.Mounts.warnUnkept(out, release, made.Keeps), "app", record.Name)
	return release, nil
}

// tellReplaced says that another release went live while this one was built: it
// was made on purpose, a rollback perhaps, and the push takes its place.
func (d *Deployer) tellReplaced(began, record store.App, out *progress.Report) error {
	if record.Release == began.Release {
		return nil
	}
	live, err := d.liveWithoutConfig(record)
	if err != nil {
		return err
	}
	out.Warn(fmt.Sprintf("v%d went live during the build and was replaced: %s, by %s",
		live.Number, progress.Clip(live.Description, 60), live.CreatedBy))
	return nil
}

// refusePush ends an attempt that came to nothing.
func (d *Deployer) refusePush(p Push, out *progress.Report, err error) error {
	if p.direct {
		return err
	}
	return d.refuse(out, p.App, err)
}

// refuse reports why a push is refused, and what is still running.
func (d *Deployer) refuse(out *progress.Report, name string, err error) error {
	err = restarted(context.Background(), err)
	still := d.servingNote(name)
	if f := fault.From(err); f != nil && f.Code == code.AppDestroyed {
		still = ""
	}
	out.Fail(err, d.logInternal, still)
	return fmt.Errorf("%w: %w", ErrReported, err)
}

// servingNote says what serves while a new release does not.
func (d *Deployer) servingNote(name string) string {
	record, a, err := d.find(name)
	if err != nil || record.Release == 0 {
		return ""
	}
	if !a.fleet.Serving() {
		return ""
	}
	return fmt.Sprintf("v%d still serves all traffic", record.Release)
}

// printSuccess prints how a deploy that went well ends.
func (d *Deployer) printSuccess(out *progress.Report, record store.App, release store.Release, took time.Duration) {
	now, _, err := d.find(record.Name)
	if err != nil { // destroyed meanwhile
		return
	}
	out.Line("")
	runs := printLive(d.sshCommand(), out, now, release, took)
	for _, url := range d.edge.URLs(record.Name) {
		if runs && now.Instances("web") > 0 {
			out.Detail("%s", url)
		}
	}
	if record.Release != 0 {
		out.Detail("undo: %s rollback %s", d.sshCommand(), record.Name)
	}
	out.PrintWarnings()
}
