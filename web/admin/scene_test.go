package admin

import (
	"fmt"
	"time"

	"github.com/berthd/berth/deploy"
	"github.com/berthd/berth/deploy/logs"
	"github.com/berthd/berth/edge"
	"github.com/berthd/berth/jobs"
	"github.com/berthd/berth/router/certificates"
	"github.com/berthd/berth/store"
)

// scene fills the house with apps as they might be on some afternoon.
func (h *quay) scene() {
	h.t.Helper()
	now := time.Now()
	gunicorn := store.Process{Type: "web", Command: "gunicorn web:app", Inferred: true}
	worker := store.Process{Type: "worker", Command: "python worker.py"}

	h.stage(store.App{Name: "api", LastBuild: 1}, deploy.StateEmpty, nil)
	h.stage(store.App{Name: "blog", Release: 7, LastRelease: 7, LastBuild: 7}, deploy.StateRunning, []store.Release{
		{Number: 7, Status: store.ReleaseLive, CreatedAt: now.Add(-76 * time.Hour), CreatedBy: "carol", Description: "Deploy c0ffee1", Subject: "New article on tides", Processes: []store.Process{gunicorn}},
	}, instance("web", 1, 7, now.Add(-76*time.Hour), 41))
	h.stage(store.App{Name: "shop", Release: 18, LastRelease: 18, LastBuild: 42, Formation: map[string]int{"web": 2, "worker": 1}}, deploy.StateRunning, []store.Release{
		{Number: 18, Status: store.ReleaseLive, CreatedAt: now.Add(-12 * time.Minute), CreatedBy: "alice", Description: "Deploy 4f1c9ab", Subject: "Fix cart total", Build: 42,
			Processes: []store.Process{gunicorn, worker}, Config: map[string]string{"DATABASE_URL": "postgres://shop", "SECRET_KEY": "s3cret", "STRIPE_KEY": "sk_live"}},
		{Number: 17, Status: store.ReleaseRetired, CreatedAt: now.Add(-3 * time.Hour), CreatedBy: "bob", Description: "Set STRIPE_KEY", Processes: []store.Process{gunicorn, worker}, Config: map[string]string{"DATABASE_URL": "postgres://shop"}},
		{Number: 16, Status: store.ReleaseRetired, CreatedAt: now.Add(-26 * time.Hour), CreatedBy: "bob", Description: "Deploy e81d02c", Subject: "Take coupons at checkout", Build: 41, Processes: []store.Process{gunicorn, worker}},
		{Number: 15, Status: store.ReleaseFailed, CreatedAt: now.Add(-27 * time.Hour), CreatedBy: "bob", Description: "Deploy 77aa310", Subject: "Take coupons", Build: 40, Error: "web.1 did not become healthy in 30s", Processes: []store.Process{gunicorn}},
		{Number: 14, Status: store.ReleaseRetired, CreatedAt: now.Add(-50 * time.Hour), CreatedBy: "alice", Description: "Deploy 1b2f00d", Subject: "Order mails by worker", Build: 39, Processes: []store.Process{gunicorn, worker}},
	}, instance("web", 1, 18, now.Add(-12*time.Minute), 48), instance("web", 2, 18, now.Add(-12*time.Minute), 47), instance("worker", 1, 18, now.Add(-12*time.Minute), 36))
	h.stage(store.App{Name: "status", Release: 3, LastRelease: 3, LastBuild: 3}, deploy.StateStopped, []store.Release{
		{Number: 3, Status: store.ReleaseLive, CreatedAt: now.Add(-9 * 24 * time.Hour), CreatedBy: "alice", Description: "Deploy 5ea51de", Subject: "Probe from two places", Processes: []store.Process{gunicorn}},
	})
	h.stage(store.App{Name: "wiki", Release: 11, LastRelease: 11, LastBuild: 12}, deploy.StateDegraded, []store.Release{
		{Number: 11, Status: store.ReleaseLive, CreatedAt: now.Add(-42 * time.Minute), CreatedBy: "dora", Description: "Deploy 90ad5e7", Subject: "Search in attachments", Processes: []store.Process{gunicorn, worker}},
	}, instance("web", 1, 11, now.Add(-42*time.Minute), 92),
		deploy.Instance{Name: "worker.1", Process: "worker", Number: 1, Release: 11, State: "crashed", Since: now.Add(-40 * time.Second), Restarts: 6, Detail: "exit code 1"})
	h.harbour.change("wiki", func(s *deploy.AppStatus) { s.Formation = map[string]int{"worker": 1} })

	h.harbour.jobs["shop"] = []jobs.CronStatus{
		{CronJob: store.CronJob{ID: "nightly", Schedule: "30 2 * * *", Command: "python report.py --mail"}, Next: now.Add(9*time.Hour + 20*time.Minute),
			Last: &store.CronRun{Job: "nightly", StartedAt: now.Add(-15 * time.Hour), FinishedAt: now.Add(-15 * time.Hour)}},
		{CronJob: store.CronJob{ID: "carts", Schedule: "*/10 * * * *", Command: "python sweep_carts.py"}, Next: now.Add(4 * time.Minute),
			Last: &store.CronRun{Job: "carts", StartedAt: now.Add(-6 * time.Minute), FinishedAt: now.Add(-6 * time.Minute), ExitCode: 1}},
	}
	h.update(func(tx *store.Tx) error {
		for _, b := range []store.Build{
			{Number: 39, Status: store.BuildSucceeded, Commit: "1b2f00d41", Subject: "Order mails by worker", By: "alice", StartedAt: now.Add(-50 * time.Hour), Release: 14},
			{Number: 40, Status: store.BuildSucceeded, Commit: "77aa31050", Subject: "Take coupons", By: "bob", StartedAt: now.Add(-27 * time.Hour), Release: 15},
			{Number: 41, Status: store.BuildSucceeded, Commit: "e81d02c7f", Subject: "Take coupons at checkout", By: "bob", StartedAt: now.Add(-26 * time.Hour), Release: 16},
			{Number: 42, Status: store.BuildSucceeded, Commit: "4f1c9ab03", Subject: "Fix cart total", By: "alice", StartedAt: now.Add(-12 * time.Minute), Release: 18},
		} {
			b.App, b.Branch, b.FinishedAt = "shop", "main", b.StartedAt.Add(2300*time.Millisecond)
			if err := tx.Builds.Put(b); err != nil {
				return err
			}
		}
		if err := tx.PutSettings(store.Settings{Domain: "example.com", Email: "ops@example.com"}); err != nil {
			return err
		}
		for _, d := range []string{"shop.example.org", "www.shop.example.org"} {
			if err := tx.PutDomain(store.Domain{Host: d, App: "shop"}); err != nil {
				return err
			}
		}
		for _, e := range []store.Event{
			{Time: now.Add(-27 * time.Hour), By: "bob", Kind: "deploy", Text: "v15 failed, v14 still serves"},
			{Time: now.Add(-26 * time.Hour), By: "bob", Kind: "deploy", Text: "v16 live"},
			{Time: now.Add(-25 * time.Hour), By: "alice", Kind: "scale", Text: "web 1 → 2"},
			{Time: now.Add(-3 * time.Hour), By: "bob", Kind: "config", Text: "v17 live, set STRIPE_KEY"},
			{Time: now.Add(-12 * time.Minute), By: "alice", Kind: "deploy", Text: "v18 live"},
		} {
			e.App = "shop"
			if err := tx.AddEvent(e); err != nil {
				return err
			}
		}
		return tx.PutConfig("shop", map[string]string{"DATABASE_URL": "postgres://shop", "SECRET_KEY": "s3cret", "STRIPE_KEY": "sk_live"})
	})
	h.certified("shop.example.com", now.Add(-45*24*time.Hour), now.Add(45*24*time.Hour))
	h.certified("shop.example.org", now.Add(-20*24*time.Hour), now.Add(70*24*time.Hour))
	h.harbour.say("shop", 42, "-----> shop  4f1c9ab \"Fix cart total\"  by alice  build 42\n"+
		"-----> Detect   Python 3.13, Flask (web.py imports flask)\n"+
		"       web: gunicorn web:app (inferred)   cron: 2 jobs (app.json)\n"+
		"-----> Build    dependencies reused from build 41\n"+
		"-----> Test     pytest ... 14 passed                          1.2s\n"+
		"-----> Release  v18, config unchanged\n"+
		"-----> Start    web.1 ok 0.3s   web.2 ok 0.3s  (GET /)\n"+
		"-----> Switch   v17 -> v18, draining v17 for up to 30s\n\n"+
		"success: v18 live after 0.9s\n         https://shop.example.com\n         undo: ssh berth@example.com rollback shop\n", true)
	traffic := edge.Traffic{App: "shop", Seconds: 300, Requests: 21.4, Errors: .0031, P50: 18, P99: 240, InFlight: 3, BytesIn: 900, BytesOut: 190 << 10, Responses: 6420, StepSeconds: 10}
	for i := range 31 {
		traffic.History = append(traffic.History, 14+float64(i)/2+float64(i*i*7%11))
	}
	h.harbour.traffic["shop"] = traffic
	for i := range 30 {
		line := edge.RequestLine{Time: now.Add(time.Duration(i-30) * 900 * time.Millisecond), ID: fmt.Sprintf("request%d", i), Client: fmt.Sprintf("192.0.2.%d", i*7%50),
			Method: "GET", Host: "shop.example.com", Path: fmt.Sprintf("/products/%d?page=2", i*7%40), Status: 200, BytesOut: int64(1800 + i*370), Duration: 12.4 + float64(i), Instance: fmt.Sprintf("web.%d", i%2+1), Release: 18, UserAgent: "Mozilla/5.0"}
		switch {
		case i%11 == 5:
			line.Status, line.Path = 404, "/favicon.ico"
		case i == 17:
			line.Status, line.Method, line.Path, line.Duration = 502, "POST", "/cart", 60_004
		}
		h.harbour.ask("shop", line)
	}
	for i := range 40 {
		source, text := fmt.Sprintf("web.%d", i%2+1), fmt.Sprintf(`10.88.0.1 "GET /products/%d HTTP/1.1" 200 %d`, i*7%40, 1800+i*37)
		switch {
		case i%13 == 7:
			source, text = "worker.1", fmt.Sprintf("\x1b[32msent\x1b[0m order mail %d in 84 ms", 5100+i)
		case i == 31:
			text = `10.88.0.1 "POST /cart HTTP/1.1" 302 0`
		}
		h.harbour.write("shop", logs.LogLine{Time: now.Add(time.Duration(i-40) * 1700 * time.Millisecond), Source: source, Release: 18, Stream: "stdout", Text: text})
	}
}

func (h *quay) stage(app store.App, state deploy.AppState, releases []store.Release, instances ...deploy.Instance) {
	h.t.Helper()
	app.Stopped = state == deploy.StateStopped
	h.update(func(tx *store.Tx) (err error) {
		if app, err = tx.CreateApp(app); err != nil {
			return err
		}
		for _, r := range releases {
			r.App = app.Name
			if err := tx.PutRelease(r); err != nil {
				return err
			}
		}
		return nil
	})
	h.harbour.set(deploy.AppStatus{
		App: app, State: state, URLs: []string{"https://" + app.Name + ".example.com"}, Instances: instances,
		GitURL: "berth@example.com:" + app.Name,
	})
}

func instance(process string, n, release int, since time.Time, mebibytes int64) deploy.Instance {
	return deploy.Instance{Name: fmt.Sprintf("%s.%d", process, n), Process: process, Number: n, Release: release, State: "up", Since: since, Memory: mebibytes << 20}
}

// certified has a host served with a certificate of an ACME CA.
func (h *quay) certified(host string, from, until time.Time) {
	h.certs[host] = certificates.State{Host: host, Issuer: "Let's Encrypt", NotBefore: from, NotAfter: until}
}
