package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berthd/berth/deploy"
	"github.com/berthd/berth/deploy/logs"
	"github.com/berthd/berth/edge"
	"github.com/berthd/berth/jobs"
	"github.com/berthd/berth/router/certificates"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/verbs"
	"github.com/berthd/berth/verbs/verbstest"
	"github.com/berthd/berth/web"
)

// harbour is a deployer with no containers beneath it: apps are what a test
// says they are. What the admin pages do not call is not there.
type harbour struct {
	verbstest.Everything // nil: panics

	db *store.Store

	mu       sync.Mutex // guards what follows
	apps     map[string]deploy.AppStatus
	jobs     map[string][]jobs.CronStatus
	logs     map[string][]logs.LogLine
	requests map[string][]edge.RequestLine
	traffic  map[string]edge.Traffic
	builds   map[string]*growing
	grown    chan struct{} // closed when a log has grown
	watchers map[chan string]bool
	done     []string                    // what was asked for
	refusal  error                       // what changing things returns
	statuses func()                      // before the answer; may be nil
	scale    func(context.Context) error // in place of the answer; may be nil
}

// growing is text that others wait for the rest of.
type growing struct {
	text  string
	ended bool
	more  chan struct{} // closed when there is more, or the end
}

func newHarbour(db *store.Store) *harbour {
	return &harbour{
		db: db, apps: map[string]deploy.AppStatus{}, jobs: map[string][]jobs.CronStatus{},
		logs: map[string][]logs.LogLine{}, requests: map[string][]edge.RequestLine{}, traffic: map[string]edge.Traffic{}, builds: map[string]*growing{}, grown: make(chan struct{}), watchers: map[chan string]bool{},
	}
}

func (h *harbour) set(app deploy.AppStatus) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.apps[app.Name] = app
	h.publish(app.Name)
}

func (h *harbour) change(name string, fn func(*deploy.AppStatus)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	app := h.apps[name]
	app.Instances = slices.Clone(app.Instances)
	app.Formation = maps.Clone(app.Formation)
	fn(&app)
	h.apps[name] = app
	h.publish(name)
}

// publish tells the watchers; the caller holds mu.
func (h *harbour) publish(name string) {
	for ch := range h.watchers {
		select {
		case ch <- name:
		default:
		}
	}
}

func (h *harbour) watching() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.watchers)
}

func (h *harbour) asked() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Join(h.done, "; ")
}

func (h *harbour) Status(_ context.Context, name string) (deploy.AppStatus, error) {
	if err := h.db.View(func(tx *store.Tx) error { _, err := tx.App(name); return err }); err != nil {
		return deploy.AppStatus{}, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.apps[name], nil
}

func (h *harbour) Statuses(context.Context) ([]deploy.AppStatus, error) {
	if h.statuses != nil {
		h.statuses()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Collect(maps.Values(h.apps)), nil
}

func (h *harbour) CronJobs(_ context.Context, app string) ([]jobs.CronStatus, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.jobs[app], nil
}

func (h *harbour) Subscribe(ctx context.Context) <-chan string {
	ch := make(chan string, 1)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.watchers[ch] = true
	context.AfterFunc(ctx, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.watchers, ch)
	})
	return ch
}

// write adds lines to an app's log.
func (h *harbour) write(app string, lines ...logs.LogLine) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.logs[app] = append(h.logs[app], lines...)
	close(h.grown)
	h.grown = make(chan struct{})
}

func (h *harbour) Logs(ctx context.Context, q logs.Query, fn func(logs.LogLine) error) error {
	wanted := func(line logs.LogLine) bool {
		return q.Process == "" || line.Source == q.Process || strings.HasPrefix(line.Source, q.Process+".")
	}
	return giveLines(ctx, h, func() []logs.LogLine { return h.logs[q.App] }, q.Lines, q.Follow, wanted, fn)
}

