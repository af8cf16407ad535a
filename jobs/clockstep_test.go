package jobs

import (
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/berthd/berth/store"
)

func TestClockStep_IsWhatTheClockMovedBeyondTheTimeThatWentBy(t *testing.T) {
	noon := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		after   time.Time
		elapsed time.Duration
		want    time.Duration
	}{
		{noon.Add(10 * time.Second), 10 * time.Second, 0},
		{noon.Add(10*time.Second + 300*time.Millisecond), 10 * time.Second, 0},
		{noon.Add(10*time.Second - time.Hour), 10 * time.Second, -time.Hour},
		{noon.Add(2 * time.Hour), 10 * time.Second, 2*time.Hour - 10*time.Second},
	} {
		if got := clockStep(noon, tt.after, tt.elapsed); got != tt.want {
			t.Errorf("%s later by the clock, %s in truth: got %s, want %s", tt.after.Sub(noon), tt.elapsed, got, tt.want)
		}
	}
}

func TestReplan_AClockThatIsSetBackStopsNoJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := New(t.Context(), Config{})
		every, err := cron.ParseStandard("* * * * *")
		if err != nil {
			t.Fatal(err)
		}
		var by, runs atomic.Int64
		by.Store(-int64(time.Hour)) // the job's next time is an hour away, as after a step
		j.cron.Schedule(shiftedOnce(every, &by), cron.FuncJob(func() { runs.Add(1) }))
		j.cron.Start()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if got := runs.Load(); got != 0 {
			t.Fatalf("got %d runs: the test does not show what it is for", got)
		}
		by.Store(0)
		j.replan(-time.Hour, time.Now())
		time.Sleep(3*time.Minute + time.Second)
		synctest.Wait()
		if got := runs.Load(); got < 3 {
			t.Errorf("got %d runs in three minutes after the step", got)
		}
		<-j.cron.Stop().Done()
	})
}

// shiftedOnce puts the first time off by what by says.
func shiftedOnce(s cron.Schedule, by *atomic.Int64) cron.Schedule {
	return nextFunc(func(now time.Time) time.Time { return s.Next(now.Add(-time.Duration(by.Load()))) })
}

type nextFunc func(time.Time) time.Time

func (f nextFunc) Next(now time.Time) time.Time { return f(now) }

func TestReplan_AJobThatWasJumpedRunsOnce(t *testing.T) {
	for _, tt := range []struct {
		step time.Duration
		want int64
	}{
		{2 * time.Hour, 1},       // of 120 slots
		{5 * time.Second, 0},     // its time has not come
		{8 * time.Hour, 0},       // the machine slept
		{-2 * time.Hour, 0},      // nothing is jumped
		{40 * 24 * time.Hour, 0}, // the clock was wrong
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			j := w.Jobs
			every, err := cron.ParseStandard("* * * * *")
			if err != nil {
				t.Fatal(err)
			}
			var runs atomic.Int64
			j.cron.Schedule(every, cron.FuncJob(func() { runs.Add(1) }))
			j.cron.Start()
			time.Sleep(10 * time.Second) // midnight of synctest's clock is a slot
			synctest.Wait()
			before := runs.Load()
			j.replan(tt.step, time.Now().Add(tt.step))
			synctest.Wait()
			if got := runs.Load() - before; got != tt.want {
				t.Errorf("a step of %s: got %d runs, want %d", tt.step, got, tt.want)
			}
			<-j.cron.Stop().Done()
			w.work.Wait()
		})
	}
}

func TestSteady_NoSecondRunOfWhatRanBeforeTheClockWasSetBack(t *testing.T) {
	at := func(text string) time.Time {
		got, err := time.Parse("2006-01-02 15:04:05", text)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	for _, tt := range []struct{ schedule, ran, now, want string }{
		{"0 3 * * *", "2026-11-29 03:00:00", "2026-11-29 02:30:00", "2026-11-30 03:00:00"}, // daily
		{"0 3 * * *", "2026-11-29 03:00:00", "2026-11-29 03:00:01", "2026-11-30 03:00:00"}, // no step
		{"* * * * *", "2026-11-29 03:29:00", "2026-11-29 02:29:30", "2026-11-29 02:30:00"}, // goes on
		{"* * * * *", "2026-11-29 03:29:00", "2026-11-29 03:28:40", "2026-11-29 03:30:00"}, // a small step
		{"0 * * * *", "2026-11-29 03:00:00", "2026-11-29 02:40:00", "2026-11-29 04:00:00"}, // within its pause
		{"0 * * * *", "2026-11-29 03:00:00", "2026-11-29 00:40:00", "2026-11-29 01:00:00"}, // beyond it
		{"0 3 * * *", "2036-01-01 03:00:00", "2026-11-29 02:30:00", "2026-11-29 03:00:00"}, // it was ten years ahead
		{"@every 5m", "2026-11-29 03:29:00", "2026-11-29 02:29:00", "2026-11-29 02:34:00"},
	} {
		schedule, err := cron.ParseStandard(tt.schedule)
		if err != nil {
			t.Fatal(err)
		}
		ran := new(ranAt)
		ran.set(at(tt.ran))
		if got := (steady{schedule, ran}).Next(at(tt.now)); !got.Equal(at(tt.want)) {
			t.Errorf("%s, ran at %s, now %s: got %s, want %s", tt.schedule, tt.ran, tt.now, got, tt.want)
		}
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
