package deploy

import (
	"context"
	"errors"
	"testing"

	"github.com/berthd/berth/buildpacks/appjson"
	"github.com/berthd/berth/fleet"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
)

func TestAdmit_FollowsTheJobsConcurrency(t *testing.T) {
	newApp := func() *app {
		return &app{fleet: new(fleet.Fleet).NewApp(70000, "shop"), runs: map[string]map[*int]context.CancelCauseFunc{}}
	}
	t.Run("forbid", func(t *testing.T) {
		a, job := newApp(), store.Job{ID: "j", Concurrency: "forbid"}
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
		a, job := newApp(), store.Job{ID: "j", Concurrency: "allow"}
		first, _, _ := a.admit(t.Context(), job)
		if _, _, err := a.admit(t.Context(), job); err != nil || first.Err() != nil {
			t.Errorf("got %v, and the first run's context %v", err, first.Err())
		}
	})
	t.Run("replace", func(t *testing.T) {
		a, job := newApp(), store.Job{ID: "j", Concurrency: "replace"}
		first, _, _ := a.admit(t.Context(), job)
		second, _, err := a.admit(t.Context(), job)
		if err != nil || !errors.Is(context.Cause(first), errReplaced) || second.Err() != nil {
			t.Errorf("got %v; the first ended with %v, the second with %v", err, context.Cause(first), second.Err())
		}
	})
}

func TestNewJob_KeepsItsIdentity(t *testing.T) {
	entry := appjson.CronEntry{Schedule: "@daily", Command: "python job.py"}
	job, again := newJob(entry), newJob(entry)
	entry.Command += " --fast"
	if other := newJob(entry); job.ID != again.ID || job.ID == other.ID {
		t.Errorf("got %s, %s and for another command %s", job.ID, again.ID, other.ID)
	}
}
