package admin

import (
	"cmp"
	"context"
	"fmt"
	"html"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/berthd/berth/edge"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/units"
	"github.com/berthd/berth/verbs"
)

// trafficView is what the page of an app shows of its last minutes.
type trafficView struct {
	edge.Traffic
	Line string  // the points of the curve, in a box of sparkWidth by sparkHeight
	Top  float64 // requests a second at its highest
}

const (
	sparkWidth  = 600
	sparkHeight = 48
)

func (a *admin) readTraffic(ctx context.Context, user store.User, app string) (trafficView, error) {
	traffic, err := verbs.Ask[edge.Traffic](ctx, a.table, user, "router:traffic", verbs.AppArgs{App: app})
	if err != nil {
		return trafficView{}, fmt.Errorf("read the traffic of %s: %w", app, err)
	}
	return newTrafficView(traffic), nil
}

func newTrafficView(t edge.Traffic) trafficView {
	v := trafficView{Traffic: t}
	if len(t.History) < 2 {
		return v
	}
	v.Top = slices.Max(t.History)
	var points []string
	for i, n := range t.History {
		x := float64(sparkWidth) * float64(i) / float64(len(t.History)-1)
		y := float64(sparkHeight - 1)
		if v.Top > 0 {
			y -= (sparkHeight - 2) * n / v.Top
		}
		points = append(points, fmt.Sprintf("%.1f,%.1f", x, y))
	}
	v.Line = strings.Join(points, " ")
	return v
}

// Minutes are how far back the figures go, for people.
func (v trafficView) Minutes() string {
	if v.Seconds < 90 {
		return fmt.Sprintf("last %.0f s", v.Seconds)
	}
	return fmt.Sprintf("last %.0f min", v.Seconds/60)
}

// figure writes a number as short as it can be without lying.
func figure(n float64) string {
	switch {
	case n == 0:
		return "0"
	case n < .01:
		return "< 0.01"
	case n < 10:
		return strconv.FormatFloat(n, 'f', 2, 64)
	case n < 100:
		return strconv.FormatFloat(n, 'f', 1, 64)
	}
	return strconv.FormatFloat(n, 'f', 0, 64)
}

// Share is the errors in percent.
func (v trafficView) Share() string { return figure(100*v.Errors) + " %" }

// latency shows milliseconds as a person says them.
func latency(ms float64) string {
	if ms >= 1000 {
		return figure(ms/1000) + " s"
	}
	return figure(ms) + " ms"
}

// statusChoices are what the access log can be narrowed to.
var statusChoices = []string{"2xx", "3xx", "4xx", "5xx"}

type requestsPage struct {
	frame
	App     string
	Status  string // "" is all
	Choices []string
	Log     logView
}

// serveRequests shows the access log of an app.
func (a *admin) serveRequests(w http.ResponseWriter, r *http.Request, user store.User) error {
	app := r.PathValue("app")
	page := requestsPage{frame: a.frame(r, user, "Requests of "+app), App: app, Status: r.FormValue("status"), Choices: statusChoices}
	if page.Status != "" && !slices.Contains(page.Choices, page.Status) {
		page.Choices = append(slices.Clone(page.Choices), page.Status)
	}
	var shown []template.HTML
	last := ""
	q := verbs.RequestArgs{App: app, Status: page.Status, Lines: fullLog}
	err := verbs.Follow(r.Context(), a.table, user, "router:logs", q, func(line edge.RequestLine) error {
		last = cmp.Or(line.ID, last)
		shown = append(shown, requestLineHTML(line))
		return nil
	})
	if err != nil {
		return err
	}
	query := url.Values{"status": {page.Status}, "after": {last}}
	page.Log = logView{
		Follow: "/apps/" + url.PathEscape(app) + "/requests/follow?" + query.Encode(),
		Chunks: logChunks(shown),
		Empty:  len(shown) == 0,
	}
	return a.render(w, http.StatusOK, "requests", "", page)
}

// serveRequestsFollow sends the lines that come after the one that the browser
// got last, which it names by the request's id.
func (a *admin) serveRequestsFollow(w http.ResponseWriter, r *http.Request, user store.User) error {
	q := verbs.RequestArgs{App: r.PathValue("app"), Status: r.FormValue("status"), Lines: shownLog, Follow: true}
	last := cmp.Or(r.Header.Get("Last-Event-ID"), r.FormValue("after"))
	known, err := a.knowsRequest(r.Context(), user, q, last)
	if err != nil {
		return err
	}
	gap := last != "" && !known
	if known {
		q.Lines = replayLog
	}
	return a.stream(w, r, func(ctx context.Context, s *eventStream) error {
		passing := known
		show := func(line edge.RequestLine) (template.HTML, bool) {
			if passing {
				passing = line.ID != last
				return "", false
			}
			last = cmp.Or(line.ID, last)
			shown := requestLineHTML(line)
			if gap {
				shown = gapHTML + "\n" + shown
				gap = false
			}
			return shown, true
		}
		return followLines(ctx, s, show, func() string { return last }, func(ctx context.Context, emit func(edge.RequestLine) error) error {
			return verbs.Follow(ctx, a.table, user, "router:logs", q, emit)
		})
	})
}

// knowsRequest tells whether a request is among the lines that can be replayed,
// and whether the query makes sense while an error page can still be the answer.
func (a *admin) knowsRequest(ctx context.Context, user store.User, q verbs.RequestArgs, id string) (known bool, err error) {
	q.Follow, q.Lines = false, replayLog/2 // more come before the replay begins
	err = verbs.Follow(ctx, a.table, user, "router:logs", q, func(line edge.RequestLine) error {
		known = known || id != "" && line.ID == id
		return nil
	})
	return known, err
}

// requestLineHTML shows one line of an access log.
func requestLineHTML(line edge.RequestLine) template.HTML {
	at := line.Time.UTC()
	stamp := `<span class="at" title="` + at.Format("2 Jan 2006 15:04:05.000 UTC") + `">` + at.Format("15:04:05") + `</span> `
	if line.Dropped > 0 {
		return template.HTML(fmt.Sprintf(`<span class="l own">%s%d lines could not be written</span>`, stamp, line.Dropped))
	}
	look := "out"
	switch {
	case line.Status >= 500:
		look = "bad"
	case line.Status >= 400:
		look = "warn"
	}
	text := func(s string) string { return html.EscapeString(plainText(s)) }
	by := `<span class="soft">berth</span>`
	if line.Instance != "" {
		by = fmt.Sprintf(`<span class="s s%d" title="%s of v%d">%s</span>`, colourOf(line.Instance), text(line.Instance), line.Release, text(line.Instance))
	}
	return template.HTML(fmt.Sprintf(`<span class="l out">%s<span class="l %s">%d</span> %s %s%s %s <span class="soft" title="%s %s">%s, %s, %s</span></span>`,
		stamp, look, line.Status, text(line.Method), text(line.Host), text(line.Path), by,
		text(line.ID), text(line.UserAgent), latency(line.Duration), units.Bytes(line.BytesOut), text(line.Client)))
}
