package deploy

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/berthd/berth/build"
	"github.com/berthd/berth/buildpacks/appjson"
	"github.com/berthd/berth/buildpacks/plan"
	"github.com/berthd/berth/git"
	"github.com/berthd/berth/jobs"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// completed adds to an app's config what app.json adds to it: defaults of what
// is not set, secrets that are made up once. A secret that the build was given
// already, which stands in earlier, is the same again. What app.json requires
// and nobody has set is a fault (E127).
func completed(ssh string, app string, config, global map[string]string, manifest appjson.Manifest, earlier map[string]string) (map[string]string, error) {
	isSet := func(name string) bool {
		_, own := config[name]
		_, all := global[name]
		return own || all
	}
	for name, value := range manifest.Env {
		if !isSet(name) || slices.Contains(manifest.Sync, name) {
			if err := store.ValidConfig(name, value); err != nil {
				return nil, err
			}
			config[name] = value
		}
	}
	generate := func(name string, encode func([]byte) string) {
		if isSet(name) {
			return
		}
		secret, given := earlier[name]
		if !given {
			secret = encode(newSecret())
		}
		config[name] = secret
	}
	for _, name := range manifest.Secrets {
		generate(name, hex.EncodeToString)
	}
	for _, name := range manifest.Keys {
		generate(name, func(secret []byte) string { return "base64:" + base64.StdEncoding.EncodeToString(secret) })
	}
	for _, name := range manifest.Required {
		if !isSet(name) {
			return nil, fault.New(fault.Conflict, code.ConfigRequired, "app.json requires the config variable %s, which is not set", name).
				Hint("%s config:set %s %s=VALUE", ssh, app, name)
		}
	}
	return config, nil
}

// newSecret makes up 32 bytes.
func newSecret() []byte {
	secret := make([]byte, 32)
	rand.Read(secret)
	return secret
}

// settle applies to the app's record what a push brings: app.json's formation, as
// Dokku does also where somebody has scaled by hand, one instance of a process that
// is the only one, and the versions that were resolved, unless somebody had others
// resolved since the build began.
func settle(app *store.App, began store.App, made *plan.Plan) {
	if maps.Equal(app.Versions, began.Versions) {
		app.Versions = made.Versions
	}
	for process, n := range formationOf(made) {
		_, set := app.Formation[process]
		if _, files := made.Manifest.Formation[process]; files || !set {
			if app.Formation == nil {
				app.Formation = map[string]int{}
			}
			app.Formation[process] = n
		}
	}
}

// formationOf is how many instances of each process type a build wants: what
// app.json says, and one of a process that is the only one.
func formationOf(made *plan.Plan) map[string]int {
	formation := map[string]int{}
	if process, is := build.SoleProcess(made); is {
		formation[process] = 1
	}
	maps.Copy(formation, made.Manifest.Formation)
	return formation
}

// rescaled says what of an app's formation app.json changes back.
func rescaled(began store.App, made *plan.Plan) (lines []string) {
	for _, process := range slices.Sorted(maps.Keys(made.Manifest.Formation)) {
		if n, set := began.Formation[process]; set && n != made.Manifest.Formation[process] {
			lines = append(lines, fmt.Sprintf("app.json scales %s from %d to %d", process, n, made.Manifest.Formation[process]))
		}
	}
	return lines
}

// releaseOf puts together what a build has made. Its number is a guess: the app
// is not held yet.
func releaseOf(record store.App, build store.Build, commit git.Commit, made *plan.Plan, image build.Image) store.Release {
	r := store.Release{
		App: record.Name, Number: record.LastRelease + 1, Status: store.ReleasePending,
		CreatedAt: time.Now().UTC(), CreatedBy: build.By,
		Description: "Deploy " + short(commit.ID), Commit: commit.ID, Subject: commit.Subject, Build: build.Number,
		Language: made.Language, Summary: made.Summary,
		Formation: formationOf(made),
		Layer:     image.Top, Base: image.Base, Image: image.Foreign, Env: made.Env,
	}
	for _, l := range made.Layers {
		if l.Build && !l.Root {
			r.Beside = append(r.Beside, l.Key)
		}
	}
	for _, p := range made.Processes {
		process := store.Process{Type: p.Type, Command: p.Command, Inferred: p.Inferred}
		if image.Foreign != nil && p.Inferred {
			process.Args = image.Args
		}
		r.Processes = append(r.Processes, process)
	}
	for _, entry := range made.Manifest.Cron {
		r.Cron = append(r.Cron, jobs.Planned(entry))
	}
	for process, checks := range made.Manifest.Health {
		for _, c := range checks {
			r.Health = append(r.Health, healthCheck(process, c))
		}
	}
	return r
}

func healthCheck(process string, c appjson.HealthCheck) store.HealthCheck {
	h := store.HealthCheck{
		Process: process, Name: c.Name, Type: c.Type, Path: c.Path, Port: c.Port, Content: c.Content,
		Command: c.Command, Listening: c.Listening, Uptime: c.Uptime, Attempts: c.Attempts,
		Timeout: c.Timeout, Wait: c.Wait, InitialDelay: c.InitialDelay, Scheme: c.Scheme, Warn: c.Warn, MaxStatus: 399,
	}
	for _, header := range c.Headers {
		h.Headers = append(h.Headers, store.HTTPHeader{Name: header[0], Value: header[1]})
	}
	return h
}
