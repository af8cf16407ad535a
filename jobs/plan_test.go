package jobs

import (
	"fmt"
	"strings"
	"testing"

	"github.com/berthd/berth/store"
)

func TestSetCron_WhatCannotBe(t *testing.T) {
	w := newWorld(t)
	shop(t, w)
	set := func(job store.CronJob) error { return w.SetCron(t.Context(), "shop", job, store.Root) }
	good := store.CronJob{ID: "nightly", Schedule: "0 3 * * *", Command: "x"}
	for what, edit := range map[string]func(*store.CronJob){
		"a property's name":    func(j *store.CronJob) { j.ID = "timezone" },
		"Dokku's property":     func(j *store.CronJob) { j.ID = "mailto" },
		"the id of app.json's": func(j *store.CronJob) { j.ID = "deadbeef" },
		"a number":             func(j *store.CronJob) { j.ID = "17" },
		"dots":                 func(j *store.CronJob) { j.ID = "a.b" },
		"a path":               func(j *store.CronJob) { j.ID = "../x" },
		"no name":              func(j *store.CronJob) { j.ID = "" },
		"unicode":              func(j *store.CronJob) { j.ID = "nächtlich" },
		"a long name":          func(j *store.CronJob) { j.ID = strings.Repeat("a", 41) },
		"no command":           func(j *store.CronJob) { j.Command = " " },
		"NUL":                  func(j *store.CronJob) { j.Command = "a\x00b" },
		"a long command":       func(j *store.CronJob) { j.Command = strings.Repeat("x", maxCommand+1) },
		"no schedule":          func(j *store.CronJob) { j.Schedule = "" },
		"four fields":          func(j *store.CronJob) { j.Schedule = "0 3 * *" },
		"25 o'clock":           func(j *store.CronJob) { j.Schedule = "0 25 * * *" },
		"30 February":          func(j *store.CronJob) { j.Schedule = "0 0 30 2 *" },
		"every second":         func(j *store.CronJob) { j.Schedule = "@every 1s" },
		"a line break":         func(j *store.CronJob) { j.Schedule = "0 3 * * *\n" + "x" },
		"two zones":            func(j *store.CronJob) { j.Schedule, j.Zone = "CRON_TZ=UTC 0 3 * * *", "Europe/Berlin" },
		"an unknown zone":      func(j *store.CronJob) { j.Zone = "Mars/Olympus" },
		"a zone of files":      func(j *store.CronJob) { j.Zone = "../../etc/passwd" },
		"a policy":             func(j *store.CronJob) { j.Concurrency = "maybe" },
		"missed":               func(j *store.CronJob) { j.Missed = "twice" },
		"a timeout":            func(j *store.CronJob) { j.Timeout = 1 << 30 },
		"retries":              func(j *store.CronJob) { j.Retries = 99 },
	} {
		job := good
		edit(&job)
		wantCode(t, what, set(job), "E306")
	}
	for n := range store.MaxCronEntries {
		job := good
		job.ID = fmt.Sprintf("job-%d", n)
		if err := set(job); err != nil {
			t.Fatal(err)
		}
	}
	wantCode(t, "one too many", set(good), "E307")
	good.ID = "job-5" // takes the place of another
	good.Schedule = "0 4 * * 7"
	if err := set(good); err != nil {
		t.Error(err)
	}
	jobs, err := w.CronJobs(t.Context(), "shop")
	if err != nil || len(jobs) != store.MaxCronEntries || jobs[5].Schedule != "0 4 * * 0" {
		t.Errorf("got %d jobs, %v", len(jobs), err)
	}
	if err := w.UnsetCron(t.Context(), "shop", "job-5", store.Root); err != nil {
		t.Error(err)
	}
	wantCode(t, "unset again", w.UnsetCron(t.Context(), "shop", "job-5", store.Root), "E126")
}

func TestSetCronProperty(t *testing.T) {
	w := newWorld(t)
	shop(t, w)
	set := func(name, value string) error { return w.SetCronProperty(t.Context(), "shop", name, value, store.Root) }
	if err := w.SetCron(t.Context(), "shop", store.CronJob{ID: "nightly", Schedule: "0 3 * * *", Command: "x"}, store.Root); err != nil {
		t.Fatal(err)
	}
	for _, pair := range [][2]string{{"mailto", "me@example.com"}, {"mailfrom", ""}, {"maintenance", "maybe"}, {"timezone", "Local"}, {"nothing", "x"}} {
		wantCode(t, pair[0], set(pair[0], pair[1]), "E306")
	}
	next := func() string {
		jobs, err := w.CronJobs(t.Context(), "shop")
		if err != nil || len(jobs) != 1 {
			t.Fatalf("got %v, %v", jobs, err)
		}
		return jobs[0].Next.UTC().Format("15:04") + " " + jobs[0].State
	}
	for _, tt := range []struct{ name, value, want string }{
		{"timezone", "Asia/Tokyo", "18:00 scheduled"},
		{"timezone", "", "03:00 scheduled"},
		{"maintenance", "true", "00:00 suspended"},
		{"maintenance", "false", "03:00 scheduled"},
	} {
		if err := set(tt.name, tt.value); err != nil {
			t.Fatal(err)
		}
		if got := next(); got != tt.want {
			t.Errorf("%s=%s: got %s, want %s", tt.name, tt.value, got, tt.want)
		}
	}
}

// What was said of a job counts over app.json, and outlives its release.
func TestSuspendCron_CountsOverAppJSON(t *testing.T) {
	w := newWorld(t)
	record, a := shop(t, w)
	job := store.CronJob{ID: "1a2b3c4d", Schedule: "@daily", Command: "x", Paused: true}
	release := func(number int) {
		update(t, w, func(tx *store.Tx) error {
			record.Release, record.LastRelease = number, number
			if err := tx.PutRelease(store.Release{App: "shop", Number: number, Cron: []store.CronJob{job}}); err != nil {
				return err
			}
			return tx.PutApp(record)
		})
		w.Schedule(a.fleet)
	}
	state := func() string {
		jobs, err := w.CronJobs(t.Context(), "shop")
		if err != nil || len(jobs) != 1 {
			t.Fatalf("got %v, %v", jobs, err)
		}
		return jobs[0].State
	}
	release(2)
	if got := state(); got != "suspended" {
		t.Errorf("as app.json says: got %s", got)
	}
	if err := w.SuspendCron(t.Context(), "shop", job.ID, false, store.Root); err != nil {
		t.Fatal(err)
	}
	release(3)
	if got := state(); got != "scheduled" {
		t.Errorf("resumed: got %s", got)
	}
	wantCode(t, "unset of app.json's", w.UnsetCron(t.Context(), "shop", job.ID, store.Root), "E306")
	wantCode(t, "an unknown one", w.SuspendCron(t.Context(), "shop", "nothing", true, store.Root), "E126")
}
