package deploy

import (
	"testing"
	"time"

	"github.com/berthd/berth/store"
)

func TestInterrupted_ClosesWhatNobodyWillEnd(t *testing.T) {
	d := newDeployer(t)
	shop(t, d)
	start := time.Now().UTC()
	update(t, d, func(tx *store.Tx) error {
		for _, b := range []store.Build{{App: "shop", Number: 7, Status: store.BuildRunning}, {App: "shop", Number: 8, Status: store.BuildRunning}} {
			if err := tx.PutBuild(b); err != nil {
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
		for _, run := range []store.JobRun{
			{App: "shop", Job: "j", StartedAt: start, FinishedAt: start, ExitCode: 4},
			{App: "shop", Job: "j", StartedAt: start}, // its container is gone
		} {
			if _, err := tx.PutJobRun(run); err != nil {
				return err
			}
		}
		return nil
	})
	if err := d.closeInterrupted(nil); err != nil {
		t.Fatal(err)
	}
	err := d.db.View(func(tx *store.Tx) error {
		builds, err := tx.Builds("shop", 0)
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
		runs, err := tx.JobRuns("shop", "j", 0)
		if err != nil {
			return err
		}
		if got := runs[0]; got.FinishedAt.IsZero() || got.Error == "" || got.ExitCode == 0 {
			t.Errorf("the run whose container is gone: got %+v", got)
		}
		if got := runs[1]; got.ExitCode != 4 || got.Error != "" {
			t.Errorf("the run that had ended: got %+v", got)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
