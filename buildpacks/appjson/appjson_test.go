package appjson

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/berthd/berth/buildpacks/source"
)

func TestManifest_WhatHerokuAndDokkuDocument(t *testing.T) {
	m, notes, err := parseManifest(`{
  "name": "ignored", "addons": ["x"], "buildpacks": [{"url": "heroku/python"}],
  "formation": {"web": {"quantity": 2, "max_parallel": 1}, "worker": {"quantity": 0}, "other": {}},
  "cron": [
    {"command": "python job.py", "schedule": "*/5 * * * *"},
    {"command": "python job.py", "schedule": "@daily", "maintenance": true, "concurrency_policy": "forbid"},
    {"command": "ä", "schedule": "CRON_TZ=UTC 0 3 * * MON-FRI"}
  ],
  "healthchecks": {
    "web": [
      {"type": "startup", "name": "up", "path": "/health?x=1", "port": 8080, "content": "ok", "attempts": 9, "timeout": 2, "wait": 1,
       "initialDelay": 3, "httpHeaders": [{"name": "Host", "value": "a.example"}], "description": "ignored"},
      {"type": "liveness", "command": ["/app/check", "-v"], "warn": true},
      {"type": "readiness", "listening": true},
      {"content": "only"}
    ],
    "worker": [{"type": "", "uptime": 30, "path": null}]
  },
  "env": {"A": "1", "B": {"value": "", "sync": true}, "C": {"generator": "secret", "description": "x"},
          "D": {"description": "needed"}, "E": {"required": false}},
  "scripts": {"postdeploy": "seed", "predeploy": "old", "pr-predestroy": "ignored",
              "dokku": {"predeploy": " prepare\nthen ", "postdeploy": "tell", "other": 1}},
  "environments": {"review": 5, "test": {"scripts": {"test": "pytest -q", "test-setup": "make db"},
    "env": {"K": "v", "S": {"generator": "secret"}, "N": {"description": "no value"}},
    "formation": {"web": {"quantity": 9}}, "buildpacks": [{"url": "x"}], "addons": ["postgres"]}}
}`)
	if err != nil {
		t.Fatal(err)
	}
	want := Manifest{
		Buildpacks: []string{"heroku/python"},
		Formation:  map[string]int{"web": 2, "worker": 0},
		Cron: []CronEntry{
			{Command: "python job.py", Schedule: "*/5 * * * *", Concurrency: "allow"},
			{Command: "python job.py", Schedule: "@daily", Concurrency: "forbid", Maintenance: true},
			{Command: "ä", Schedule: "CRON_TZ=UTC 0 3 * * MON-FRI", Concurrency: "allow"},
		},
		Health: map[string][]HealthCheck{
			"web": {
				{Type: "startup", Name: "up", Path: "/health?x=1", Port: 8080, Content: "ok", Attempts: 9, Timeout: 2, Wait: 1, InitialDelay: 3,
					Scheme: "http", Headers: [][2]string{{"Host", "a.example"}}},
				{Type: "liveness", Command: []string{"/app/check", "-v"}, Warn: true, Scheme: "http", Attempts: 3, Timeout: 5, Wait: 5},
				{Type: "readiness", Listening: true, Scheme: "http", Attempts: 3, Timeout: 5, Wait: 5},
				{Type: "startup", Path: "/", Content: "only", Scheme: "http", Attempts: 3, Timeout: 5, Wait: 5},
			},
			"worker": {{Type: "startup", Uptime: 30, Scheme: "http", Attempts: 3, Timeout: 5, Wait: 5}},
		},
		Env:      map[string]string{"A": "1", "B": ""},
		Sync:     []string{"B"},
		Secrets:  []string{"C"},
		Required: []string{"D"},
		Scripts:  Scripts{Predeploy: "prepare\nthen", Postdeploy: "tell", FirstPostdeploy: "seed"},
		Test:     Test{Setup: "make db", Command: "pytest -q", Env: map[string]string{"K": "v"}, Secrets: []string{"S"}},
	}
	if !reflect.DeepEqual(m, want) {
		t.Errorf("got  %+v\nwant %+v", m, want)
	}
	for i, want := range []string{"gives N no value", "buildpacks is ignored", "addons is ignored",
		"formation.web.max_parallel is ignored", "scripts.pr-predestroy is ignored", "scripts.dokku.other is ignored",
		"environments.review is ignored", "environments.test.formation is ignored"} {
		if len(notes) != 8 || !strings.Contains(notes[i], want) {
			t.Errorf("notes: got %q, want %q as number %d", notes, want, i+1)
		}
	}
}

