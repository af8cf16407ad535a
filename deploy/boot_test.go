package deploy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/berthd/berth/fleet/fleettest"
	"github.com/berthd/berth/store"
)

func TestInterrupted_ClosesWhatNobodyWillEnd(t *testing.T) {
	d := newDeployer(t)
	shop(t, d)
	start := time.Now().UTC()
	update(t, d, func(tx *store.Tx) error {
		for _, b := range []store.Build{{App: "shop", Number: 7, Status: store.BuildRunning}, {App: "shop", Number: 8, Status: store.BuildRunning}} {
			if err := tx.Builds.Put(b); err != nil {
				return err
			}
		}
		for _, r := range []store.Release{
			{App: "shop", Number: 1, Status: store.ReleaseLive, Build: 7}, // the crash came between the swap and the build's end
			{App: "shop", Number: 2, Status: store.ReleasePending, Build: 8},
		} {
			if err := tx.PutRelease(r); err != nil {
				return err
			}
		}
		for _, run := range []store.CronRun{
			{App: "shop", Job: "j", StartedAt: start, FinishedAt: start, ExitCode: 4},
			{App: "shop", Job: "j", StartedAt: start}, // its container is gone
		} {
			if _, err := tx.CronRuns.Put(run); err != nil {
				return err
			}
		}
		return errors.Join(
			tx.OneOffs.Put(store.OneOff{App: "shop", Number: 1, State: store.OneOffOK, StartedAt: start}),
			tx.OneOffs.Put(store.OneOff{App: "shop", Number: 2, State: store.OneOffRunning, StartedAt: start}), // its container is gone
		)
	})
	if err := d.closeInterrupted(nil); err != nil {
		t.Fatal(err)
	}
	err := d.db.View(func(tx *store.Tx) error {
		builds, err := tx.Builds.Of("shop", 0)
		if err != nil {
			return err
		}
		if got := builds[1]; got.Status != store.BuildSucceeded || got.Release != 1 {
			t.Errorf("the build of the live release: got %s, v%d", got.Status, got.Release)
		}
		if got := builds[0]; got.Status != store.BuildFailed || got.FinishedAt.IsZero() {
			t.Errorf("the build that was cut off: got %+v", got)
		}
		pending, err := tx.Release("shop", 2)
		if err != nil {
			return err
		}
		if pending.Status != store.ReleaseFailed {
			t.Errorf("the pending release: got %s", pending.Status)
		}
		runs, err := tx.CronRuns.Of("shop", "j", 0)
		if err != nil {
			return err
		}
		if got := runs[0]; got.FinishedAt.IsZero() || got.Error == "" || got.ExitCode == 0 {
			t.Errorf("the run whose container is gone: got %+v", got)
		}
		if got := runs[1]; got.ExitCode != 4 || got.Error != "" {
			t.Errorf("the run that had ended: got %+v", got)
		}
		events, err := tx.Events("shop", 1)
		if err != nil || len(events) != 1 || !strings.Contains(events[0].Text, "job j failed: interrupted") {
			t.Errorf("got the events %+v, %v", events, err)
		}
		oneOffs, err := tx.OneOffs.Of("shop")
		if err != nil {
			return err
		}
		if got := oneOffs[0]; got.State != store.OneOffFailed || got.Error == "" || got.FinishedAt.IsZero() {
			t.Errorf("the one-off whose container is gone: got %+v", got)
		}
		if got := oneOffs[1]; got.State != store.OneOffOK || got.Error != "" {
			t.Errorf("the one-off that had ended: got %+v", got)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Records may be closed long after they were found.
func TestClose_LeavesOutWhatIsNotThereAnyMore(t *testing.T) {
	d := newDeployer(t)
	shop(t, d)
	begin := func(app string) {
		update(t, d, func(tx *store.Tx) error {
			_, err := tx.CronRuns.Put(store.CronRun{App: app, Job: "j", StartedAt: time.Now()})
			return errors.Join(err,
				tx.Builds.Put(store.Build{App: app, Number: 7, Status: store.BuildRunning}),
				tx.PutRelease(store.Release{App: app, Number: 2, Status: store.ReleasePending, Build: 7}))
		})
	}
	begin("shop")
	if _, err := d.CreateApp(t.Context(), "blog", store.Root); err != nil {
		t.Fatal(err)
	}
	begin("blog")
	left, err := interrupted(d.db, nil)
	if err != nil || len(left.releases) != 2 || len(left.builds) != 2 || len(left.runs) != 2 {
		t.Fatalf("%+v, %v", left, err)
	}
	left.releases = append([]brokenRelease{{"shop", 99}}, left.releases...)
	left.builds = append(left.builds, store.Build{App: "shop", Number: 99, Status: store.BuildFailed})
	left.runs = append(left.runs, store.CronRun{App: "shop", Job: "j", Number: 99})
	if err := d.DestroyApp(t.Context(), "blog", store.Root, io.Discard); err != nil {
		t.Fatal(err)
	}
	if _, err := d.CreateApp(t.Context(), "blog", store.Root); err != nil {
		t.Fatal(err)
	}
	begin("blog")
	if err := d.db.Update(left.close); err != nil {
		t.Fatal(err)
	}
	for app, want := range map[string]string{"shop": "failed failed closed 1 1", "blog": "pending running open 1 1"} {
		err := d.db.View(func(tx *store.Tx) error {
			release, err1 := tx.Release(app, 2)
			build, err2 := tx.Builds.Get(app, 7)
			builds, err3 := tx.Builds.Of(app, 0)
			runs, err4 := tx.CronRuns.Of(app, "j", 0)
			state := "open"
			if n := len(runs); n > 0 && !runs[n-1].FinishedAt.IsZero() {
				state = "closed"
			}
			if got := fmt.Sprint(release.Status, " ", build.Status, " ", state, " ", len(builds), " ", len(runs)); got != want {
				t.Errorf("%s: got %s, want %s", app, got, want)
			}
			return errors.Join(err1, err2, err3, err4)
		})
		if err != nil {
			t.Error(err)
		}
	}
}

func TestHoldUnserved_HoldsRequestsOfAppsThatAreToBeStartedAlone(t *testing.T) {
	d := newDeployer(t)
	var records []store.App
	web, worker := store.Process{Type: "web", Command: "x"}, store.Process{Type: "worker", Command: "x"}
	update(t, d, func(tx *store.Tx) error {
		for _, app := range []struct {
			name    string
			stopped bool
			process store.Process
		}{{"shop", false, web}, {"stopped", true, web}, {"mailer", false, worker}} {
			record, err := tx.CreateApp(store.App{Name: app.name, Release: 1, Stopped: app.stopped, Formation: map[string]int{app.process.Type: 1}})
			if err != nil {
				return err
			}
			if err := tx.PutRelease(store.Release{App: app.name, Number: 1, Status: store.ReleaseLive, Processes: []store.Process{app.process}}); err != nil {
				return err
			}
			records = append(records, record)
		}
		return nil
	})
	for _, record := range records {
		d.app(record).fleet.Reroute()
	}
	for _, w := range d.wanted(records) {
		resume := w.App.HoldUnserved(*w.Release)
		if name := w.App.Name(); (resume != nil) != (name == "shop") {
			t.Errorf("the requests of %s are held: %t", name, resume != nil)
		}
		if resume != nil {
			resume()
			resume() // by the timer, later
		}
	}
}

func TestCloseInterrupted_OnAFullDiskIsDoneOnceThereIsSpace(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=2m"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("mount: %v", err)
		}
		t.Skipf("needs root to mount a small filesystem: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	synctest.Test(t, func(t *testing.T) {
		d := newDeployer(t)
		db, err := store.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		d.db = db
		defer func() { d.end(); d.work.Wait() }()
		shop(t, d)
		update(t, d, func(tx *store.Tx) error {
			return tx.Builds.Put(store.Build{App: "shop", Number: 7, Status: store.BuildRunning})
		})
		ballast, err := os.Create(filepath.Join(dir, "ballast"))
		for err == nil {
			_, err = ballast.Write(make([]byte, 4096))
		}
		ballast.Close()
		for err = nil; err == nil; { // the free pages of the state file
			err = db.Update(func(tx *store.Tx) error { return tx.AddEvent(store.Event{Text: strings.Repeat("x", 20_000)}) })
		}
		if err := d.closeInterrupted(nil); err != nil {
			t.Fatalf("with a full disk, the start fails: %v", err)
		}
		status := func() (status store.BuildStatus) {
			db.View(func(tx *store.Tx) error {
				build, err := tx.Builds.Get("shop", 7)
				status = build.Status
				return err
			})
			return status
		}
		if got := status(); got != store.BuildRunning {
			t.Fatalf("the build is %s: the disk was not full", got)
		}
		os.Remove(ballast.Name())
		time.Sleep(2 * closeAgain)
		synctest.Wait()
		if got := status(); got != store.BuildFailed {
			t.Errorf("once there is space, the build is %s", got)
		}
	})
}

// What is only begun in Run ends with it: berth itself ends when Run returns.
func TestRun_GoesOnUntilItIsEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, m := newDeployer(t), new(fleettest.Machine)
		record := machineApp(t, d, "shop", store.StartFirst)
		update(t, d, func(tx *store.Tx) error {
			release, err := tx.Release("shop", record.Release)
			if err != nil {
				return err
			}
			release.Cron = []store.CronJob{{ID: "j", Schedule: "0 * * * *", Command: "work"}}
			return tx.PutRelease(release)
		})
		now, l := another(t, d, m)
		ctx, end := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- now.Run(ctx) }()
		time.Sleep(2 * time.Hour)
		select {
		case err := <-ended:
			t.Fatalf("Run ended by itself: %v", err)
		default:
		}
		statuses, err := now.jobs.CronJobs(t.Context(), "shop")
		if err != nil || len(statuses) != 1 || statuses[0].Last == nil {
			t.Errorf("an hourly job after 2 hours: got %+v, %v; want a run", statuses, err)
		}
		end()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		over(now, l)
		m.Reboot()
	})
}
