package advice

import (
	"strings"
	"testing"

	"github.com/berthd/berth/store/fault"
)

// advised returns the hints that follow from lines of a program.
func advised(t *testing.T, lines ...string) string {
	t.Helper()
	var logs []string
	for _, line := range lines {
		logs = append(logs, "| "+line)
	}
	return strings.Join(Settings(Program(fault.New(fault.Failed, "E302", "x"), logs), "ssh berth@example.com", "shop", logs).Hints, "\n")
}

func TestAdvise_AModuleThatIsMissing(t *testing.T) {
	for line, want := range map[string]string{
		"ModuleNotFoundError: No module named 'yaml'":                                  "add pyyaml to requirements.txt",
		"ModuleNotFoundError: No module named 'flask'":                                 "add flask to requirements.txt",
		"ModuleNotFoundError: No module named 'flask.nosuch'":                          "flask has no module nosuch",
		"ModuleNotFoundError: No module named 'a.b.c'":                                 "a.b has no module c",
		"ModuleNotFoundError: No module named 'flask.app'; 'flask' is not a package":   "is one of the app's files named flask.py?",
		"ModuleNotFoundError: No module named 'distutils'":                             "write 3.11 into a file named .python-version",
		"Error: Cannot find module 'express'":                                          "npm install express",
		"Error: Cannot find module '@fastify/cors/plugin'":                             "npm install @fastify/cors,",
		"Error [ERR_MODULE_NOT_FOUND]: Cannot find package 'koa' imported from /app/x": "npm install koa",
		"Error: Cannot find module '/app/dist/server.js'":                              "there is no file /app/dist/server.js",
		"cannot load such file -- sinatra (LoadError)":                                 "add the gem that has sinatra to the Gemfile",
		"cannot load such file -- /app/app.rb (LoadError)":                             "",
	} {
		if got := advised(t, line); want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: got %q, want %q", line, got, want)
		}
	}
}

func TestAdvise_AVariableThatIsNotSet(t *testing.T) {
	for line, want := range map[string]string{
		`KeyError: 'DATABASE_URL'`:                                                                           "DATABASE_URL",
		`app.rb:3:in 'ENV.fetch': key not found: "REDIS_URL" (KeyError)`:                                     "REDIS_URL",
		`django.core.exceptions.ImproperlyConfigured: Set the SECRET_KEY environment variable`:               "SECRET_KEY",
		`decouple.UndefinedValueError: API_TOKEN not found. Declare it as envvar or define a default value.`: "API_TOKEN",
		`Error: Environment variable not found: DATABASE_URL.`:                                               "DATABASE_URL",
		`panic: environment variable "S3_BUCKET" is not set`:                                                 "S3_BUCKET",
		`2024/01/01 00:00:00 DATABASE_URL must be set`:                                                       "DATABASE_URL",
		`Error: Missing required environment variables: STRIPE_KEY, OTHER_KEY`:                               "STRIPE_KEY",
		`Please set TELEGRAM_TOKEN`:                                                                          "TELEGRAM_TOKEN",
		`RuntimeError: 'JWT_SECRET' is required`:                                                             "JWT_SECRET",
		`Could not resolve placeholder 'DB_URL' in value "${DB_URL}"`:                                        "DB_URL",
		`FATAL: env var TOKEN missing`:                                                                       "TOKEN",
		`Error: MONGO_URI is undefined`:                                                                      "MONGO_URI",
		`KeyError: 'name'`:                                                                                   "",
		`KeyError: 'PORT'`:                                                                                   "",
		`WARNING: This is required for SSL`:                                                                  "",
		`ERROR required`:                                                                                     "",
		`GET /MISSING_PAGE 404`:                                                                              "",
	} {
		got := advised(t, line)
		if want == "" && strings.Contains(got, "config:set") || !strings.Contains(got, want) || want != "" && !strings.HasSuffix(got, " config:set shop "+want+"=VALUE") {
			t.Errorf("%s: got %q, want %q", line, got, want)
		}
	}
	if got := advised(t, "pydantic_core._pydantic_core.ValidationError: 1 validation error for Settings", "database_url", "  Field required [type=missing, input_value={}, input_type=dict]"); !strings.Contains(got, "config:set shop DATABASE_URL=VALUE") {
		t.Errorf("pydantic: got %q", got)
	}
	if got := advised(t, "KeyError: 'DATABASE_URL'", "KeyError: 'DATABASE_URL'"); strings.Count(got, "config:set") != 1 {
		t.Errorf("twice: got %q", got)
	}
}

func TestAdvise_WhatIsNotInTheContainer(t *testing.T) {
	for line, want := range map[string]string{
		`connection to server at "localhost" (127.0.0.1), port 5432 failed: Connection refused`: "config:set shop DATABASE_URL=VALUE",
		`Error: connect ECONNREFUSED 127.0.0.1:6379`:                                            "config:set shop REDIS_URL=VALUE",
		`dial tcp [::1]:27017: connect: connection refused`:                                     "MongoDB does not run in the app's container",
		`could not translate host name "db" to address: Name or service not known`:              "there is no host db here",
		`Error: getaddrinfo ENOTFOUND redis`:                                                    "there is no host redis here",
		`PermissionError: [Errno 13] Permission denied: '/data'`:                                "only below /app and /tmp, not to /data",
		`open /var/lib/shop/x.db: read-only file system`:                                        "not to /var/lib/shop/x.db",
		`Error: EACCES: permission denied, mkdir '/uploads'`:                                    "not to /uploads",
		`sqlite3.OperationalError: unable to open database file`:                                "SQLite's file must be in an existing directory below /app or /tmp",
		`PermissionError: [Errno 13] Permission denied: '/app/x'`:                               "",
		`connecting to 127.0.0.1:6379`:                                                          "",
		`bash: ./start.sh: Permission denied`:                                                   "",
	} {
		if got := advised(t, line); want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: got %q, want %q", line, got, want)
		}
	}
}