func TestManifest_EnvOfTests(t *testing.T) {
	for text, want := range map[string]string{
		`{"env": {"A": "1"}}`: "map[A:1] []",
		`{"env": {"A": "1", "S": {"generator": "secret"}}, "environments": {"test": {"scripts": {"test": "x"}}}}`: "map[A:1] [S]",
		`{"env": {"A": "1"}, "environments": {"test": {"env": {"B": "2"}}}}`:                                      "map[B:2] []",
		`{"env": {"A": "1"}, "environments": {"test": {"env": {}}}}`:                                              "map[] []",
		`{"env": {"A": "1"}, "environments": {"test": null}, "scripts": null}`:                                    "map[A:1] []",
	} {
		m, _, err := parseManifest(text)
		env, secrets := m.TestEnv()
		if got := fmt.Sprint(env, secrets); err != nil || got != want {
			t.Errorf("%s: got %s, %v, want %s", text, got, err, want)
		}
	}
}

func TestManifest_MistakesNameLineAndColumn(t *testing.T) {
	for text, want := range map[string]string{
		``:                             "line 1, column 1: unexpected end",
		`[]`:                           "line 1, column 1: the file is a list and should be an object",
		"{\n  \"cron\": {}\n}":         "line 2, column 11: cron is an object and should be a list",
		"{ // no":                      "line 1, column ",
		"{\"cron\": [], // x\n,}":      "line 2, column ",
		"{'a': 1}":                     "JSON has double quotes only",
		`{"a": 1} {}`:                  "line 1, column 10",
		`{"cron": [{"command": "x"}]}`: "cron[0] has no schedule",
		`{"cron": [null]}`:             "cron[0] is null",
		`{"cron": [{"schedule": "@daily", "command": " "}]}`:                                                             "cron[0].command is empty",
		`{"cron": [{"schedule": 5, "command": "x"}]}`:                                                                    "cron[0].schedule is a number and should be a string",
		`{"cron": [{"schedule": "* * *", "command": "x"}]}`:                                                              "five fields",
		`{"cron": [{"schedule": "* * * * * *", "command": "x"}]}`:                                                        "five fields",
		`{"cron": [{"schedule": "0 0 30 2 *", "command": "x"}]}`:                                                         "there is no such day",
		`{"cron": [{"schedule": "@every 1s", "command": "x"}]}`:                                                          "more often than once a minute",
		`{"cron": [{"schedule": "TZ=UTC", "command": "x"}]}`:                                                             "nothing follows the time zone",
		`{"cron": [{"schedule": "@daily", "command": "x", "concurrency_policy": "no"}]}`:                                 "one of allow, forbid, replace",
		`{"cron": [{"schedule": "@daily", "command": "x"}, {"schedule": "@daily", "command": "x"}]}`:                     "cron[1] is the same as cron[0]",
		`{"cron": [` + strings.TrimSuffix(strings.Repeat(`{"command":"x","schedule":"@daily"},`, maxCron+1), ",") + `]}`: "cron[100] is one too many",
		`{"formation": {"web": {"quantity": "2"}}}`:                                                                      "write it without quotes: 2",
		`{"formation": {"web": {"quantity": 1.5}}}`:                                                                      "whole number",
		`{"formation": {"web": {"quantity": -1}}}`:                                                                       "from 0 to 100",
		`{"formation": {"web": {"quantity": 1e9}}}`:                                                                      "from 0 to 100",
		`{"formation": {"we b": {"quantity": 1}}}`:                                                                       "cannot name a process",
		`{"formation": {"web": 2}}`:                                                                                      "formation.web is a number and should be an object",
		"{\"formation\": {\"web\": {},\n\"web\": {}}}":                                                                   "line 2, column 1: formation.web appears twice",
		`{"env": {"A": 5}}`:                                                                             `put it in quotes: "5"`,
		`{"env": {"A-B": "x"}}`:                                                                         "cannot name a variable",
		`{"env": {"A": {"generator": "uuid"}}}`:                                                         "one of secret",
		`{"env": {"A": "\u0000"}}`:                                                                      "NUL",
		`{"healthchecks": {"web": [{}]}}`:                                                               "checks nothing",
		`{"healthchecks": {"web": [{"path": "/", "uptime": 3}]}}`:                                       "path and uptime",
		`{"healthchecks": {"web": [{"path": "health"}]}}`:                                               "should begin with /",
		`{"healthchecks": {"web": [{"path": "/a b"}]}}`:                                                 "%20",
		`{"healthchecks": {"web": [{"command": "true"}]}}`:                                              `["bash", "-c", "true"]`,
		`{"healthchecks": {"web": [{"path": "/", "port": 0}]}}`:                                         "from 1 to 65535",
		`{"healthchecks": {"web": [{"path": "/", "type": "x"}]}}`:                                       "startup, liveness, readiness",
		`{"healthchecks": {"web": [{"path": "/", "httpHeaders": [{"name": "a b", "value": "x"}]}]}}`:    "cannot name a header",
		`{"healthchecks": {"web": [{"path": "/", "httpHeaders": [{"name": "a", "value": "x\r\ny"}]}]}}`: "line break",
		`{"scripts": ["x"]}`:                                                                            "scripts is a list and should be an object",
		`{"scripts": {"postdeploy": ["x"]}}`:                                                            "scripts.postdeploy is a list and should be a string",
		`{"scripts": {"dokku": {"predeploy": 1}}}`:                                                      "scripts.dokku.predeploy is a number",
		`{"scripts": {"dokku": "x"}}`:                                                                   "scripts.dokku is a string and should be an object",
		`{"environments": {"test": {"scripts": {"test": true}}}}`:                                       "environments.test.scripts.test is true or false",
		`{"environments": {"test": {"env": {"A-B": "x"}}}}`:                                             "cannot name a variable",
		`{"environments": {"test": []}}`:                                                                "environments.test is a list",
		`{"x": ` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`:                            "64 levels",
	} {
		_, _, err := parseManifest(text)
		p, ok := errors.AsType[*source.Problem](err)
		if !ok {
			t.Errorf("%.60s: got %v, want a problem", text, err)
			continue
		}
		all := strings.Join(append([]string{p.Message}, p.Hints...), " ")
		if p.Code != "E204" || !strings.HasPrefix(p.Message, "app.json, line ") || !strings.Contains(all, want) {
			t.Errorf("%.60s: got %s %q, want %q", text, p.Code, all, want)
		}
	}
}

func TestManifest_ByteOrderMarkAndForeignEncodings(t *testing.T) {
	read := func(text string) (Manifest, error) {
		return Read(&source.Tree{FS: fstest.MapFS{"app.json": {Data: []byte(text)}}})
	}
	m, err := read("\ufeff{\"formation\": {\"web\": {\"quantity\": 3}}}")
	if got := m.Formation["web"]; err != nil || got != 3 {
		t.Errorf("quantity after a byte order mark: got %d, %v, want 3", got, err)
	}
	for _, text := range []string{"\xff\xfe{\x00}\x00", "{\"a\": \"\xe4\"}", "{\x00}"} {
		_, err := read(text)
		if p, ok := errors.AsType[*source.Problem](err); !ok || p.Code != "E205" {
			t.Errorf("%q: got %v, want E205", text, err)
		}
	}
}

func TestManifest_CommentsAndTrailingCommas(t *testing.T) {
	m, notes, err := parseManifest("// of the shop\n{\n  /* two\n of them */ \"formation\": {\"web\": {\"quantity\": 2,},}, # no\n}")
	if err == nil {
		t.Errorf("# was taken: %+v, %v", m, notes)
	}
	m, notes, err = parseManifest("// of the shop\n{\n  /* two\n of them */ \"formation\": {\"web\": {\"quantity\": 2,},}, // http://x\n  \"env\": {\"A\": \"// no comment\",},\n}\n// end\n")
	if err != nil || len(notes) != 0 || m.Formation["web"] != 2 || m.Env["A"] != "// no comment" {
		t.Errorf("got %+v, %v, %v", m, notes, err)
	}
	_, _, err = parseManifest("{\n  // of the shop\n  \"formation\": {\"web\": 2},\n}")
	if p, ok := errors.AsType[*source.Problem](err); !ok || !strings.HasPrefix(p.Message, "app.json, line 3, column 24: formation.web is a number") {
		t.Errorf("got %v, want the line and column of the file as it is", err)
	}
	if _, _, err := parseManifest("//\n" + strings.Repeat("[", 200_000)); err == nil {
		t.Error("200,000 brackets were taken")
	}
}

func TestManifest_AKeyThatIsNotReadIsTold(t *testing.T) {
	for text, want := range map[string]string{
		`{"healthcheck": {}}`: "healthcheck is ignored; did you mean healthchecks?",
		`{"formations": {}}`:  "formations is ignored; did you mean formation?",
		`{"cron": [{"command": "x", "schedule": "@daily", "timeZone": "UTC"}, {"command": "y", "schedule": "@daily", "timeZone": "UTC"}]}`: "cron.timeZone is ignored; did you mean timezone?",
		`{"healthchecks": {"web": [{"path": "/", "initial_delay": 5}]}}`:                                                                   "healthchecks.web.initial_delay is ignored; did you mean initialDelay?",
		`{"env": {"A": {"value": "1", "genrator": "secret"}}}`:                                                                             "env.A.genrator is ignored; did you mean generator?",
		`{"formation": {"web": {"quantity": 1, "size": "standard-1x"}}}`:                                                                   "formation.web.size is ignored: berth has no such key",
		`{"stack": "heroku-24"}`:                           "stack is ignored: berth has no such key",
		`{"\u001b[2Jx": 1}`:                                "is ignored: berth has no such key",
		`{"name": "x", "env": {"ANY": "1"}, "addons": []}`: "",
	} {
		_, notes, err := parseManifest(text)
		if err != nil || strings.Join(notes, "\n") != strings.TrimSuffix("app.json: "+want, "app.json: ") && !(len(notes) == 1 && strings.HasSuffix(notes[0], want)) || strings.Contains(strings.Join(notes, ""), "\x1b") {
			t.Errorf("%s: got %q, %v; want %q", text, notes, err, want)
		}
	}
	many := `{"a0": 1`
	for n := range 5000 {
		many += fmt.Sprintf(`, "unknown%d": 1`, n)
	}
	if _, notes, err := parseManifest(many + "}"); err != nil || len(notes) != 11 {
		t.Errorf("of 5001: got %d notes, %v", len(notes), err)
	}
}

func FuzzManifest(f *testing.F) {
	f.Add(`{"cron": [{"command": "x", "schedule": "0 0 * * *"}], "env": {"A": {"generator": "secret"}}}`)
	f.Add(`{"healthchecks": {"web": [{"path": "/", "attempts": 3}]}, "formation": {"web": {"quantity": 1}}}`)
	f.Add(`{"scripts": {"dokku": {"predeploy": "x"}}, "environments": {"test": {"scripts": {"test": "y"}, "env": {"A": "b"}}}}`)
	f.Add(`{"cron": [{"command": "x", "schedule": "TZ=A/B @every 1h"}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		m, _, err := parseManifest(text)
		if err == nil && len(m.Cron) > maxCron {
			t.Error("let too many jobs through")
		}
	})
}
