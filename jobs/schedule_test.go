package jobs

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berthd/berth/fleet"
	"github.com/berthd/berth/fleet/fleettest"
	"github.com/berthd/berth/store"
)

// plannedJob is one that was planned at a moment.
func plannedJob(t *testing.T, text, zone string, since time.Time, job store.CronJob) *planned {
	t.Helper()
	p := &planned{job: job, schedule: scheduleOf(t, text, zone), since: since}
	p.seek()
	return p
}

// A walk through what the clock shows, one look after the other.
func TestLook_StepsOfTheClock(t *testing.T) {
	type look struct {
		at, run string // the slot that is run; "" is none
		missed  int
		jumped  bool
	}
	for _, tt := range []struct {
		what, schedule, since, missed string
		looks                         []look
	}{
		{"an ordinary day", "0 3 * * *", "2026-11-29 00:00Z", "", []look{
			{at: "2026-11-29 02:59Z"}, {at: "2026-11-29 03:00Z", run: "2026-11-29 03:00Z"}, {at: "2026-11-29 03:01Z"}, {at: "2026-11-30 03:00Z", run: "2026-11-30 03:00Z"}}},
		{"set back over a slot that ran", "0 3 * * *", "2026-11-29 00:00Z", "", []look{
			{at: "2026-11-29 03:00Z", run: "2026-11-29 03:00Z"}, {at: "2026-11-29 02:30Z"}, {at: "2026-11-29 03:00Z"}, {at: "2026-11-30 03:00Z", run: "2026-11-30 03:00Z"}}},
		{"set back before a slot", "0 3 * * *", "2026-11-29 00:00Z", "", []look{
			{at: "2026-11-29 02:50Z"}, {at: "2026-11-29 01:50Z"}, {at: "2026-11-29 03:00Z", run: "2026-11-29 03:00Z"}}},
		{"set back to minutes that never were", "* * * * *", "2026-11-29 14:00Z", "", []look{
			{at: "2026-11-29 14:01Z", run: "2026-11-29 14:01Z"}, {at: "2026-11-29 12:01Z"}, {at: "2026-11-29 12:02Z", run: "2026-11-29 12:02Z"}, {at: "2026-11-29 12:03Z", run: "2026-11-29 12:03Z"}}},
		{"set back over minutes that ran", "*/30 * * * *", "2026-11-29 01:59Z", "", []look{
			{at: "2026-11-29 02:00Z", run: "2026-11-29 02:00Z"}, {at: "2026-11-29 02:30Z", run: "2026-11-29 02:30Z"}, {at: "2026-11-29 01:45Z"},
			{at: "2026-11-29 02:00Z"}, {at: "2026-11-29 02:30Z"}, {at: "2026-11-29 03:00Z", run: "2026-11-29 03:00Z"}}},
		{"set forward over slots", "*/10 * * * *", "2026-11-29 02:01Z", "", []look{
			{at: "2026-11-29 03:55Z", run: "2026-11-29 03:50Z", jumped: true}, {at: "2026-11-29 04:00Z", run: "2026-11-29 04:00Z"}}},
		{"forward and back again", "0 3 * * *", "2026-11-29 02:00Z", "", []look{
			{at: "2026-11-29 03:30Z", run: "2026-11-29 03:00Z", jumped: true}, {at: "2026-11-29 02:30Z"}, {at: "2026-11-29 03:00Z"}, {at: "2026-11-30 03:00Z", run: "2026-11-30 03:00Z"}}},
		{"asleep for a night, skip", "0 3 * * *", "2026-11-28 20:00Z", "skip", []look{
			{at: "2026-11-29 08:00Z", missed: 1}, {at: "2026-11-29 08:01Z"}, {at: "2026-11-30 03:00Z", run: "2026-11-30 03:00Z"}}},
		{"asleep for three nights, once", "0 3 * * *", "2026-11-26 20:00Z", "once", []look{
			{at: "2026-11-29 08:00Z", run: "2026-11-29 03:00Z"}, {at: "2026-11-30 03:00Z", run: "2026-11-30 03:00Z"}}},
		{"a minute late is not missed", "0 3 * * *", "2026-11-29 00:00Z", "", []look{{at: "2026-11-29 03:01Z", run: "2026-11-29 03:00Z"}}},
		{"minutes, asleep for an hour", "* * * * *", "2026-11-29 02:00Z", "", []look{
			{at: "2026-11-29 03:00Z", run: "2026-11-29 03:00Z", missed: 59}, {at: "2026-11-29 03:01Z", run: "2026-11-29 03:01Z"}}},
		{"a clock of ten years ahead", "0 3 * * *", "2036-01-01 02:00Z", "", []look{
			{at: "2036-01-01 03:00Z", run: "2036-01-01 03:00Z"}, {at: "2026-11-29 02:30Z"}, {at: "2026-11-29 03:00Z", run: "2026-11-29 03:00Z"}}},
	} {
		p := plannedJob(t, tt.schedule, "", moments(t, tt.since)[0], store.CronJob{Missed: tt.missed})
		for _, l := range tt.looks {
			d := p.look(moments(t, l.at)[0], l.jumped)
			got := ""
			if !d.slot.IsZero() {
				got = d.slot.Format("2006-01-02 15:04Z07:00")
			}
			if got != l.run || d.missed != l.missed {
				t.Errorf("%s: at %s got %q and %d missed, want %q and %d", tt.what, l.at, got, d.missed, l.run, l.missed)
			}
		}
	}
}

