package deploy

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store"
)

// bootAtOnce bounds how many apps are brought up side by side.
const bootAtOnce = 4

// boot brings every app to the release that the store names. Containers that
// outlived us are taken back as they are; what is missing is started.
func (d *Deployer) boot(ctx context.Context) error {
	d.announcePeers()
	var records []store.App
	err := d.db.View(func(tx *store.Tx) (err error) {
		records, err = tx.Apps()
		return err
	})
	if err != nil {
		return err
	}
	containers, err := d.engine.Containers(ctx)
	if err != nil {
		return fmt.Errorf("list containers: %w", err)
	}
	if err := d.interrupted(containers); err != nil {
		return fmt.Errorf("close the records of what was interrupted: %w", err)
	}
	left := d.adopt(ctx, records, containers)
	// A migration that goes on may not meet the one of the next push.
	left = slices.DeleteFunc(left, func(c *runtime.Container) bool {
		if c.Labels[labelKind] != kindPhase {
			return false
		}
		d.remove(c)
		return true
	})
	d.stopLeftOvers(ctx, records, left)
	close(d.adopted)
	d.announceHosts()

	slots := make(chan struct{}, bootAtOnce)
	var all sync.WaitGroup
	for _, record := range records {
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			d.bootApp(ctx, record)
		})
	}
	all.Wait()
	d.background(func(context.Context) {
		for _, c := range left {
			d.remove(c)
		}
	})
	return ctx.Err()
}

// interrupted closes the records of builds, releases and job runs that an
// earlier life of ours began and did not end. A run that has a container is
// still to be ended by it.
func (d *Deployer) interrupted(containers []*runtime.Container) error {
	const why = "interrupted: berth was stopped meanwhile"
	now := time.Now().UTC()
	running := map[[3]string]bool{} // app, job, run
	for _, c := range containers {
		if isJob(c) {
			running[[3]string{c.Labels[labelApp], c.Labels[labelJob], c.Labels[labelRun]}] = true
		}
	}
	return d.db.Update(func(tx *store.Tx) error {
		apps, err := tx.Apps()
		if err != nil {
			return err
		}
		for _, app := range apps {
			releases, err := tx.Releases(app.Name)
			if err != nil {
				return err
			}
			made := map[int]int{} // build → the release that came of it and went live
			for _, r := range releases {
				switch r.Status {
				case store.ReleasePending:
					r.Status, r.Error = store.ReleaseFailed, why
					if err := tx.PutRelease(r); err != nil {
						return err
					}
				case store.ReleaseLive:
					made[r.Build] = r.Number
				}
			}
			builds, err := tx.Builds(app.Name, 0)
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
					b.Status, b.Error = store.BuildFailed, why
				}
				if err := tx.PutBuild(b); err != nil {
					return err
				}
			}
			runs, err := tx.JobRuns(app.Name, "", 0)
			if err != nil {
				return err
			}
			for _, run := range runs {
				if !run.FinishedAt.IsZero() || running[[3]string{strconv.Itoa(app.UID), run.Job, strconv.Itoa(run.Number)}] {
					continue
				}
				run.FinishedAt, run.ExitCode, run.Error = now, 1, why
				if _, err := tx.PutJobRun(run); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// isJob tells whether a container runs a job, or has run one whose end nobody saw.
func isJob(c *runtime.Container) bool { return c.Labels[labelKind] == kindJob && c.Launched() }

// adopt takes the containers back that belong to what should run, and routes
// the web instances among them at once: they have been serving all along. It
// returns the containers that nothing should run in.
func (d *Deployer) adopt(ctx context.Context, records []store.App, containers []*runtime.Container) (left []*runtime.Container) {
	byApp := map[string][]*runtime.Container{}
	for _, c := range containers {
		byApp[c.Labels[labelApp]] = append(byApp[c.Labels[labelApp]], c)
	}
	for _, record := range records {
		a := d.app(record)
		release, err := d.liveRelease(record)
		mine := byApp[strconv.Itoa(record.UID)]
		delete(byApp, strconv.Itoa(record.UID))
		if err != nil {
			left = append(left, mine...)
			continue
		}
		open := map[string]place{}
		for _, p := range places(record, release) {
			open[p.String()] = p
		}
		for _, c := range mine {
			if isJob(c) {
				d.adoptJob(record, c)
				continue
			}
			name := c.Labels[labelProcess] + "." + c.Labels[labelNumber]
			p, wanted := open[name]
			fits := wanted && c.Labels[labelKind] == kindInstance && c.Labels[labelRelease] == strconv.Itoa(release.Number)
			if !fits || !c.Launched() || ended(c) {
				left = append(left, c)
				continue
			}
			delete(open, name)
			d.takeBack(a, release, p, c)
		}
		d.reroute(a)
	}
	for _, others := range byApp {
		left = append(left, others...)
	}
	return left
}

// takeBack makes an instance of a container that runs already.
func (d *Deployer) takeBack(a *app, release store.Release, p place, c *runtime.Container) {
	i := &instance{app: a, release: release, process: p.process, number: p.number, container: c, state: InstanceUp, since: c.Created}
	if p.process.Type == "web" {
		addresses, err := c.Listening()
		d.warn("an instance's ports cannot be seen", err, "app", a.called(), "instance", i.name())
		if address := listensOn(addresses, i.port()); address != "" {
			i.listens(address)
		} else if len(addresses) > 0 {
			first, _ := forRequests(addresses, d.containerPorts(i))
			i.listens(first)
		} else {
			i.state = InstanceStarting // it was on its way; the supervisor starts it anew
		}
	}
	a.mu.Lock()
	a.live = append(a.live, i)
	a.mu.Unlock()
	d.supervise(i)
}

// bootApp starts what an app lacks and plans its jobs.
func (d *Deployer) bootApp(ctx context.Context, record store.App) {
	record, a, leave, err := d.hold(ctx, record.Name, ticket{what: "the start of berth"}, nil)
	if err != nil {
		return
	}
	defer leave()
	if record.Release == 0 {
		d.reroute(a)
		return
	}
	release, err := d.liveRelease(record)
	if err == nil {
		err = d.converge(ctx, a, change{record: record, release: release, patient: true})
		d.schedule(a, record.Name, release)
	}
	if err != nil && ctx.Err() == nil {
		d.log.Error("an app could not be started", "app", record.Name, "err", err)
		d.happened(store.Event{App: record.Name, By: "berth", Kind: "crash", Text: "could not be started: " + err.Error()})
	}
}

// liveRelease returns the release that should be live, or a fault (E112) when
// nothing was ever deployed.
func (d *Deployer) liveRelease(record store.App) (release store.Release, err error) {
	if record.Release == 0 {
		return release, errEmpty(record.Name)
	}
	err = d.db.View(func(tx *store.Tx) error {
		release, err = tx.Release(record.Name, record.Release)
		return err
	})
	return release, err
}
