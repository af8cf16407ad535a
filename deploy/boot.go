package deploy

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/berthd/berth/fleet"
	"github.com/berthd/berth/fleet/formation"
	"github.com/berthd/berth/jobs"
	"github.com/berthd/berth/store"
)

// bootAtOnce bounds how many apps are brought up side by side.
const bootAtOnce = 4

// boot brings every app to the release that the store names. Containers that
// outlived us are taken back as they are; what is missing is started.
func (d *Deployer) boot(ctx context.Context) error {
	d.edge.AnnouncePeers()
	records, err := d.db.Apps()
	if err != nil {
		return err
	}
	containers, err := d.boxes.Containers(ctx)
	if err != nil {
		return fmt.Errorf("list containers: %w", err)
	}
	d.volumes.Thaw(containers)
	if err := d.closeInterrupted(containers); err != nil {
		return fmt.Errorf("close the records of what was interrupted: %w", err)
	}
	wanted := d.wanted(records)
	left := d.fleet.Adopt(wanted, d.jobs.Adopt(live(wanted, records), containers))
	d.edge.AnnounceHosts()
	held := map[int]func(){}
	for _, w := range wanted {
		if w.Release != nil {
			held[w.App.UID()] = w.App.HoldUnserved(*w.Release)
		}
	}
	close(d.routed)
	// A migration that goes on may not meet the one of the next push.
	left = slices.DeleteFunc(left, func(c fleet.Container) bool {
		if c.About().Labels[labelKind] != kindPhase {
			return false
		}
		d.fleet.Remove(c)
		return true
	})
	d.fleet.StopLeftOvers(ctx, wanted, left)
	close(d.adopted)

	slots := make(chan struct{}, bootAtOnce)
	var all sync.WaitGroup
	for _, record := range records {
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			d.bootApp(ctx, record)
			if resume := held[record.UID]; resume != nil {
				resume()
			}
		})
	}
	all.Wait()
	d.background(func(context.Context) {
		for _, c := range left {
			d.fleet.Remove(c)
		}
	})
	return ctx.Err()
}

// wanted says what is to run of every app.
func (d *Deployer) wanted(records []store.App) (list []fleet.Wanted) {
	for _, record := range records {
		record = d.counts(record)
		w := fleet.Wanted{App: d.app(record).fleet, StopFirst: record.Rollout == store.StopFirst}
		if release, err := d.liveRelease(record); err == nil {
			r := formation.Of(record, release)
			w.Release, w.StopFirst = &r, stopsFirst(record, release)
			w.Trial = trialOf(record)
		}
		list = append(list, w)
	}
	return list
}

// live returns those apps of which a release is live.
func live(wanted []fleet.Wanted, records []store.App) (list []store.App) {
	for n, record := range records {
		if wanted[n].Release != nil {
			list = append(list, record)
		}
	}
	return list
}

// broken are the records of builds, releases and job runs that an earlier life
// of ours began and did not end, as they are to be closed.
type broken struct {
	uids     map[string]int // of the apps, by name: a name may be another app's by then
	releases []brokenRelease
	builds   []store.Build
	runs     []store.CronRun
	oneOffs  []store.OneOff
}

// brokenRelease is one that was being rolled out.
type brokenRelease struct {
	app    string
	number int
}

// oneOffJob stands in the place of a job for one-offs.
const oneOffJob = "(one-off)"

// whyBroken is what the records say.
const whyBroken = "interrupted: berth was stopped"

func (b broken) none() bool { return len(b.releases)+len(b.builds)+len(b.runs)+len(b.oneOffs) == 0 }

// closeInterrupted closes the records of what was interrupted, later when the
// state file cannot be written now: what runs is routed all the same.
func (d *Deployer) closeInterrupted(containers []fleet.Container) error {
	left, err := interrupted(d.db, containers)
	if err != nil || left.none() {
		return err
	}
	err = d.db.Update(left.close)
	if err == nil || d.db.Unwritable() == nil {
		return err
	}
	d.warn("the records of what was interrupted are closed later", err)
	d.background(func(ctx context.Context) {
		for err := err; err != nil; err = d.db.Update(left.close) {
			select {
			case <-ctx.Done():
				return
			case <-time.After(closeAgain):
			}
		}
	})
	return nil
}

// closeAgain is how often it is tried to close records while the state file
// cannot be written.
const closeAgain = 15 * time.Second