// Whatever the clock does, no slot is run twice.
func TestLook_NoSlotTwice(t *testing.T) {
	for _, zone := range []string{"UTC", "Europe/Berlin", "Australia/Lord_Howe"} {
		for _, text := range []string{"* * * * *", "*/7 * * * *", "30 2 * * *", "0 */2 * * *"} {
			now := time.Date(2026, 10, 3, 20, 0, 0, 0, time.UTC)
			p := plannedJob(t, text, zone, now, store.CronJob{Missed: missedOnce})
			ran := map[string]int{}
			steps := []time.Duration{time.Minute, 10 * time.Second, -time.Hour, 90 * time.Minute, -3 * time.Hour, time.Minute, 5 * time.Hour, -20 * time.Minute}
			for n := range 5000 {
				step := 40 * time.Second
				if n%97 == 0 {
					step = steps[n/97%len(steps)]
				}
				now = now.Add(step)
				if d := p.look(now, step > time.Minute); !d.slot.IsZero() {
					if ran[d.slot.String()]++; ran[d.slot.String()] > 1 {
						t.Fatalf("%s in %s: %s is run twice", text, zone, d.slot)
					}
				}
			}
			if len(ran) == 0 {
				t.Errorf("%s in %s: nothing ran", text, zone)
			}
		}
	}
}

// tick makes an app with jobs, and plans them.
func tick(t *testing.T, w *world, jobs ...store.CronJob) *app {
	t.Helper()
	record, a := shop(t, w)
	update(t, w, func(tx *store.Tx) error {
		return tx.CronPlans.Put(record.Name, store.CronPlan{Jobs: jobs})
	})
	w.Schedule(a.fleet)
	return a
}

