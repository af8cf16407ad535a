// Package admin has the admin pages. A page is a file in templates/ that fills the
// layout's "main", and a file of the same name here. Pages work without JavaScript;
// with it, the changed parts of a page are sent again (live.go), and logs are
// followed (follow.go).
//
// The pages read and change everything by verbs, in the name of the signed-in user,
// and know nothing of the rooms below.
package admin

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"path"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/berthd/berth/edge"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
	"github.com/berthd/berth/units"
	"github.com/berthd/berth/verbs"
	"github.com/berthd/berth/web"
)

//go:embed templates
var templateFiles embed.FS

// Config has the settings of the pages.
type Config struct {
	// SSHPort stands in commands when it is neither 0 nor 22.
	SSHPort int
}

// Door is what the pages ask of the HTTP door; *web.Server documents it.
type Door interface {
	User(r *http.Request) (store.User, error)
	SignIn(w http.ResponseWriter, link string) error
	SignOut(w http.ResponseWriter, r *http.Request) error
}

// Changes says that something about an app has changed, by the app's name, until
// ctx ends. *deploy.Deployer documents it.
type Changes interface {
	Subscribe(ctx context.Context) <-chan string
}

// admin serves the pages:
//
//	/login                          login.go
//	/                               apps.go
//	/apps/NAME                      app.go
//	/apps/NAME/confirm/ACTION       confirm.go
//	/apps/NAME/actions/ACTION       done.go
//	/apps/NAME/config/VARIABLE      reveal.go
//	/apps/NAME/logs                 logs.go
//	/apps/NAME/requests             requests.go
//	/apps/NAME/builds/N             build.go
//	/static/                        asset.go
type admin struct {
	cfg     Config
	door    Door
	table   *verbs.Table
	changes Changes
	log     *slog.Logger

	assets *assets
	pages  map[string]*template.Template // by the name of their file, without .html
	routes http.Handler
}

// contentPolicy lets a page load and reach nothing but this very host, run no
// inline script and no inline style, and be framed by nobody.
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; " +
	"img-src 'self' data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

// New returns the pages. It panics when a file that is embedded makes no
// sense, which the first test that calls it would find.
func New(cfg Config, door Door, table *verbs.Table, changes Changes, log *slog.Logger) http.Handler {
	a := &admin{cfg: cfg, door: door, table: table, changes: changes, log: log}
	var err error
	if a.assets, err = readAssets(); err != nil {
		panic(fmt.Sprintf("read the assets of the admin pages: %v", err))
	}
	if err := a.parseTemplates(); err != nil {
		panic(fmt.Sprintf("read the templates of the admin pages: %v", err))
	}
	mux := http.NewServeMux()
	mux.Handle("GET /static/", a.assets)
	mux.HandleFunc("GET /login", a.serveLogin)
	mux.HandleFunc("POST /login", a.serveLogin)
	mux.HandleFunc("POST /logout", a.serveLogout)
	mux.Handle("GET /{$}", a.page(a.serveApps))
	mux.Handle("GET /events", a.page(a.serveAppsEvents))
	mux.Handle("GET /apps/{app}", a.page(a.serveApp))
	mux.Handle("GET /apps/{app}/events", a.page(a.serveAppEvents))
	mux.Handle("GET /apps/{app}/logs", a.page(a.serveLogs))
	mux.Handle("GET /apps/{app}/logs/follow", a.page(a.serveLogsFollow))
	mux.Handle("GET /apps/{app}/requests", a.page(a.serveRequests))
	mux.Handle("GET /apps/{app}/requests/follow", a.page(a.serveRequestsFollow))
	mux.Handle("GET /apps/{app}/builds/{number}", a.page(a.serveBuild))
	mux.Handle("GET /apps/{app}/builds/{number}/events", a.page(a.serveBuildEvents))
	mux.Handle("GET /apps/{app}/builds/{number}/follow", a.page(a.serveBuildFollow))
	mux.Handle("GET /apps/{app}/confirm/{action}", a.page(a.serveConfirm))
	mux.Handle("POST /apps/{app}/actions/{action}", a.page(a.serveAction))
	mux.Handle("POST /apps/{app}/config/{name}", a.page(a.serveReveal))
	mux.Handle("/", a.page(func(http.ResponseWriter, *http.Request, store.User) error {
		return fault.New(fault.NotFound, code.PageUnknown, "there is no such page")
	}))
	a.routes = mux
	return a
}

func (a *admin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", contentPolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer") // the login link's token is in its address
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	defer func() {
		if p := recover(); p != nil {
			if p == http.ErrAbortHandler {
				panic(p)
			}
			a.fail(w, r, store.User{}, fmt.Errorf("panic: %v\n%s", p, debug.Stack()))
		}
	}()
	a.routes.ServeHTTP(w, r)
}

// page lets in who has a session, and answers the error that serve returns.
func (a *admin) page(serve func(http.ResponseWriter, *http.Request, store.User) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, err := a.door.User(r)
		if err == nil {
			if app := r.PathValue("app"); app != "" {
				// Asked first, so that nobody learns from a "did you mean" of an
				// app that is not theirs.
				err = a.may(user, "apps:info", app)
			}
		}
		if err == nil {
			err = serve(w, r, user)
		}
		if err != nil {
			a.fail(w, r, user, err)
		}
	})
}

