package jobs

import (
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/berthd/berth/store"
)

// A slot is a time of a job's schedule. Each is decided once: it is run, skipped
// or missed, and never comes again, whatever happens to the clock.
//
// Schedules are read by robfig/cron, in a calendar that knows no change of the
// clocks. What the two days a year mean is decided here:
//
//	clocks go forward   what falls into the gap comes at its end, once
//	clocks go back      what is due in the hour that comes twice comes in the first;
//	                    a schedule of every hour goes on through both
type schedule struct {
	spec  *cron.SpecSchedule // of a day without end; its location is UTC
	zone  *time.Location
	every time.Duration // of @every, in the place of spec
}

// allHours are the bits of a schedule that comes in every hour.
const allHours = 1<<24 - 1

// parse reads the schedule of a job. usual is the time zone of one that names none.
func parse(job store.CronJob, usual string) (s schedule, err error) {
	text, name := job.Schedule, usual
	if job.Zone != "" {
		name = job.Zone
	}
	if rest, ok := strings.CutPrefix(strings.TrimPrefix(text, "CRON_"), "TZ="); ok {
		name, text, _ = strings.Cut(rest, " ")
		if text == "" {
			return s, fmt.Errorf("nothing follows the time zone")
		}
	}
	if s.zone, err = time.LoadLocation(name); err != nil {
		return s, err
	}
	parsed, err := cron.ParseStandard("TZ=UTC " + strings.TrimSpace(text))
	if err != nil {
		return s, err
	}
	switch parsed := parsed.(type) {
	case *cron.SpecSchedule:
		s.spec = parsed
	case cron.ConstantDelaySchedule:
		s.every = parsed.Delay
	default:
		return s, fmt.Errorf("a schedule of the type %T", parsed)
	}
	return s, nil
}

// Next returns the first slot after a moment; the zero time is never.
func (s schedule) Next(after time.Time) time.Time {
	if s.every > 0 { // the same slots after every start
		return after.Truncate(s.every).Add(s.every).UTC()
	}
	next := s.first(after)
	if s.spec.Hour&allHours != allHours {
		return next
	}
	// Such a schedule goes on in the hour that comes a second time.
	minute := after.Truncate(time.Minute).Add(time.Minute)
	for end := after.Add(3 * time.Hour); minute.Before(end) && (next.IsZero() || minute.Before(next)); minute = minute.Add(time.Minute) {
		local := calendar(minute.In(s.zone))
		if s.spec.Next(local.Add(-time.Second)).Equal(local) {
			return minute.UTC()
		}
	}
	return next
}

// first is Next, of the first time that the clocks show each slot.
func (s schedule) first(after time.Time) time.Time {
	for local := s.spec.Next(calendar(after.In(s.zone))); !local.IsZero(); local = s.spec.Next(local) {
		if slot := moment(local, s.zone); slot.After(after) {
			return slot.UTC()
		}
	}
	return time.Time{}
}

// calendar returns what the clocks show, as if it were UTC.
func calendar(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
}

// moment returns when the clocks of a zone first show what local says. When they
// never do, it is when they jump over it.
func moment(local time.Time, zone *time.Location) (first time.Time) {
	near := time.Date(local.Year(), local.Month(), local.Day(), local.Hour(), local.Minute(), local.Second(), 0, zone)
	from, to := near.ZoneBounds()
	around := []time.Time{near}
	for _, change := range []time.Time{from, to} {
		if !change.IsZero() {
			around = append(around, change.Add(-time.Second), change)
		}
	}
	for _, t := range around {
		_, offset := t.Zone()
		shown := local.Add(-time.Duration(offset) * time.Second).In(zone)
		if calendar(shown).Equal(local) && (first.IsZero() || shown.Before(first)) {
			first = shown
		}
	}
	if !first.IsZero() {
		return first
	}
	for _, change := range []time.Time{from, to} {
		if !change.IsZero() && calendar(change.Add(-time.Second)).Before(local) && calendar(change).After(local) {
			return change
		}
	}
	return near
}

// mostCounted bounds how many missed slots are counted.
const mostCounted = 1000

// last returns the last slot after a moment and until another; zero is none. count
// is how many there are, and at most mostCounted.
func (s schedule) last(after, until time.Time) (slot time.Time, count int) {
	t := s.Next(after)
	for ; !t.IsZero() && !t.After(until) && count < mostCounted; t = s.Next(t) {
		slot = t
		count++
	}
	if count < mostCounted {
		return slot, count
	}
	// There are more: the last of them is found from the end.
	for look := time.Minute; look < until.Sub(after); look *= 8 {
		for t := s.Next(until.Add(-look)); !t.IsZero() && !t.After(until); t = s.Next(t) {
			slot = t
		}
		if until.Sub(slot) <= look {
			break
		}
	}
	return slot, count
}
