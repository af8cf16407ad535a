package appjson

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/berthd/berth/buildpacks/source"
)

func TestCron_SundayIsTheSeventhDayToo(t *testing.T) {
	for field, want := range map[string]string{
		"7":       "sun",
		"0":       "sun",
		"5-7":     "fri sat sun",
		"0-7":     "mon tue wed thu fri sat sun",
		"1-7/2":   "mon wed fri sun",
		"7,3":     "wed sun",
		"fri-sun": "fri sat sun",
		"FRI-7":   "fri sat sun",
		"7-7":     "sun",
		"1-5":     "mon tue wed thu fri",
		"*/2":     "tue thu sat sun",
		"*":       "mon tue wed thu fri sat sun",
	} {
		m, _, err := parseManifest(`{"cron": [{"command": "x", "schedule": "0 3 * * ` + field + `"}]}`)
		if err != nil {
			t.Errorf("%s: %v", field, err)
			continue
		}
		sched, err := cron.ParseStandard(m.Cron[0].Schedule)
		if err != nil {
			t.Fatal(err)
		}
		var days []string
		for at := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC); ; { // a Monday
			if at = sched.Next(at); at.Day() > 7 {
				break
			}
			days = append(days, strings.ToLower(at.Format("Mon")))
		}
		if got := strings.Join(days, " "); got != want {
			t.Errorf("%s: got %s, want %s", field, got, want)
		}
	}
	for _, field := range []string{"8", "7-5", "5-8", "7-1", "x", "-7", "1-7/0", "sun-sat-sun"} {
		if _, _, err := parseManifest(`{"cron": [{"command": "x", "schedule": "0 3 * * ` + field + `"}]}`); err == nil {
			t.Errorf("%s was taken", field)
		}
	}
}

func TestCron_TimeZoneOfAnEntry(t *testing.T) {
	m, _, err := parseManifest(`{"cron": [
		{"command": "x", "schedule": "0 3 * * 7", "timezone": "Europe/Berlin"},
		{"command": "x", "schedule": "0 3 * * 7", "timezone": "America/New_York"},
		{"command": "x", "schedule": "0 3 * * 7", "timezone": null},
		{"command": "y", "schedule": "@daily", "timezone": "Asia/Tokyo"}]}`)
	if err != nil {
		t.Fatal(err)
	}
	monday := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	for i, want := range []string{"2024-01-07 02:00", "2024-01-07 08:00", "2024-01-07 03:00", "2024-01-01 15:00"} {
		sched, err := cron.ParseStandard(m.Cron[i].Schedule)
		if err != nil {
			t.Fatal(err)
		}
		if got := sched.Next(monday).UTC().Format("2006-01-02 15:04"); got != want {
			t.Errorf("%s: got %s, want %s", m.Cron[i].Schedule, got, want)
		}
	}
	for text, want := range map[string]string{
		`"schedule": "@daily", "timezone": "Mars/Olympus"`:                     `cron[0].timezone is "Mars/Olympus", which is not a time zone`,
		`"schedule": "@daily", "timezone": "../../etc/passwd"`:                 "not a time zone",
		`"schedule": "@daily", "timezone": "Local"`:                            "not a time zone",
		`"schedule": "@daily", "timezone": "Europe/Berlin 0"`:                  "not a time zone",
		`"schedule": "@daily", "timezone": 5`:                                  "should be a string",
		`"schedule": "CRON_TZ=UTC 0 3 * * *", "timezone": "Europe/Berlin"`:     "also names a time zone",
		`"timezone": "Europe/Berlin", "schedule": "TZ=Mars/Olympus 0 3 * * *"`: "Mars/Olympus",
	} {
		_, _, err := parseManifest(`{"cron": [{"command": "x", ` + text + `}]}`)
		p, ok := errors.AsType[*source.Problem](err)
		if !ok || p.Code != "E204" || !strings.Contains(p.Message, want) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
}
