package appjson

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/berthd/berth/buildpacks/source"
)

func (m *Manifest) cron(v source.JSON) error {
	const want = `"cron": [{"command": "python job.py", "schedule": "0 3 * * *"}]`
	items, err := v.List(want, maxCron)
	if err != nil {
		return err
	}
	for _, item := range items {
		entry, err := cronEntry(item, want)
		if err != nil {
			return err
		}
		same := func(e CronEntry) bool { return e.Command == entry.Command && e.Schedule == entry.Schedule }
		if i := slices.IndexFunc(m.Cron, same); i >= 0 {
			return item.Bad("is the same as cron[%d]", i).Hint("remove one of the two")
		}
		m.Cron = append(m.Cron, entry)
	}
	return nil
}

func cronEntry(v source.JSON, want string) (CronEntry, error) {
	entry := CronEntry{Concurrency: "allow"}
	if v.Null() {
		return entry, v.Wrong("an object")
	}
	fields, err := v.Object(want)
	if err != nil {
		return entry, err
	}
	var zone string
	var inZone source.JSON
	for _, f := range fields {
		switch f.Name {
		case "command":
			if entry.Command, err = f.Text(); err == nil && strings.TrimSpace(entry.Command) == "" {
				err = f.Bad("is empty")
			}
		case "schedule":
			if entry.Schedule, err = f.Text(); err == nil {
				entry.Schedule = sundays(strings.TrimSpace(entry.Schedule))
				err = schedule(f.JSON, entry.Schedule)
			}
		case "timezone":
			inZone = f.JSON
			if !f.Null() {
				zone, err = timezone(f.JSON)
			}
		case "maintenance":
			entry.Maintenance, err = f.Flag()
		case "concurrency_policy":
			entry.Concurrency, err = f.OneOf("allow", "forbid", "replace")
		case "missed":
			entry.Missed, err = f.OneOf("skip", "once")
		case "timeout":
			entry.Timeout, err = f.Integer(1, MaxCronTimeout)
		case "retries":
			entry.Retries, err = f.Integer(0, MaxCronRetries)
		}
		if err != nil {
			return entry, err
		}
	}
	if entry.Command == "" {
		return entry, v.Bad("has no command").Hint("write it as %s", want)
	}
	if entry.Schedule == "" {
		return entry, v.Bad("has no schedule").Hint("write it as %s", want)
	}
	if zone == "" {
		return entry, nil
	}
	if strings.Contains(entry.Schedule, "TZ=") {
		return entry, inZone.Bad("is %q, but the schedule also names a time zone", source.Printable(zone)).Hint("keep one of the two")
	}
	entry.Schedule = "CRON_TZ=" + zone + " " + entry.Schedule
	return entry, schedule(inZone, entry.Schedule)
}

// timezone reads the name of a time zone, as "Europe/Berlin".
func timezone(v source.JSON) (string, error) {
	name, err := v.Text()
	if err != nil {
		return "", err
	}
	name = strings.TrimSpace(name)
	if name == "" {
		return "", nil
	}
	if !ValidZone(name) {
		return "", v.Bad("is %q, which is not a time zone", source.Printable(name)).Hint(`write it as in "Europe/Berlin"; without it, schedules are in UTC`)
	}
	return name, nil
}

// schedule checks that cron takes s, and that it comes, and not too often.
func schedule(v source.JSON, s string) error {
	if _, err := CheckSchedule(s); err != nil {
		return v.Bad("is %q: %s", source.Printable(s), err).Hint(ScheduleHint)
	}
	return nil
}

// ScheduleHint says how a schedule is written.
const ScheduleHint = `five fields, "minute hour day month weekday" in UTC, or @hourly, @daily, @weekly, @monthly`

// CheckSchedule returns a schedule as it is kept, with Sundays as cron takes
// them, or why it is none.
func CheckSchedule(s string) (string, error) {
	s = sundays(strings.TrimSpace(s))
	// ParseStandard slices beyond the end of a zone with nothing after it.
	if strings.Contains(s, "TZ=") && !strings.Contains(s, " ") {
		return "", errors.New("nothing follows the time zone")
	}
	if strings.ContainsAny(s, "\n\r") {
		return "", errors.New("a line break in it")
	}
	sched, err := cron.ParseStandard(s)
	if err != nil {
		return "", err
	}
	if every, ok := sched.(cron.ConstantDelaySchedule); ok && every.Delay < time.Minute {
		return "", errors.New("more often than once a minute")
	}
	// From one fixed day on, so that the same file always gets the same answer.
	if sched.Next(time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return "", errors.New("there is no such day")
	}
	return s, nil
}

// ValidZone tells whether there is a time zone of that name. The machine's own is
// none that an app can name.
func ValidZone(name string) bool {
	_, err := time.LoadLocation(name)
	return err == nil && name != "" && name != "Local" && !strings.ContainsAny(name, " \t\r\n")
}

var weekdays = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// sundays writes the weekday 7, which is Sunday for every cron but the library's,
// as 0: "5-7" becomes "5,6,0". What it does not understand it leaves as it is.
func sundays(s string) string {
	fields := strings.Fields(s)
	first := 0
	if len(fields) > 0 && strings.Contains(fields[0], "TZ=") {
		first = 1
	}
	if len(fields) != first+5 {
		return s
	}
	items := strings.Split(fields[first+4], ",")
	for i, item := range items {
		items[i] = sunday(item)
	}
	fields[first+4] = strings.Join(items, ",")
	if strings.Join(items, ",") == strings.Fields(s)[first+4] {
		return s
	}
	return strings.Join(fields, " ")
}

// sunday is sundays for one item of the list.
func sunday(item string) string {
	span, by, stepped := strings.Cut(item, "/")
	from, to, ranged := strings.Cut(span, "-")
	if !ranged {
		to = from
	}
	first, ok := weekday(from)
	last, also := weekday(to)
	step := 1
	if stepped {
		var err error
		if step, err = strconv.Atoi(by); err != nil || step < 1 || step > 7 {
			return item
		}
		if !ranged {
			last = max(last, 6) // 3/2 is each second day from Wednesday on
		}
	}
	if ranged && last == 0 && first > 0 { // fri-sun
		last = 7
	}
	if !ok || !also || first > last || last != 7 {
		return item
	}
	var days []string
	for day := first; day <= last; day += step {
		if text := fmt.Sprint(day % 7); !slices.Contains(days, text) {
			days = append(days, text)
		}
	}
	return strings.Join(days, ",")
}

func weekday(text string) (int, bool) {
	if i := slices.Index(weekdays, strings.ToLower(text)); i >= 0 {
		return i, true
	}
	n, err := strconv.ParseUint(text, 10, 8)
	return int(n), err == nil && n <= 7
}