// giveLines gives those of the last lines that are wanted, and those that come if
// they are followed. lines is called under the harbour's lock.
func giveLines[T any](ctx context.Context, h *harbour, lines func() []T, last int, on bool, wanted func(T) bool, fn func(T) error) error {
	for at := -1; ; {
		h.mu.Lock()
		all, grown := lines(), h.grown
		h.mu.Unlock()
		if at < 0 {
			at = max(0, len(all)-last)
		}
		for _, line := range all[at:] {
			if !wanted(line) {
				continue
			}
			if err := fn(line); err != nil {
				return err
			}
		}
		at = len(all)
		if !on {
			return nil
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// say adds to the output of a build; end ends it.
func (h *harbour) say(app string, number int, text string, end bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	key := fmt.Sprint(app, number)
	g := h.builds[key]
	if g == nil {
		g = &growing{more: make(chan struct{})}
		h.builds[key] = g
	}
	g.text += text
	g.ended = end
	close(g.more)
	g.more = make(chan struct{})
}

func (h *harbour) FollowBuild(ctx context.Context, app string, number int, w io.Writer) error {
	at := 0
	for {
		h.mu.Lock()
		g := h.builds[fmt.Sprint(app, number)]
		if g == nil {
			h.mu.Unlock()
			return nil
		}
		text, ended, more := g.text, g.ended, g.more
		h.mu.Unlock()
		if _, err := io.WriteString(w, text[at:]); err != nil {
			return err
		}
		at = len(text)
		if ended {
			return nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (h *harbour) do(out io.Writer, format string, args ...any) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.refusal != nil {
		return h.refusal
	}
	what := fmt.Sprintf(format, args...)
	h.done = append(h.done, what)
	if out != nil {
		fmt.Fprintf(out, "-----> %s\n", what)
	}
	return nil
}

func (h *harbour) Restart(_ context.Context, app, process string, by store.User, out io.Writer) error {
	return h.do(out, "restart %s %s by %s", app, process, by.Name)
}

func (h *harbour) CancelBuild(_ context.Context, app string, number int, by store.User) (store.Build, error) {
	return store.Build{App: app, Number: number}, h.do(nil, "cancel build %d of %s by %s", number, app, by.Name)
}

func (h *harbour) Stop(_ context.Context, app, _ string, by store.User, out io.Writer) error {
	h.change(app, func(s *deploy.AppStatus) { s.Stopped, s.State, s.Instances = true, deploy.StateStopped, nil })
	return h.do(out, "stop %s by %s", app, by.Name)
}

func (h *harbour) Start(_ context.Context, app, _ string, by store.User, out io.Writer) error {
	return h.do(out, "start %s by %s", app, by.Name)
}

func (h *harbour) Scale(ctx context.Context, app string, formation map[string]int, by store.User, out io.Writer) error {
	if h.scale != nil {
		return h.scale(ctx)
	}
	return h.do(out, "scale %s %v by %s", app, formation, by.Name)
}

func (h *harbour) Rollback(_ context.Context, app string, number int, by store.User, out io.Writer) (store.Release, error) {
	return store.Release{App: app, Number: number + 1}, h.do(out, "rollback %s v%d by %s", app, number, by.Name)
}

func (h *harbour) RunCron(_ context.Context, app, id string, _ jobs.CronOptions, by store.User, out io.Writer) (store.CronRun, error) {
	return store.CronRun{App: app, Job: id, FinishedAt: time.Now(), ExitCode: 3}, h.do(out, "run job %s of %s by %s", id, app, by.Name)
}

// quay is an admin host that answers, with the deployer behind it.
type quay struct {
	*httptest.Server
	t       *testing.T
	table   *verbs.Table
	certs   map[string]certificates.State // of hosts; none is by berth's own CA
	db      *store.Store
	harbour *harbour
}

func openQuay(t *testing.T) *quay { return openQuayAt(t, nil) }

// openQuayAt opens one at a listener, or at one of its own.
func openQuayAt(t *testing.T, listener net.Listener) *quay {
	t.Helper()
	db, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	h := &quay{t: t, db: db, harbour: newHarbour(db)}
	h.certs = map[string]certificates.State{}
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	h.table = verbs.New(verbs.Config{Version: "test", Certificate: h.certificate}, verbstest.Rooms(h.harbour), db, log)
	door := web.New(web.Config{Version: "test"}, h.table, log)
	h.Server = httptest.NewUnstartedServer(door.Handler(New(Config{SSHPort: 2222}, door, h.table, h.harbour, log)))
	if listener != nil {
		h.Server.Listener.Close()
		h.Server.Listener = listener
	}
	h.Server.EnableHTTP2 = true
	h.Server.StartTLS()
	t.Cleanup(h.Server.Close)
	return h
}

// certificate is what a host is served with.
func (h *quay) certificate(host string) certificates.State {
	if state, ok := h.certs[host]; ok {
		return state
	}
	return certificates.State{Host: host, Local: true}
}

// update changes the store, or fails the test.
func (h *quay) update(fn func(*store.Tx) error) {
	h.t.Helper()
	if err := h.db.Update(fn); err != nil {
		h.t.Fatal(err)
	}
}

// user adds a key, whose user may be let in.
func (h *quay) user(name string, role store.Role, apps ...string) store.User {
	h.t.Helper()
	h.update(func(tx *store.Tx) error {
		return tx.Keys.Put(store.Key{Name: name, Fingerprint: "SHA256:" + name, Role: role, Apps: apps})
	})
	return store.User{Name: name, Role: role, Apps: apps}
}

// app adds an app with two releases, the second of them live.
func (h *quay) app(name string) {
	h.t.Helper()
	app := store.App{Name: name, Release: 2, LastRelease: 2, LastBuild: 2, Formation: map[string]int{"web": 2}, CreatedAt: time.Now()}
	h.update(func(tx *store.Tx) error {
		var err error
		if app, err = tx.CreateApp(app); err != nil {
			return err
		}
		for n, status := range []store.ReleaseStatus{store.ReleaseRetired, store.ReleaseLive} {
			err := tx.PutRelease(store.Release{
				App: name, Number: n + 1, Status: status, CreatedAt: time.Now().Add(-time.Hour), CreatedBy: "alice",
				Description: fmt.Sprintf("Deploy %d", n), Subject: "Fix cart total", Build: n + 1,
				Processes: []store.Process{{Type: "web", Command: "gunicorn web:app"}},
				Config:    map[string]string{"COLOR": fmt.Sprint("blue", n), "SECRET": "hunter2"},
			})
			if err != nil {
				return err
			}
			if err := tx.Builds.Put(store.Build{App: name, Number: n + 1, Status: store.BuildSucceeded, Commit: "4f1c9ab00", Subject: "Fix cart total", By: "alice", StartedAt: time.Now(), FinishedAt: time.Now()}); err != nil {
				return err
			}
		}
		return tx.PutConfig(name, map[string]string{"COLOR": "blue1", "SECRET": "hunter2"})
	})
	h.harbour.set(deploy.AppStatus{
		App: app, State: deploy.StateRunning, URLs: []string{"https://" + name + ".example.com"}, GitURL: "berth@example.com:" + name,
		Instances: []deploy.Instance{
			{Name: "web.1", Process: "web", Number: 1, Release: 2, State: "up", Since: time.Now()},
			{Name: "web.2", Process: "web", Number: 2, Release: 2, State: "up", Since: time.Now()},
		},
	})
}

func TestAdmin_AnAppsDomainsAreThoseThatLeadToIt(t *testing.T) {
	h := openQuay(t)
	h.app("blog")
	h.app("shop")
	h.update(func(tx *store.Tx) error {
		return errors.Join(tx.PutSettings(store.Settings{Domain: "example.com"}), tx.PutDomain(store.Domain{Host: "shop.example.com", App: "blog"}))
	})
	page := h.enter(h.user("alice", store.RoleRead)).get("/apps/shop")
	if _, domains, _ := strings.Cut(page.body, `id="domains"`); page.status != http.StatusOK || strings.Contains(domains[:strings.Index(domains, "</section>")], "shop.example.com") {
		t.Errorf("the page of shop shows a host that leads to blog: %d\n%s", page.status, domains)
	}
}

// visitor is a browser without JavaScript.
type visitor struct {
	t *testing.T
	h *quay
	*http.Client
}

// stranger is a visitor without a session.
func (h *quay) stranger() *visitor {
	jar, err := cookiejar.New(nil)
	if err != nil {
		h.t.Fatal(err)
	}
	client := *h.Client()
	client.Jar = jar
	return &visitor{h.t, h, &client}
}

// enter lets a user in by a link.
func (h *quay) enter(user store.User) *visitor {
	h.t.Helper()
	v := h.stranger()
	token, _, err := h.table.Sessions.Link(user)
	if err != nil {
		h.t.Fatal(err)
	}
	if answer := v.post("/login", url.Values{"token": {token}}); answer.status != http.StatusOK || answer.url != "/" {
		h.t.Fatalf("signing in as %s: %d at %s\n%s", user.Name, answer.status, answer.url, answer.body)
	}
	return v
}

type answer struct {
	status int
	url    string // where redirects led
	header http.Header
	body   string
}

func (v *visitor) do(r *http.Request) answer {
	v.t.Helper()
	resp, err := v.Do(r)
	if err != nil {
		v.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Request.URL.RequestURI(), resp.Header, string(body)}
}

func (v *visitor) get(path string) answer {
	v.t.Helper()
	r, err := http.NewRequest("GET", v.h.URL+path, nil)
	if err != nil {
		v.t.Fatal(err)
	}
	return v.do(r)
}

func (v *visitor) post(path string, form url.Values, headers ...string) answer {
	v.t.Helper()
	r, err := http.NewRequest("POST", v.h.URL+path, strings.NewReader(form.Encode()))
	if err != nil {
		v.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return v.do(r)
}

func (a answer) mustContain(t *testing.T, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(a.body, text) {
			t.Errorf("%s (%d) does not say %q\n%s", a.url, a.status, text, a.body)
		}
	}
}

func (a answer) mustNotContain(t *testing.T, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if strings.Contains(a.body, text) {
			t.Errorf("%s (%d) says %q\n%s", a.url, a.status, text, a.body)
		}
	}
}

func TestAdmin_StrangerLearnsHowToGetInAndNothingElse(t *testing.T) {
	h := openQuay(t)
	h.app("shop")
	v := h.stranger()
	for _, path := range []string{"/", "/apps/shop", "/apps/nothing", "/apps/shop/logs", "/apps/shop/requests", "/apps/shop/requests/follow", "/apps/shop/builds/1", "/events", "/apps/shop/events", "/apps/shop/logs/follow", "/nothing"} {
		got := v.get(path)
		if got.status != http.StatusUnauthorized {
			t.Errorf("GET %s: %d, want 401", path, got.status)
		}
		got.mustContain(t, "ssh -p 2222 berth@127.0.0.1 login")
		got.mustNotContain(t, "shop", "htmx")
	}
	if got := v.post("/apps/shop/actions/stop", nil); got.status != http.StatusUnauthorized || h.harbour.asked() != "" {
		t.Errorf("POST without a session: %d, and it did %q", got.status, h.harbour.asked())
	}
}

func TestAdmin_LinkSignsInOnceAfterConfirmation(t *testing.T) {
	h := openQuay(t)
	token, _, err := h.table.Sessions.Link(h.user("alice", store.RoleDeploy))
	if err != nil {
		t.Fatal(err)
	}
	v := h.stranger()
	for range 2 { // looking does not use it up
		got := v.get("/login?token=" + token)
		got.mustContain(t, "Sign in as alice", token)
		if got.header.Get("Set-Cookie") != "" {
			t.Error("a link signs in without confirmation")
		}
	}
	got := v.post("/login", url.Values{"token": {token}})
	if got.url != "/" || got.status != http.StatusOK {
		t.Fatalf("confirming leads to %d at %s", got.status, got.url)
	}
	got.mustContain(t, "alice", "No apps yet", "git remote add berth ssh://berth@127.0.0.1:2222/my-app")
	for _, again := range []answer{h.stranger().get("/login?token=" + token), h.stranger().post("/login", url.Values{"token": {token}})} {
		if again.status != http.StatusForbidden {
			t.Errorf("a used link: %d, want 403", again.status)
		}
		again.mustContain(t, "This link is no longer valid", "ssh -p 2222 berth@127.0.0.1 login")
		again.mustNotContain(t, "alice")
	}
	v.post("/logout", nil)
	if got := v.get("/"); got.status != http.StatusUnauthorized {
		t.Errorf("after logging out: %d, want 401", got.status)
	}
}

func TestAdmin_EveryAnswerIsLockedDown(t *testing.T) {
	h := openQuay(t)
	h.app("shop")
	v := h.enter(h.user("alice", store.RoleAdmin))
	for _, path := range []string{"/", "/apps/shop", "/apps/shop/logs", "/apps/shop/requests", "/apps/shop/builds/1", "/apps/shop/confirm/stop", "/apps/nope", "/login", "/static/nope"} {
		got := v.get(path)
		for header, want := range map[string]string{
			"Content-Security-Policy": contentPolicy,
			"X-Content-Type-Options":  "nosniff",
			"Referrer-Policy":         "no-referrer",
			"Cache-Control":           "no-store",
		} {
			if got.header.Get(header) != want {
				t.Errorf("GET %s: %s is %q, want %q", path, header, got.header.Get(header), want)
			}
		}
		got.mustNotContain(t, " style=", "<style", " onclick=", "<script>", "http://")
	}
}

func TestAdmin_AssetsAreKeptByTheirContent(t *testing.T) {
	h := openQuay(t)
	page := h.stranger().get("/login").body
	_, rest, _ := strings.Cut(page, `<link rel="stylesheet" href="`)
	address, _, _ := strings.Cut(rest, `"`)
	got := h.stranger().get(address)
	if got.status != http.StatusOK || got.header.Get("Content-Type") != "text/css; charset=utf-8" {
		t.Fatalf("GET %s: %d %s", address, got.status, got.header.Get("Content-Type"))
	}
	if cache := got.header.Get("Cache-Control"); cache != "public, max-age=31536000, immutable" {
		t.Errorf("Cache-Control is %q", cache)
	}
}

func TestAdmin_PostFromAnotherSiteIsRefused(t *testing.T) {
	h := openQuay(t)
	h.app("shop")
	v := h.enter(h.user("alice", store.RoleAdmin))
	for _, headers := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Origin", "https://evil.example"}} {
		if got := v.post("/apps/shop/actions/stop", nil, headers...); got.status != http.StatusForbidden {
			t.Errorf("with %v: %d, want 403", headers, got.status)
		}
	}
	if asked := h.harbour.asked(); asked != "" {
		t.Errorf("it did %q", asked)
	}
}

func TestAdmin_PageOfAnAppShowsAllOfIt(t *testing.T) {
	h := openQuay(t)
	h.app("shop")
	h.update(func(tx *store.Tx) error {
		return errors.Join(
			tx.PutDomain(store.Domain{Host: "shop.example.org", App: "shop"}),
			tx.PutDomain(store.Domain{Host: "example.org", Path: "/store", Strip: true, App: "shop"}),
			tx.PutDomain(store.Domain{Host: "www.example.org", Redirect: "shop.example.org", App: "shop"}),
			tx.PutRouting("shop", store.Routing{Maintenance: true, Users: map[string]string{"alice": "secrethash"}}),
		)
	})
	h.harbour.jobs["shop"] = []jobs.CronStatus{{
		CronJob: store.CronJob{ID: "j1", Schedule: "@daily", Command: "python report.py"}, Next: time.Now().Add(time.Hour),
		Last: &store.CronRun{Job: "j1", StartedAt: time.Now(), FinishedAt: time.Now(), ExitCode: 3},
	}}
	h.harbour.write("shop", logs.LogLine{Time: time.Now(), Source: "web.1", Release: 2, Stream: "stdout", Text: "listening at 8000"})
	got := h.enter(h.user("alice", store.RoleDeploy)).get("/apps/shop")
	got.mustContain(t, "running", "web.1", "2/2", "v2", "Fix cart total", "https://shop.example.com", "shop.example.org",
		"example.org/store", "without the path", "sends to shop.example.org", "Under maintenance", "own CA", "python report.py", "exit code 3", "listening at 8000", "COLOR", "git remote", "Roll back")
	got.mustNotContain(t, "hunter2", "secrethash", "Show<span")
}

func TestAdmin_RolesBoundWhatIsShownAndDone(t *testing.T) {
	h := openQuay(t)
	h.app("shop")
	h.app("blog")
	reader := h.enter(h.user("rita", store.RoleRead))
	reader.get("/apps/shop").mustNotContain(t, "/actions/", "/confirm/", "Show<span")
	for _, path := range []string{"/apps/shop/confirm/stop", "/apps/shop/confirm/rollback?release=1"} {
		if got := reader.get(path); got.status != http.StatusForbidden {
			t.Errorf("a reader's GET %s: %d, want 403", path, got.status)
		}
	}
	for _, action := range []string{"restart", "stop", "start", "scale", "rollback", "run-cron", "cancel-build"} {
		got := reader.post("/apps/shop/actions/"+action, url.Values{"process.web": {"1"}, "release": {"1"}, "id": {"j1"}, "number": {"1"}})
		if got.status != http.StatusForbidden {
			t.Errorf("a reader's %s: %d, want 403", action, got.status)
		}
	}
	deployer := h.enter(h.user("dora", store.RoleDeploy))
	if got := deployer.post("/apps/shop/config/SECRET", nil); got.status != http.StatusForbidden {
		t.Errorf("a deployer reveals config: %d, want 403", got.status)
	}
	if asked := h.harbour.asked(); asked != "" {
		t.Errorf("it did %q", asked)
	}
	bound := h.enter(h.user("bob", store.RoleDeploy, "blog"))
	bound.get("/").mustNotContain(t, "shop")
	for _, path := range []string{"/apps/shop", "/apps/shop/events", "/apps/shop/logs/follow", "/apps/shop/requests", "/apps/shop/requests/follow", "/apps/blob"} {
		got := bound.get(path)
		if got.status != http.StatusForbidden {
			t.Errorf("GET %s of another's app: %d, want 403", path, got.status)
		}
		got.mustNotContain(t, "did you mean")
	}
}

func TestAdmin_ActionsAreTheVerbsOfTheAPI(t *testing.T) {
	h := openQuay(t)
	h.app("shop")
	v := h.enter(h.user("dora", store.RoleDeploy))
	v.get("/apps/shop/confirm/scale").mustContain(t, `name="process.web" value="2"`)
	v.get("/apps/shop/confirm/rollback?release=1").mustContain(t, "v1", "also rolled back: COLOR")
	for action, form := range map[string]url.Values{
		"restart": nil, "scale": {"process.web": {"3"}}, "rollback": {"release": {"1"}}, "run-cron": {"id": {"j1"}}, "start": nil, "cancel-build": {"number": {"9"}},
	} {
		if got := v.post("/apps/shop/actions/"+action, form); got.status != http.StatusOK {
			t.Errorf("%s: %d\n%s", action, got.status, got.body)
		}
	}
	for _, want := range []string{"restart shop  by dora", "scale shop map[web:3] by dora", "rollback shop v1 by dora", "run job j1 of shop by dora", "start shop by dora", "cancel build 9 of shop by dora"} {
		if asked := h.harbour.asked(); !strings.Contains(asked, want) {
			t.Errorf("it did %q, and not %q", asked, want)
		}
	}
	got := v.post("/apps/shop/actions/restart", nil, "HX-Request", "true")
	got.mustContain(t, "shop was restarted", "-----&gt; restart shop")
	got.mustNotContain(t, "<html")
	for _, form := range []url.Values{{"process.web": {"-1"}}, {"process.web": {"many"}}, {}} {
		if got := v.post("/apps/shop/actions/scale", form); got.status != http.StatusBadRequest {
			t.Errorf("scale %v: %d, want 400", form, got.status)
		}
	}
}

func TestAdmin_FailureShowsCodeEvidenceAndHint(t *testing.T) {
	h := openQuay(t)
	h.app("shop")
	v := h.enter(h.user("dora", store.RoleDeploy))
	h.harbour.refusal = fault.New(fault.Failed, "E301", "web.1 did not become healthy in 30s").
		With("ModuleNotFoundError: \x1b[31mNo module\x1b[0m <b>").Hint("add flask to requirements.txt")
	got := v.post("/apps/shop/actions/restart", nil, "HX-Request", "true")
	got.mustContain(t, "did not become healthy", "E301", `<span class="c1">No module</span> &lt;b&gt;`, "add flask")
	got.mustNotContain(t, "<html", "\x1b")
	h.harbour.refusal = fmt.Errorf("containerd said: secret path")
	got = v.post("/apps/shop/actions/restart", nil)
	if got.status != http.StatusInternalServerError {
		t.Errorf("an internal error: %d, want 500", got.status)
	}
	got.mustContain(t, "internal error (ref ")
	got.mustNotContain(t, "containerd")
}

func TestAdmin_ABuildThatRunsCanBeCancelled(t *testing.T) {
	h := openQuay(t)
	h.app("shop")
	put := func(status store.BuildStatus) {
		h.update(func(tx *store.Tx) error {
			return tx.Builds.Put(store.Build{App: "shop", Number: 9, Status: status, StartedAt: time.Now()})
		})
	}
	put(store.BuildRunning)
	dora, rita := h.enter(h.user("dora", store.RoleDeploy)), h.enter(h.user("rita", store.RoleRead))
	const form = `action="/apps/shop/actions/cancel-build"`
	dora.get("/apps/shop/builds/9").mustContain(t, form, `name="number" value="9"`)
	rita.get("/apps/shop/builds/9").mustNotContain(t, form)
	put(store.BuildCancelled)
	dora.get("/apps/shop/builds/9").mustNotContain(t, form)
	dora.get("/apps/shop/builds/9").mustContain(t, "cancelled")
}

func TestAdmin_PanicIsAPageWithARef(t *testing.T) {
	h := openQuay(t)
	v := h.enter(h.user("alice", store.RoleAdmin))
	h.harbour.statuses = func() { panic("a nil pointer") }
	got := v.get("/")
	if got.status != http.StatusInternalServerError {
		t.Errorf("a panic: %d, want 500", got.status)
	}
	got.mustContain(t, "internal error (ref ")
	got.mustNotContain(t, "nil pointer", ".go")
}

func TestAdmin_RevealShowsOneValueAndRemembersWho(t *testing.T) {
	h := openQuay(t)
	h.app("shop")
	v := h.enter(h.user("alice", store.RoleAdmin))
	got := v.post("/apps/shop/config/SECRET", nil)
	got.mustContain(t, "hunter2")
	got.mustNotContain(t, "blue1")
	v.get("/apps/shop").mustContain(t, "read the value of SECRET")
	if got := v.post("/apps/shop/config/NONE", nil); got.status != http.StatusNotFound {
		t.Errorf("a variable that is not there: %d, want 404", got.status)
	}
}

// hostile is what someone may write wherever free text is taken.
const hostile = `<script>alert(1)</script>"'><img src=x onerror=alert(1)>` + "\x1b]0;owned\x07\x1b[31m\u202e\r\nevent: bye\n"

func TestAdmin_HostileTextStaysText(t *testing.T) {
	h := openQuay(t)
	h.app("shop")
	h.update(func(tx *store.Tx) error {
		release, err := tx.Release("shop", 2)
		if err != nil {
			return err
		}
		release.Description, release.Subject, release.CreatedBy = hostile, hostile, hostile
		release.Processes[0].Command = hostile
		if err := tx.PutRelease(release); err != nil {
			return err
		}
		err = tx.Builds.Put(store.Build{App: "shop", Number: 2, Status: store.BuildFailed, Commit: hostile, Subject: hostile, Branch: hostile, By: hostile, Error: hostile})
		if err != nil {
			return err
		}
		return tx.AddEvent(store.Event{App: "shop", By: hostile, Text: hostile})
	})
	h.harbour.change("shop", func(s *deploy.AppStatus) {
		s.URLs = []string{"javascript:alert(1)"}
		s.Instances[0].Detail = hostile
		s.Waiting = hostile
	})
	h.harbour.jobs["shop"] = []jobs.CronStatus{{CronJob: store.CronJob{ID: "j1", Command: hostile, Schedule: hostile}, Last: &store.CronRun{Job: hostile, Error: hostile}}}
	h.harbour.write("shop", logs.LogLine{Time: time.Now(), Source: hostile, Text: hostile, Stream: hostile})
	h.harbour.say("shop", 2, hostile, true)
	v := h.enter(h.user("alice", store.RoleAdmin))
	for _, path := range []string{"/", "/apps/shop", "/apps/shop/logs?ps=" + url.QueryEscape(hostile), "/apps/shop/builds/2", "/apps/shop/confirm/scale", "/apps/shop/confirm/rollback?release=2",
		"/apps/shop/confirm/rollback?release=" + url.QueryEscape(hostile), "/apps/" + url.PathEscape(hostile), "/login?token=" + url.QueryEscape(hostile)} {
		got := v.get(path)
		got.mustNotContain(t, "<script>", "<img", "\x1b", "\u202e", `href="javascript`)
	}
	s := v.listen(t, "/apps/shop/events")
	for range appParts {
		if event := s.next(t); event.name == "bye" || strings.Contains(event.data, "<script>") {
			t.Errorf("hostile text became the event %q: %s", event.name, event.data)
		}
	}
}

func (h *harbour) RouterReport(_ context.Context, app string) (edge.RouterReport, error) {
	var set store.Routing
	err := h.db.View(func(tx *store.Tx) (err error) { set, err = tx.Routing(app); return err })
	return edge.RouterReport{App: app, Maintenance: set.Maintenance}, err
}

// Whoever leaves before the verb has begun is noticed by the verb.
func TestActions_TheEndOfWhoeverWaitsReachesTheVerb(t *testing.T) {
	h := openQuay(t)
	h.app("shop")
	entered, left := make(chan bool), make(chan error, 1)
	h.harbour.scale = func(ctx context.Context) error {
		entered <- true
		<-ctx.Done() // as the wait for the app's turn
		left <- ctx.Err()
		return ctx.Err()
	}
	v := h.enter(h.user("alice", store.RoleAdmin))
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	form := strings.NewReader(url.Values{"process.web": {"1"}}.Encode())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.URL+"/apps/shop/actions/scale", form)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	go v.Client.Do(req)
	<-entered
	leave()
	<-left
}