func runsOf(t *testing.T, w *world) (texts []string) {
	t.Helper()
	err := w.db.View(func(tx *store.Tx) error {
		runs, err := tx.CronRuns.Of("shop", "", 0)
		for _, run := range slices.Backward(runs) {
			text := fmt.Sprintf("%s %s", run.Job, run.State)
			if run.Attempt > 1 {
				text += fmt.Sprintf(" try %d", run.Attempt)
			}
			if run.Slots > 0 {
				text += fmt.Sprintf(" %d", run.Slots)
			}
			texts = append(texts, text)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return texts
}

func eventsOf(t *testing.T, w *world) (texts []string) {
	t.Helper()
	err := w.db.View(func(tx *store.Tx) error {
		events, err := tx.Events("shop", 0)
		for _, e := range slices.Backward(events) {
			if e.By == "berth" && e.Kind == "cron" {
				texts = append(texts, e.Text)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return texts
}

func wantRuns(t *testing.T, w *world, want ...string) {
	t.Helper()
	if got := runsOf(t, w); !slices.Equal(got, want) {
		t.Errorf("got the runs %q, want %q", got, want)
	}
}

// programs makes programs end after some time with a code.
func programs(w *world, after time.Duration, code *atomic.Int64) {
	w.machine.SetProgram(func(fleet.Spec, fleet.Command) fleettest.Program {
		return fleettest.Program{Ends: after, Exit: fleet.Exit{Code: int(code.Load())}}
	})
}

func TestRun_JobsRunByTheirSchedules(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, code := newWorld(t), new(atomic.Int64)
		programs(w, time.Second, code)
		tick(t, w, store.CronJob{ID: "hourly", Schedule: "0 * * * *", Command: "x"}, store.CronJob{ID: "off", Schedule: "* * * * *", Command: "x", Paused: true})
		go w.Run(w.life)
		time.Sleep(2*time.Hour + time.Minute)
		synctest.Wait()
		wantRuns(t, w, "hourly ok", "hourly ok")
		code.Store(3)
		time.Sleep(time.Hour)
		synctest.Wait()
		wantRuns(t, w, "hourly ok", "hourly ok", "hourly failed")
		if got := eventsOf(t, w); !slices.Equal(got, []string{"job hourly failed: exit code 3 (run 3)"}) {
			t.Errorf("got the events %q", got)
		}
		if n := len(w.machine.Boxes()); n != 0 {
			t.Errorf("%d containers are left", n)
		}
		w.finish()
	})
}

func TestRun_ConcurrencyTimeoutAndRetries(t *testing.T) {
	for _, tt := range []struct {
		job  store.CronJob
		code int
		long time.Duration
		wait time.Duration
		want []string
	}{
		{store.CronJob{Concurrency: "forbid"}, 0, 150 * time.Second, 3*time.Minute + 40*time.Second, []string{"j ok", "j skipped", "j skipped"}},
		{store.CronJob{Concurrency: "allow", Timeout: 200}, 0, 150 * time.Second, 2*time.Minute + 30*time.Second, []string{"j running", "j running"}},
		{store.CronJob{Concurrency: "replace"}, 0, 150 * time.Second, 2*time.Minute + 30*time.Second, []string{"j failed", "j running"}},
		{store.CronJob{Concurrency: "forbid", Timeout: 90}, 0, time.Hour, 2*time.Minute + 45*time.Second, []string{"j timed-out", "j skipped"}},
		{store.CronJob{Schedule: "0 * * * *", Retries: 2}, 1, time.Second, 65 * time.Minute, []string{"j failed", "j failed try 2", "j failed try 3"}},
		{store.CronJob{Schedule: "0 * * * *"}, 1, time.Second, 65 * time.Minute, []string{"j failed"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			code := new(atomic.Int64)
			code.Store(int64(tt.code))
			programs(w, tt.long, code)
			tt.job.ID, tt.job.Command = "j", "x"
			if tt.job.Schedule == "" {
				tt.job.Schedule = "* * * * *"
			}
			time.Sleep(time.Second) // midnight is a slot
			tick(t, w, tt.job)
			go w.Run(w.life)
			time.Sleep(tt.wait)
			synctest.Wait()
			wantRuns(t, w, tt.want...)
			w.finish()
		})
	}
}

// berth is killed at every step of a run. The slot is run at most once, and its
// record ends.
func TestRun_KilledAtEachStepOfASlot(t *testing.T) {
	for step := 1; step <= 4; step++ {
		for _, after := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				w, code := newWorld(t), new(atomic.Int64)
				programs(w, 20*time.Second, code)
				time.Sleep(time.Second)
				tick(t, w, store.CronJob{ID: "j", Schedule: "0 * * * *", Command: "x", Missed: missedOnce})
				// What is written stays; what is not is lost.
				w.host.Ended = func() { w.end(); w.db.Close() }
				w.host.Set(fleettest.Trap{End: step, After: after})
				go w.Run(w.life)
				time.Sleep(time.Hour + time.Second)
				synctest.Wait()
				launched := 0
				for _, b := range w.machine.Every() {
					if !b.Launched().IsZero() {
						launched++
					}
				}
				w.host.End()
				w.end()
				w.work.Wait()

				next := newLife(t, w.dir, w.machine)
				defer next.db.Close()
				programs(next, 20*time.Second, code)
				record := store.App{}
				next.db.View(func(tx *store.Tx) (err error) { record, err = tx.App("shop"); return err })
				containers, _ := next.host.Host().Containers(context.Background())
				left := next.Adopt([]store.App{record}, containers)
				for _, c := range left {
					next.Remove(c)
				}
				next.Schedule(next.Running(record))
				go next.Run(next.life)
				time.Sleep(30 * time.Minute)
				synctest.Wait()
				again := 0
				for _, b := range next.machine.Every() {
					if !b.Launched().IsZero() {
						again++
					}
				}
				if again > 1 {
					t.Errorf("killed at step %d (after: %v): the slot was run %d times (%d before)", step, after, again, launched)
				}
				if n := len(next.machine.Boxes()); n != 0 {
					t.Errorf("killed at step %d (after: %v): %d containers are left", step, after, n)
				}
				next.finish()
			})
		}
	}
}

func TestSchedule_WhatWasDueWhileBerthWasAway(t *testing.T) {
	for _, tt := range []struct {
		missed string
		want   []string
	}{
		{"skip", []string{"j ok", "j missed 3"}},
		{missedOnce, []string{"j ok", "j ok"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			w, code := newWorld(t), new(atomic.Int64)
			programs(w, time.Second, code)
			time.Sleep(time.Second)
			a := tick(t, w, store.CronJob{ID: "j", Schedule: "0 * * * *", Command: "x", Missed: tt.missed})
			go w.Run(w.life)
			time.Sleep(time.Hour + time.Minute)
			synctest.Wait()
			uid := a.fleet.UID()
			next := w.crash(t)
			time.Sleep(3*time.Hour + 10*time.Minute) // until 4:11
			next.Schedule(next.Running(store.App{UID: uid, Name: "shop"}))
			go next.Run(next.life)
			time.Sleep(time.Minute)
			synctest.Wait()
			wantRuns(t, next, tt.want...)
			if got := len(eventsOf(t, next)); tt.missed == "skip" && got != 1 || tt.missed != "skip" && got != 0 {
				t.Errorf("%s: got %d events", tt.missed, got)
			}
			// It is told once.
			third := next.crash(t)
			third.Schedule(third.Running(store.App{UID: uid, Name: "shop"}))
			go third.Run(third.life)
			time.Sleep(time.Minute)
			synctest.Wait()
			wantRuns(t, third, tt.want...)
			third.finish()
		})
	}
}

func TestSchedule_NothingIsMissedWhileItIsSuspendedOrStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, code := newWorld(t), new(atomic.Int64)
		programs(w, time.Second, code)
		time.Sleep(time.Second)
		a := tick(t, w, store.CronJob{ID: "j", Schedule: "0 * * * *", Command: "x"})
		go w.Run(w.life)
		if err := w.SuspendCron(t.Context(), "shop", "j", true, store.Root); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Hour)
		if err := w.SuspendCron(t.Context(), "shop", "j", false, store.Root); err != nil {
			t.Fatal(err)
		}
		next := w.crash(t)
		next.Schedule(next.Running(store.App{UID: a.fleet.UID(), Name: "shop"}))
		go next.Run(next.life)
		time.Sleep(time.Minute)
		synctest.Wait()
		wantRuns(t, next)
		time.Sleep(time.Hour)
		synctest.Wait()
		wantRuns(t, next, "j ok")
		next.finish()
	})
}

// A retry that was due when berth was stopped comes after its next start.
func TestRetry_OutlivesBerth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, code := newWorld(t), new(atomic.Int64)
		code.Store(1)
		programs(w, time.Second, code)
		time.Sleep(time.Second)
		a := tick(t, w, store.CronJob{ID: "j", Schedule: "0 * * * *", Command: "x", Retries: 1})
		go w.Run(w.life)
		time.Sleep(time.Hour + 5*time.Second)
		synctest.Wait()
		wantRuns(t, w, "j failed")
		next := w.crash(t)
		code.Store(0)
		next.Schedule(next.Running(store.App{UID: a.fleet.UID(), Name: "shop"}))
		next.Schedule(next.Running(store.App{UID: a.fleet.UID(), Name: "shop"}))
		go next.Run(next.life)
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		wantRuns(t, next, "j failed", "j ok try 2")
		next.finish()
	})
}
