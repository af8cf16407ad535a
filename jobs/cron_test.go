package jobs

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/berthd/berth/buildpacks/appjson"
	"github.com/berthd/berth/fleet"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
)

func TestAdmit_FollowsTheJobsConcurrency(t *testing.T) {
	newApp := func() *app {
		return newWorld(t).app(new(fleet.Fleet).NewApp(70000, "shop"))
	}
	t.Run("forbid", func(t *testing.T) {
		a, job := newApp(), store.CronJob{ID: "j", Concurrency: "forbid"}
		_, done, err := a.admit(t.Context(), job)
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = a.admit(t.Context(), job)
		if f := fault.From(err); f == nil || f.Code != "E125" {
			t.Errorf("a second run: got %v, want E125", err)
		}
		done()
		if _, _, err := a.admit(t.Context(), job); err != nil {
			t.Errorf("a run after the first has ended: %v", err)
		}
	})
	t.Run("allow", func(t *testing.T) {
		a, job := newApp(), store.CronJob{ID: "j", Concurrency: "allow"}
		first, _, _ := a.admit(t.Context(), job)
		if _, _, err := a.admit(t.Context(), job); err != nil || first.Err() != nil {
			t.Errorf("got %v, and the first run's context %v", err, first.Err())
		}
	})
	t.Run("replace", func(t *testing.T) {
		a, job := newApp(), store.CronJob{ID: "j", Concurrency: "replace"}
		first, _, _ := a.admit(t.Context(), job)
		second, _, err := a.admit(t.Context(), job)
		if err != nil || !errors.Is(context.Cause(first), errReplaced) || second.Err() != nil {
			t.Errorf("got %v; the first ended with %v, the second with %v", err, context.Cause(first), second.Err())
		}
	})
}

func TestPlanned_KeepsItsIdentity(t *testing.T) {
	entry := appjson.CronEntry{Schedule: "@daily", Command: "python job.py"}
	job, again := Planned(entry), Planned(entry)
	entry.Command += " --fast"
	if other := Planned(entry); job.ID != again.ID || job.ID == other.ID {
		t.Errorf("got %s, %s and for another command %s", job.ID, again.ID, other.ID)
	}
}

func TestEndRun_IsTheAppsUnderWhateverName(t *testing.T) {
	d := newWorld(t)
	record, a := shop(t, d)
	var run store.CronRun
	update(t, d, func(tx *store.Tx) (err error) {
		run, err = tx.CronRuns.Put(store.CronRun{App: "shop", Job: "j", State: store.CronRunning, StartedAt: time.Now()})
		return err
	})
	runs := func(app string) (runs []store.CronRun) {
		err := d.db.View(func(tx *store.Tx) (err error) {
			runs, err = tx.CronRuns.Of(app, "j", 0)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return runs
	}

	update(t, d, func(tx *store.Tx) error { _, err := tx.RenameApp("shop", "store"); return err })
	d.endRun(a, run, fleet.Exit{Code: 3}, nil)
	if got := runs("store"); len(got) != 1 || got[0].ExitCode != 3 || got[0].FinishedAt.IsZero() {
		t.Errorf("after a renaming: got %+v, want one run that ended with 3", got)
	}
	if got := runs("shop"); len(got) != 0 {
		t.Errorf("under the old name: got %+v", got)
	}

	update(t, d, func(tx *store.Tx) error { return tx.DeleteApp("store") })
	d.endRun(a, run, fleet.Exit{}, nil)
	if got := append(runs("store"), runs("shop")...); len(got) != 0 {
		t.Errorf("the runs of the destroyed app %d: got %+v", record.UID, got)
	}
}

func TestCronCommand_AProcessTypeIsItsCommand(t *testing.T) {
	r := store.Release{Processes: []store.Process{{Type: "web", Command: "serve"}, {Type: "task", Command: "echo x"}, {Type: "image", Args: []string{"/bin/tool"}}}}
	for command, want := range map[string][]string{
		"task":       {"/bin/bash", "-c", "echo x"},
		" task ":     {"/bin/bash", "-c", "echo x"},
		"image":      {"/bin/tool"},
		"task -v":    {"/bin/bash", "-c", "task -v"},
		"python job": {"/bin/bash", "-c", "python job"},
	} {
		if got := cronCommand(store.App{}, r, store.CronJob{Command: command}, "cron.1.1").Args; !slices.Equal(got, want) {
			t.Errorf("%q: got %q, want %q", command, got, want)
		}
	}
}
