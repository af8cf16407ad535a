package store_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/berthd/berth/store"
)

// This file has filled the fixtures of formats 1 and 2, as it was then
// (testdata/make-fixtures.sh). Today it reads what they hold.

// TestMakeFormat1 fills a state with one of everything.
func TestMakeFormat1(t *testing.T) {
	dir := os.Getenv("BERTH_MAKE_FORMAT1")
	if dir == "" {
		dir = t.TempDir()
	}
	s, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := fillFormat1(s); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/nouns.txt", []byte(nouns(t, s)), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// at is a moment of the fixture's past.
func at(minute int) time.Time {
	return time.Date(2026, 11, 1, 12, minute, 0, 0, time.UTC)
}

// fillFormat1 makes one of everything: the app shop, which was called store once,
// the app blog, and events of an app that is gone.
func fillFormat1(s *store.Store) error {
	add := func(tx *store.Tx, minute int, app, by, kind, text string) error {
		return tx.AddEvent(store.Event{Time: at(minute), App: app, By: by, Kind: kind, Text: text})
	}
	err := s.Update(func(tx *store.Tx) error {
		_, err := tx.CreateApp(store.App{Name: "blog", CreatedAt: at(0), CreatedBy: "alice"})
		return errors.Join(err,
			add(tx, 0, "blog", "alice", "create", "created"),
			add(tx, 1, "blog", "berth", "crash", "web.1 of v1 crashed: exit code 1"),
			tx.PutConfig("blog", map[string]string{"OF": "the first blog"}),
			tx.DeleteApp("blog"),
			add(tx, 2, "blog", "alice", "destroy", "destroyed"),
		)
	})
	if err != nil {
		return err
	}
	err = s.Update(func(tx *store.Tx) error {
		for minute, name := range []string{3: "store", 4: "blog"} {
			if name == "" {
				continue
			}
			app, err := tx.CreateApp(store.App{Name: name, CreatedAt: at(minute), CreatedBy: "alice"})
			if err != nil {
				return err
			}
			app.Branch, app.Release, app.LastRelease, app.LastBuild = "main", 2, 3, 2
			app.Formation = map[string]int{"web": 2, "worker": 1}
			app.Builder = store.Builder{Selected: "python", Test: true}
			app.Versions = map[string]string{"python": "3.13"}
			err = errors.Join(
				tx.PutApp(app),
				add(tx, minute, name, "alice", "create", "created"),
				add(tx, minute+10, name, "alice", "deploy", "v1: 4f1c9ab first"),
				add(tx, minute+20, name, "berth", "crash", "web.1 of v1 crashed: exit code 1"),
				fillApp(tx, name),
			)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = s.Update(func(tx *store.Tx) error {
		_, err := tx.RenameApp("store", "shop")
		return errors.Join(err,
			add(tx, 40, "shop", "alice", "rename", "renamed from store"),
			add(tx, 41, "shop", "alice", "scale", "web=2"),
			add(tx, 42, "", "root", "settings", "changed the settings"),
			tx.PutSettings(store.Settings{
				Domain: "example.com", Email: "ops@example.com", MetricsToken: "0123", DNSProvider: "cloudflare",
				Router: map[string]string{"log": "on"}, Network: map[string]string{"trust": "10.0.0.0/8"},
				Secrets: map[string]string{"cloudflare-api-token": "the settings' secret"},
			}),
			tx.Keys.Put(store.Key{Name: "alice", Fingerprint: "SHA256:a", Authorized: "ssh-ed25519 AAAA", Role: store.RoleAdmin, CreatedAt: at(0), LastUsed: at(30)}),
			tx.Keys.Put(store.Key{Name: "ci", Fingerprint: "SHA256:b", Authorized: "ssh-ed25519 BBBB", Role: store.RoleDeploy, Apps: []string{"blog", "shop"}, CreatedAt: at(1)}),
			tx.Logins.Put(store.Login{Hash: "aaaa", User: store.User{Name: "alice", Role: store.RoleAdmin}, CreatedAt: at(1), ExpiresAt: at(50)}),
			tx.Logins.Put(store.Login{Hash: "bbbb", Session: true, User: store.User{Name: "ci", Role: store.RoleDeploy, Apps: []string{"shop"}}, CreatedAt: at(1), ExpiresAt: at(50)}),
			tx.HostKeys.Put("ed25519", []byte("the host key")),
			tx.Pairs.Put(store.Pair{App: store.AdminPairs, Chain: "chain", Key: "the admin page's key", GivenAt: at(3), GivenBy: "alice"}),
			tx.Registries.Replace(map[store.RegistryPlace]store.RegistryLogin{
				{Host: "registry.example.com"}:              {Username: "berth", Password: "the machine's password", Trusted: true},
				{App: "shop", Host: "registry.example.com"}: {Username: "shop", Password: "the shop's password"},
			}),
		)
	})
	if err != nil {
		return err
	}
	return s.Certificates().Store(nil, "acme/www.example.com/www.example.com.key", []byte("the key of a certificate"))
}

func fillApp(tx *store.Tx, name string) error {
	secret := func(of string) map[string]string { return map[string]string{"OF": name + ", " + of} }
	var errs []error
	for n := 1; n <= 3; n++ {
		errs = append(errs, tx.PutRelease(store.Release{
			App: name, Number: n, Status: store.ReleaseRetired, CreatedAt: at(n), CreatedBy: "alice",
			Description: fmt.Sprintf("Deploy %d", n), Commit: strings.Repeat("a", 40), Subject: "Fix cart total", Build: min(n, 2),
			Language: "python", Summary: "Python 3.13", Layer: "layer", Base: "base",
			Processes: []store.Process{{Type: "web", Command: "gunicorn web:app"}}, Env: map[string]string{"A": "b"},
			Health: []store.HealthCheck{{Process: "web", Type: "startup", Path: "/"}},
			Cron:   []store.CronJob{{ID: "1a2b3c4d", Schedule: "@daily", Command: "tidy"}},
			Config: secret(fmt.Sprintf("v%d", n)),
		}))
	}
	errs = append(errs, tx.MarkRelease(name, 2, store.ReleaseLive, ""), tx.MarkRelease(name, 3, store.ReleaseFailed, "fell over"))
	for n := 1; n <= 2; n++ {
		errs = append(errs, tx.Builds.Put(store.Build{
			App: name, Number: n, Status: store.BuildSucceeded, Commit: strings.Repeat("a", 40), Branch: "main", By: "alice",
			StartedAt: at(n), FinishedAt: at(n + 1), Release: n, Layers: []string{"layer"}, Steps: []store.Step{{Name: "build", Took: time.Second}},
		}))
		_, err := tx.CronRuns.Put(store.CronRun{App: name, Job: "1a2b3c4d", Command: "tidy", Release: 2, StartedAt: at(n), FinishedAt: at(n + 1), By: "schedule"})
		errs = append(errs, err)
	}
	number := 5432
	if name == "blog" {
		number = 5433
	}
	errs = append(errs,
		tx.PutConfig(name, secret("config")),
		tx.PutDomain(store.Domain{App: name, Host: name + ".example.org", CreatedAt: at(5)}),
		tx.PutDomain(store.Domain{App: name, Host: "www.example.com", Path: "/" + name, Strip: true, CreatedAt: at(6)}),
		tx.Ports.Put(store.Port{App: name, Number: number, Container: 5432, TLS: true, CreatedAt: at(7)}),
		tx.Pairs.Put(store.Pair{App: name, Chain: "chain", Key: "the key of " + name, GivenAt: at(8), GivenBy: "alice"}),
		tx.Pairs.Put(store.Pair{App: name, Host: name + ".example.org", Chain: "chain", Key: "the key of a host of " + name, GivenAt: at(8), GivenBy: "alice"}),
		tx.PutRouting(name, store.Routing{Maintenance: true, Properties: map[string]string{"balance": "sticky"}, Users: map[string]string{"eve": "hash"}}),
		tx.Pages.Put(name, store.PageError, []byte("<h1>"+name+"</h1>")),
		tx.Pages.PutCarried(name, []byte("<h1>carried by "+name+"</h1>")),
	)
	return errors.Join(errs...)
}

// nouns writes down everything that a state holds, noun by noun, secrets in the
// clear.
func nouns(t *testing.T, s *store.Store) string {
	t.Helper()
	var text bytes.Buffer
	err := s.View(func(tx *store.Tx) error {
		say := func(noun string, what any, err error) {
			raw, marshalErr := json.Marshal(what)
			if err := errors.Join(err, marshalErr); err != nil {
				t.Errorf("%s: %v", noun, err)
			}
			fmt.Fprintf(&text, "%s %s\n", noun, raw)
		}
		apps, err := tx.Apps()
		say("apps", apps, err)
		for _, app := range apps {
			config, err := tx.Config(app.Name)
			say("config", config, err)
			releases, err := tx.Releases(app.Name, 0)
			say("releases", releases, err)
			for _, r := range releases {
				whole, err := tx.Release(app.Name, r.Number)
				say("release", whole, err)
				say("its config", whole.Config, nil)
			}
			builds, err := tx.Builds.Of(app.Name, 0)
			say("builds", builds, err)
			runs, err := tx.CronRuns.Of(app.Name, "", 0)
			for i := range runs {
				runs[i].State = "" // which no file of that time has
			}
			say("runs", runs, err)
			domains, err := tx.Domains(app.Name)
			say("domains", domains, err)
			ports, err := tx.Ports.Of(app.Name)
			say("ports", ports, err)
			pairs, err := tx.Pairs.Of(app.Name)
			say("pairs", pairs, err)
			routing, err := tx.Routing(app.Name)
			say("routing", routing, err)
			say("page", string(tx.Pages.Get(app.Name, store.PageError)), nil)
			for key := range tx.Pages.CarriedKeys(app.Name) {
				say("carried page", string(tx.Pages.Carried(app.Name, key)), nil)
			}
		}
		domains, err := tx.Domains("")
		say("all domains", domains, err)
		ports, err := tx.Ports.Of("")
		say("all ports", ports, err)
		pairs, err := tx.Pairs.Of(store.AdminPairs)
		say("pairs of the admin page", pairs, err)
		settings, err := tx.Settings()
		say("settings", settings, err)
		say("their secrets", settings.Secrets, nil)
		keys, err := tx.Keys.All()
		say("keys", keys, err)
		logins, err := tx.Logins.All()
		say("logins", logins, err)
		hostKeys, err := tx.HostKeys.All()
		say("host keys", hostKeys, err)
		registries, err := tx.Registries.All()
		var lines []string
		for place, login := range registries {
			lines = append(lines, fmt.Sprintf("%s/%s %s %s %t", place.App, place.Host, login.Username, login.Password, login.Trusted))
		}
		sort.Strings(lines)
		say("registries", lines, err)
		events, err := tx.Events("", 0)
		for _, e := range events {
			say("event", fmt.Sprintf("%d %s %q %s %s %s", e.ID, e.Time.Format(time.RFC3339), e.App, e.By, e.Kind, e.Text), nil)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	value, err := s.Certificates().Load(t.Context(), "acme/www.example.com/www.example.com.key")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(&text, "certificate %s\n", value)
	return text.String()
}
