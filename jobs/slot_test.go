package jobs

import (
	"testing"
	"time"

	"github.com/berthd/berth/store"
)

func scheduleOf(t *testing.T, text, zone string) schedule {
	t.Helper()
	s, err := parse(store.CronJob{Schedule: text}, zone)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func moments(t *testing.T, texts ...string) (all []time.Time) {
	t.Helper()
	for _, text := range texts {
		at, err := time.Parse("2006-01-02 15:04Z07:00", text)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, at)
	}
	return all
}

// The days on which clocks change, in both directions, of zones north and south
// of the equator, one by half an hour, one at midnight and one by two hours.
func TestSchedule_DaysOnWhichClocksChange(t *testing.T) {
	for _, tt := range []struct {
		zone, schedule string
		after          string
		want           []string // the first slots
	}{
		// Berlin, forward on 29 March 2026 at 2:00, back on 25 October at 3:00.
		{"Europe/Berlin", "30 2 * * *", "2026-03-28 12:00+01:00", []string{"2026-03-29 03:00+02:00", "2026-03-30 02:30+02:00"}},
		{"Europe/Berlin", "*/10 2 * * *", "2026-03-28 12:00+01:00", []string{"2026-03-29 03:00+02:00", "2026-03-30 02:00+02:00"}},
		{"Europe/Berlin", "0 2,3 * * *", "2026-03-28 12:00+01:00", []string{"2026-03-29 03:00+02:00", "2026-03-30 02:00+02:00"}},
		{"Europe/Berlin", "0 * * * *", "2026-03-29 00:30+01:00", []string{"2026-03-29 01:00+01:00", "2026-03-29 03:00+02:00", "2026-03-29 04:00+02:00"}},
		{"Europe/Berlin", "30 2 * * *", "2026-10-24 12:00+02:00", []string{"2026-10-25 02:30+02:00", "2026-10-26 02:30+01:00"}},
		{"Europe/Berlin", "30 2 * * *", "2026-10-25 02:15+01:00", []string{"2026-10-26 02:30+01:00"}}, // in the second of the two hours
		{"Europe/Berlin", "15,45 2 * * *", "2026-10-25 02:20+02:00", []string{"2026-10-25 02:45+02:00", "2026-10-26 02:15+01:00"}},
		{"Europe/Berlin", "0 * * * *", "2026-10-25 01:30+02:00", []string{"2026-10-25 02:00+02:00", "2026-10-25 02:00+01:00", "2026-10-25 03:00+01:00"}},
		{"Europe/Berlin", "*/30 * * * *", "2026-10-25 02:10+02:00", []string{"2026-10-25 02:30+02:00", "2026-10-25 02:00+01:00", "2026-10-25 02:30+01:00", "2026-10-25 03:00+01:00"}},
		{"Europe/Berlin", "@daily", "2026-10-24 12:00+02:00", []string{"2026-10-25 00:00+02:00", "2026-10-26 00:00+01:00"}},
		// Once a year, on the very night.
		{"Europe/Berlin", "30 2 25 10 *", "2026-01-01 00:00+01:00", []string{"2026-10-25 02:30+02:00", "2027-10-25 02:30+02:00"}},
		// Sundays of a schedule of every hour: the second hour of the day that ends there.
		{"Europe/Berlin", "30 * * * 0", "2026-10-25 01:45+02:00", []string{"2026-10-25 02:30+02:00", "2026-10-25 02:30+01:00", "2026-10-25 03:30+01:00"}},
		// New York, forward on 8 March, back on 1 November.
		{"America/New_York", "30 2 * * *", "2026-03-07 12:00-05:00", []string{"2026-03-08 03:00-04:00", "2026-03-09 02:30-04:00"}},
		{"America/New_York", "30 1 * * *", "2026-10-31 12:00-04:00", []string{"2026-11-01 01:30-04:00", "2026-11-02 01:30-05:00"}},
		{"America/New_York", "30 1 * * *", "2026-11-01 01:30-04:00", []string{"2026-11-02 01:30-05:00"}},
		// Lord Howe, by half an hour: forward on 4 October at 2:00, back on 5 April at 2:00.
		{"Australia/Lord_Howe", "15 2 * * *", "2026-10-03 12:00+10:30", []string{"2026-10-04 02:30+11:00", "2026-10-05 02:15+11:00"}},
		{"Australia/Lord_Howe", "45 2 * * *", "2026-10-03 12:00+10:30", []string{"2026-10-04 02:45+11:00", "2026-10-05 02:45+11:00"}},
		{"Australia/Lord_Howe", "45 1 * * *", "2026-04-04 12:00+11:00", []string{"2026-04-05 01:45+11:00", "2026-04-06 01:45+10:30"}},
		{"Australia/Lord_Howe", "45 1 * * *", "2026-04-05 01:40+10:30", []string{"2026-04-06 01:45+10:30"}},
		{"Australia/Lord_Howe", "*/15 * * * *", "2026-04-05 01:40+11:00", []string{"2026-04-05 01:45+11:00", "2026-04-05 01:30+10:30", "2026-04-05 01:45+10:30", "2026-04-05 02:00+10:30"}},
		{"Australia/Lord_Howe", "0 * * * *", "2026-10-04 00:30+10:30", []string{"2026-10-04 01:00+10:30", "2026-10-04 02:30+11:00", "2026-10-04 03:00+11:00"}},
		// Santiago, at midnight: forward on 6 September 2026, when 0:00 does not come.
		{"America/Santiago", "0 0 * * *", "2026-09-05 12:00-04:00", []string{"2026-09-06 01:00-03:00", "2026-09-07 00:00-03:00"}},
		{"America/Santiago", "@monthly", "2026-08-15 12:00-04:00", []string{"2026-09-01 00:00-04:00"}},
		{"America/Santiago", "30 23 * * *", "2026-04-04 12:00-03:00", []string{"2026-04-04 23:30-03:00", "2026-04-05 23:30-04:00"}},
		// Troll, by two hours: forward on 29 March at 1:00 UTC, back on 25 October.
		{"Antarctica/Troll", "30 2 * * *", "2026-03-28 12:00+00:00", []string{"2026-03-29 03:00+02:00", "2026-03-30 02:30+02:00"}},
		{"Antarctica/Troll", "30 1 * * *", "2026-10-24 12:00+02:00", []string{"2026-10-25 01:30+02:00", "2026-10-26 01:30+00:00"}},
		{"Antarctica/Troll", "0 * * * *", "2026-10-25 00:30+02:00", []string{"2026-10-25 01:00+02:00", "2026-10-25 02:00+02:00", "2026-10-25 01:00+00:00", "2026-10-25 02:00+00:00", "2026-10-25 03:00+00:00"}},
		// A zone of 45 minutes, without changes.
		{"Asia/Kathmandu", "0 3 * * *", "2026-03-28 12:00+05:45", []string{"2026-03-29 03:00+05:45"}},
		{"", "0 3 * * *", "2026-03-28 12:00Z", []string{"2026-03-29 03:00Z"}},
		// A zone in the schedule wins.
		{"Europe/Berlin", "CRON_TZ=America/New_York 0 3 * * *", "2026-01-01 00:00Z", []string{"2026-01-01 03:00-05:00"}},
		{"Europe/Berlin", "@every 7m", "2026-01-01 00:00Z", []string{"2026-01-01 00:06Z", "2026-01-01 00:13Z"}},
		{"", "0 0 29 2 *", "2026-01-01 00:00Z", []string{"2028-02-29 00:00Z"}},
	} {
		s := scheduleOf(t, tt.schedule, tt.zone)
		at := moments(t, tt.after)[0]
		for i, want := range moments(t, tt.want...) {
			got := s.Next(at)
			if !got.Equal(want) {
				t.Errorf("%s in %s after %s, slot %d: got %s, want %s", tt.schedule, tt.zone, tt.after, i+1, got.In(s.zone), want.In(s.zone))
				break
			}
			at = got
		}
	}
}