// close writes those records that are still there, of apps that are.
func (b broken) close(tx *store.Tx) error {
	there := func(app string) bool {
		now, err := tx.App(app)
		return err == nil && now.UID == b.uids[app]
	}
	for _, r := range b.releases {
		if there(r.app) && tx.HasRelease(r.app, r.number) {
			if err := tx.MarkRelease(r.app, r.number, store.ReleaseFailed, whyBroken); err != nil {
				return err
			}
		}
	}
	for _, build := range b.builds {
		if there(build.App) && tx.Builds.Has(build.App, build.Number) {
			if err := tx.Builds.Put(build); err != nil {
				return err
			}
		}
	}
	for _, run := range b.runs {
		if there(run.App) && tx.CronRuns.Has(run.App, run.Number) {
			if _, err := tx.CronRuns.Put(run); err != nil {
				return err
			}
			if err := tx.AddEvent(jobs.EventOf(run)); err != nil {
				return err
			}
		}
	}
	for _, o := range b.oneOffs {
		if there(o.App) && tx.OneOffs.Has(o.App, o.Number) {
			if err := tx.OneOffs.Put(o); err != nil {
				return err
			}
		}
	}
	return nil
}

// interrupted finds what an earlier life of ours began and did not end. A run
// that has a container is still to be ended by it.
func interrupted(db *store.Store, containers []fleet.Container) (left broken, err error) {
	now := time.Now().UTC()
	left.uids = map[string]int{}
	running := map[[3]string]bool{} // app, job, run
	for _, c := range containers {
		if job, number, is := jobs.RunOf(c); is {
			running[[3]string{c.About().Labels[labelApp], job, strconv.Itoa(number)}] = true
		}
		if number, is := jobs.OneOffOf(c); is {
			running[[3]string{c.About().Labels[labelApp], oneOffJob, strconv.Itoa(number)}] = true
		}
	}
	err = db.View(func(tx *store.Tx) error {
		apps, err := tx.Apps()
		if err != nil {
			return err
		}
		for _, app := range apps {
			left.uids[app.Name] = app.UID
			pending, made, err := brokenReleases(tx, app)
			if err != nil {
				return err
			}
			for _, n := range pending {
				left.releases = append(left.releases, brokenRelease{app.Name, n})
			}
			builds, err := tx.Builds.Of(app.Name, 0)
			if err != nil {
				return err
			}
			for _, b := range builds {
				if b.Status != store.BuildRunning {
					continue
				}
				b.FinishedAt = now
				if b.Release = made[b.Number]; b.Release != 0 {
					b.Status = store.BuildSucceeded // all but its own last word was written
				} else {
					b.Status, b.Error = store.BuildFailed, whyBroken
				}
				left.builds = append(left.builds, b)
			}
			runs, err := tx.CronRuns.Of(app.Name, "", 0)
			if err != nil {
				return err
			}
			for _, run := range runs {
				if run.State.Ended() || running[[3]string{strconv.Itoa(app.UID), run.Job, strconv.Itoa(run.Number)}] {
					continue
				}
				run.FinishedAt, run.ExitCode, run.Error, run.State = now, 1, whyBroken, store.CronFailed
				left.runs = append(left.runs, run)
			}
			oneOffs, err := tx.OneOffs.Of(app.Name)
			if err != nil {
				return err
			}
			for _, o := range oneOffs {
				if o.State != store.OneOffRunning || running[[3]string{strconv.Itoa(app.UID), oneOffJob, strconv.Itoa(o.Number)}] {
					continue
				}
				o.FinishedAt, o.ExitCode, o.Error, o.State = now, 1, whyBroken, store.OneOffFailed
				left.oneOffs = append(left.oneOffs, o)
			}
		}
		return nil
	})
	return left, err
}

// brokenReleases returns the releases that were being rolled out, and the live one
// by its build. One that is pending is newer than the live one.
func brokenReleases(tx *store.Tx, app store.App) (pending []int, made map[int]int, err error) {
	made = map[int]int{}
	for r, err := range tx.EachRelease(app.Name) {
		if err != nil {
			return nil, nil, err
		}
		switch r.Status {
		case store.ReleasePending:
			pending = append(pending, r.Number)
		case store.ReleaseLive:
			made[r.Build] = r.Number
		}
		if r.Number <= app.Release {
			break
		}
	}
	return pending, made, nil
}

// bootApp starts what an app lacks and plans its jobs.
func (d *Deployer) bootApp(ctx context.Context, record store.App) {
	record, a, leave, err := d.hold(ctx, record.Name, ticket{what: "the start of berth"}, nil)
	if err != nil {
		return
	}
	defer leave()
	if record.Release == 0 {
		a.fleet.Reroute()
		return
	}
	release, err := d.liveRelease(record)
	if err == nil {
		err = d.converge(ctx, a, change{Change: fleet.Change{Patient: true}, record: record, release: release})
		d.jobs.Schedule(a.fleet)
	}
	if err != nil && ctx.Err() == nil {
		d.log.Error("an app could not be started", "app", record.Name, "err", err)
		d.recordEvent(store.Event{App: record.Name, By: "berth", Kind: "crash", Text: "could not be started: " + err.Error()})
	}
}