// may returns nil when a user may do a verb with an app.
func (a *admin) may(user store.User, verb, app string) error {
	return a.table.May(user, verb, verbs.AppArgs{App: app})
}

// frame is what the layout shows on every page.
type frame struct {
	Title string
	User  store.User // the zero User has not signed in
	Login string     // the command that prints a link for signing in

	Trouble string // why nothing can be changed for the moment, for who has signed in
}

func (a *admin) frame(r *http.Request, user store.User, title string) frame {
	f := frame{Title: plainText(title), User: user, Login: a.loginCommand(r)}
	if err := a.table.Unwritable(); err != nil && user.Name != "" {
		f.Trouble = plainText(err.Error())
	}
	return f
}

// loginCommand is the command that lets its caller in, as seen from the address
// that the visitor has come by.
func (a *admin) loginCommand(r *http.Request) string {
	return edge.SSHCommand(web.HostName(r), a.cfg.SSHPort) + " login"
}

// gitURL is the remote of an app that may not exist yet.
func (a *admin) gitURL(r *http.Request, app string) string {
	return edge.GitURL(web.HostName(r), a.cfg.SSHPort, app)
}

// fail answers with an error: a page, or only its message when a part of a page
// was asked for.
func (a *admin) fail(w http.ResponseWriter, r *http.Request, user store.User, err error) {
	if errors.Is(err, context.Canceled) && r.Context().Err() != nil {
		return // nobody is there to read it
	}
	f := a.table.Fault(err, r.Method+" "+r.URL.Path, user)
	status := web.StatusOf(f)
	if status == http.StatusUnauthorized {
		a.serveStranger(w, r)
		return
	}
	data := struct {
		frame
		Status int
		Fault  *fault.Error
	}{a.frame(r, user, http.StatusText(status)), status, f}
	part := ""
	if partial(r) {
		part = "fault"
	}
	if err := a.render(w, status, "error", part, data); err != nil {
		a.log.Error("show an error page", "err", err)
		http.Error(w, "internal error", http.StatusInternalServerError)
	}
}

// partial tells whether htmx asks, which puts the answer into a page.
func partial(r *http.Request) bool { return r.Header.Get("HX-Request") == "true" }

// render writes a page, or one part of it.
func (a *admin) render(w http.ResponseWriter, status int, page, part string, data any) error {
	var b bytes.Buffer
	if err := a.renderTo(&b, page, part, data); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, err := w.Write(b.Bytes())
	if err != nil {
		a.log.Debug("nobody read the page", "page", page, "err", err)
	}
	return nil
}

func (a *admin) renderTo(b *bytes.Buffer, page, part string, data any) error {
	if part == "" {
		part = "layout"
	}
	if err := a.pages[page].ExecuteTemplate(b, part, data); err != nil {
		return fmt.Errorf("render %s of the page %s: %w", part, page, err)
	}
	return nil
}

// parseTemplates makes a set of templates for each page: the layout, the parts
// that pages share, and its own file.
func (a *admin) parseTemplates() error {
	shared, err := template.New("").Funcs(template.FuncMap{
		"asset": a.assets.URL,
		"when":  func(t time.Time) template.HTML { return when(t, time.Now()) },
		"bytes": units.Bytes,
		"rate":  func(n float64) string { return units.Bytes(int64(n+.5)) + "/s" },
		"plain": plainText,
		"join":  strings.Join,

		"look":    stateLook,
		"figure":  figure,
		"latency": latency,
		"output":  outputHTML,
		"result":  runResultText,
		"source":  cronSource,
	}).ParseFS(templateFiles, "templates/shared/*.html")
	if err != nil {
		return err
	}
	files, err := fs.Glob(templateFiles, "templates/*.html")
	if err != nil {
		return err
	}
	a.pages = map[string]*template.Template{}
	for _, file := range files {
		page, err := shared.Clone()
		if err != nil {
			return err
		}
		if page, err = page.ParseFS(templateFiles, file); err != nil {
			return err
		}
		a.pages[strings.TrimSuffix(path.Base(file), ".html")] = page
	}
	return nil
}

// when shows a time as its distance from now, with the exact one as its title.
func when(t, now time.Time) template.HTML {
	if t.IsZero() {
		return `<span class="none">–</span>`
	}
	t = t.UTC()
	return template.HTML(fmt.Sprintf(`<time datetime="%s" title="%s">%s</time>`,
		t.Format(time.RFC3339), t.Format("Mon 2 Jan 2006 15:04:05 UTC"), ago(t, now)))
}

// stateLook returns how a state looks: a shape and a colour that go together.
func stateLook(state any) string {
	if state == store.BuildRunning { // of an app the same word is good news
		return "work"
	}
	switch fmt.Sprint(state) {
	case "running", "up", "live", "succeeded", "valid":
		return "good"
	case "deploying", "starting", "pending", "stopping":
		return "work"
	case "degraded", "unhealthy", "backoff", "expiring":
		return "warn"
	case "down", "crashed", "failed", "expired":
		return "bad"
	case "stopped", "cancelled", "retired":
		return "off"
	}
	return "none"
}

// pathNumber reads the number of a release or build from the address.
func pathNumber(r *http.Request, name string) (int, error) {
	n, err := strconv.Atoi(r.PathValue(name))
	if err != nil || n < 1 {
		return 0, fault.New(fault.NotFound, code.PageUnknown, "there is no such page")
	}
	return n, nil
}