// Of every zone and schedule, the slots of two years go forward, and one of a
// fixed time of the day comes once on each day.
func TestSchedule_OneSlotADay(t *testing.T) {
	for _, zone := range []string{"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Santiago", "Antarctica/Troll", "Pacific/Apia", "Africa/Casablanca", "Asia/Tehran", "UTC"} {
		for _, text := range []string{"0 0 * * *", "30 1 * * *", "0 2 * * *", "15 2 * * *", "59 2 * * *", "0 3 * * *", "30 23 * * *"} {
			s := scheduleOf(t, text, zone)
			at := time.Date(2025, 12, 31, 23, 59, 0, 0, s.zone)
			for day := 1; day <= 730; day++ {
				next := s.Next(at)
				if !next.After(at) {
					t.Fatalf("%s in %s: %s follows %s", text, zone, next, at)
				}
				want := time.Date(2025, 12, 31+day, 12, 0, 0, 0, s.zone)
				if y, m, d := next.In(s.zone).Date(); y != want.Year() || m != want.Month() || d != want.Day() {
					t.Fatalf("%s in %s: the slot of %s is %s", text, zone, want.Format(time.DateOnly), next.In(s.zone))
				}
				at = next
			}
		}
	}
}

func TestSchedule_LastFindsTheLastSlotOfALongTime(t *testing.T) {
	for _, tt := range []struct {
		schedule, after, until string
		want                   string
		count                  int
	}{
		{"* * * * *", "2026-11-29 10:00Z", "2026-11-29 12:00Z", "2026-11-29 12:00Z", 120},
		{"* * * * *", "2006-11-29 10:00Z", "2026-11-29 12:00Z", "2026-11-29 12:00Z", mostCounted},
		{"*/5 3 * * *", "2006-11-29 10:00Z", "2026-11-29 12:00Z", "2026-11-29 03:55Z", mostCounted},
		{"0 3 1 1 *", "0006-11-29 10:00Z", "2026-11-29 12:00Z", "2026-01-01 03:00Z", mostCounted},
		{"0 3 * * *", "2026-11-28 03:00Z", "2026-11-29 02:59Z", "", 0},
		{"0 3 * * *", "2026-11-28 02:59Z", "2026-11-29 03:00Z", "2026-11-29 03:00Z", 2},
	} {
		s := scheduleOf(t, tt.schedule, "")
		span := moments(t, tt.after, tt.until)
		var want time.Time
		if tt.want != "" {
			want = moments(t, tt.want)[0]
		}
		if slot, count := s.last(span[0], span[1]); !slot.Equal(want) || count != tt.count {
			t.Errorf("%s from %s until %s: got %s, %d", tt.schedule, tt.after, tt.until, slot, count)
		}
	}
}
