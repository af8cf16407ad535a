package admin

import (
	"cmp"
	"context"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"

	"github.com/berthd/berth/deploy"
	"github.com/berthd/berth/deploy/logs"
	"github.com/berthd/berth/jobs"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/verbs"
)

const (
	shownLog  = 200  // lines on the page of an app
	fullLog   = 2000 // lines on a page of their own
	replayLog = 5000 // how far back a browser that comes again may have stopped
)

// gapHTML stands where a browser that comes again was away for too long.
const gapHTML template.HTML = `<span class="l own gap">… lines are missing here</span>`

type logsPage struct {
	frame
	App     string
	Process string   // "" is all
	Choices []string // what Process may be
	Log     logView
}

// serveLogs shows the log of an app, or of one of its processes.
func (a *admin) serveLogs(w http.ResponseWriter, r *http.Request, user store.User) error {
	app := r.PathValue("app")
	page := logsPage{frame: a.frame(r, user, "Log of "+app), App: app, Process: r.FormValue("ps")}
	var err error
	if page.Choices, err = a.logSources(r.Context(), user, app); err != nil {
		return err
	}
	if page.Process != "" && !slices.Contains(page.Choices, page.Process) {
		page.Choices = append(page.Choices, page.Process)
	}
	if page.Log, err = a.readLog(r.Context(), user, verbs.LogArgs{AppArgs: verbs.AppArgs{App: app}, Process: page.Process, Lines: fullLog}); err != nil {
		return err
	}
	return a.render(w, http.StatusOK, "logs", "", page)
}

// logSources returns what the log of an app can be narrowed to: its process
// types, their instances and its cron jobs.
func (a *admin) logSources(ctx context.Context, user store.User, app string) (sources []string, err error) {
	status, err := verbs.Ask[deploy.AppStatus](ctx, a.table, user, "apps:info", verbs.AppArgs{App: app})
	if err != nil {
		return nil, err
	}
	for _, i := range status.Instances {
		sources = append(sources, i.Process, i.Name)
	}
	slices.Sort(sources)
	jobs, err := verbs.Ask[[]jobs.CronStatus](ctx, a.table, user, "cron:list", verbs.AppArgs{App: app})
	if err != nil {
		return nil, fmt.Errorf("read the jobs of %s: %w", app, err)
	}
	for _, job := range jobs {
		sources = append(sources, cronSource(job.ID))
	}
	return slices.Compact(sources), nil
}

// cronSource is what the log of a cron job is called.
func cronSource(id string) string { return "cron." + id }

// readLog reads the last lines of a log.
func (a *admin) readLog(ctx context.Context, user store.User, q verbs.LogArgs) (logView, error) {
	var shown []template.HTML
	at := newCursor()
	err := verbs.Follow(ctx, a.table, user, "logs", q, func(line logs.LogLine) error {
		at.advance(line)
		shown = append(shown, logLineHTML(line))
		return nil
	})
	if err != nil {
		return logView{}, fmt.Errorf("read the log of %s: %w", q.App, err)
	}
	query := url.Values{"ps": {q.Process}, "after": {at.String()}}
	return logView{
		Follow: "/apps/" + url.PathEscape(q.App) + "/logs/follow?" + query.Encode(),
		Chunks: logChunks(shown),
		Empty:  len(shown) == 0,
	}, nil
}

// serveLogsFollow sends the lines that come after those that the browser has.
func (a *admin) serveLogsFollow(w http.ResponseWriter, r *http.Request, user store.User) error {
	q := verbs.LogArgs{AppArgs: verbs.AppArgs{App: r.PathValue("app")}, Process: r.FormValue("ps"), Lines: shownLog, Follow: true}
	if _, err := a.logSources(r.Context(), user, q.App); err != nil {
		return err // while an error page can still be the answer
	}
	at := parseCursor(cmp.Or(r.Header.Get("Last-Event-ID"), r.FormValue("after")))
	if at.started() {
		q.Lines = replayLog
	}
	gap := false
	return a.stream(w, r, func(ctx context.Context, s *eventStream) error {
		show := func(line logs.LogLine) (template.HTML, bool) {
			// The replay begins before the browser's place, or it does not reach it.
			gap = at.first && at.started() && line.Time.After(at.newest)
			at.first = false
			if at.passed(line) {
				return "", false
			}
			at.advance(line)
			shown := logLineHTML(line)
			if gap {
				shown = gapHTML + "\n" + shown
			}
			return shown, true
		}
		return followLines(ctx, s, show, at.String, func(ctx context.Context, emit func(logs.LogLine) error) error {
			return verbs.Follow(ctx, a.table, user, "logs", q, emit)
		})
	})
}
