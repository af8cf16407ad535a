package admin

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/berthd/berth/edge"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
)

func (h *harbour) Traffic(_ context.Context, app string) (edge.Traffic, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.traffic[app], nil
}

// ask adds lines to an app's access log.
func (h *harbour) ask(app string, lines ...edge.RequestLine) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.requests[app] = append(h.requests[app], lines...)
	close(h.grown)
	h.grown = make(chan struct{})
}

func (h *harbour) Requests(ctx context.Context, q edge.RequestQuery, fn func(edge.RequestLine) error) error {
	if q.Status != "" && q.Status != "5xx" {
		return fault.New(fault.Usage, "E186", "%q is no status", q.Status)
	}
	wanted := func(line edge.RequestLine) bool { return q.Status != "5xx" || line.Status >= 500 }
	return giveLines(ctx, h, func() []edge.RequestLine { return h.requests[q.App] }, q.Lines, q.Follow, wanted, fn)
}

func requestLine(id, path string, status int) edge.RequestLine {
	return edge.RequestLine{Time: time.Now(), ID: id, Method: "GET", Host: "shop.example.com", Path: path, Status: status}
}

func TestRequests_GoOnWhereTheBrowserStopped(t *testing.T) {
	h := openQuay(t)
	h.app("shop")
	v := h.enter(h.user("rita", store.RoleRead))
	h.harbour.ask("shop", requestLine("a", "/1", 200), requestLine("b", "/2", 500), requestLine("c", "/3", 200))
	page := v.get("/apps/shop/requests").body
	for _, want := range []string{"/1", "/2", "/3", "after=c", `class="l bad"`} {
		if !strings.Contains(page, want) {
			t.Errorf("the page has no %s", want)
		}
	}
	if page := v.get("/apps/shop/requests?status=5xx").body; strings.Contains(page, "example.com/1<") || !strings.Contains(page, "after=b") {
		t.Errorf("narrowed to errors: %s", page)
	}
	if got := v.get("/apps/shop/requests?status=nine").status; got != 400 {
		t.Errorf("of a status that there is not: got %d, want 400", got)
	}

	l := v.listen(t, "/apps/shop/requests/follow?after=b")
	first := l.until(t, "lines", "")
	if strings.Contains(first.data, "/2 ") || !strings.Contains(first.data, "/3") || first.id != "c" {
		t.Errorf("after b: got %+v", first)
	}
	h.harbour.ask("shop", requestLine("d", "/4", 200))
	if got := l.until(t, "lines", ""); !strings.Contains(got.data, "/4") || got.id != "d" {
		t.Errorf("then: got %+v", got)
	}
	l = v.listen(t, "/apps/shop/requests/follow?after=b", "Last-Event-ID", "rotated-away")
	if got := l.until(t, "lines", ""); !strings.Contains(got.data, "lines are missing here") || !strings.Contains(got.data, "/1") {
		t.Errorf("after one that is not there any more: got %+v", got)
	}
}

func TestRequests_HostileLinesStayText(t *testing.T) {
	line := requestLine(`"><script>`, "/<script>alert(1)</script>\x1b[2J\u202e", 200)
	line.UserAgent, line.Client, line.Instance, line.Method = `" onmouseover="x`, "<b>", "<i>", "<u>"
	got := string(requestLineHTML(line))
	for _, bad := range []string{"<script", "<b>", "<i>", "<u>", `" onmouseover`, "\x1b", "\u202e"} {
		if strings.Contains(got, bad) {
			t.Errorf("%q is in %s", bad, got)
		}
	}
}

func TestTrafficView_DrawsWithinItsBox(t *testing.T) {
	v := newTrafficView(edge.Traffic{History: []float64{0, 5, 10}, Seconds: 300})
	if v.Line != "0.0,47.0 300.0,24.0 600.0,1.0" || v.Top != 10 || v.Minutes() != "last 5 min" {
		t.Errorf("got %+v, %s", v, v.Minutes())
	}
	if v := newTrafficView(edge.Traffic{History: []float64{0, 0}}); v.Line != "0.0,47.0 600.0,47.0" {
		t.Errorf("of nothing: got %s", v.Line)
	}
	if v := newTrafficView(edge.Traffic{}); v.Line != "" {
		t.Errorf("of no history: got %s", v.Line)
	}
}

func browserRequests(t *testing.T, b *tab) {
	b.enter(b.h.user("alice", store.RoleRead))
	b.open("/apps/shop")
	b.sees(".figures", "21.4")
	b.sees(".spark", "last 5 min")
	b.open("/apps/shop/requests")
	b.sees(".log-view", "/products/7?page=2")
	b.h.harbour.ask("shop", requestLine("new", "/fresh", 503))
	b.sees(".log-view", "/fresh")
	b.open("/apps/shop/requests?status=5xx")
	b.sees(".log-view", "502 POST")
	b.sees(".log-view", "/fresh")
	if got := b.eval(`String(document.querySelector('.log-view').textContent.includes('favicon'))`); got != "false" {
		t.Errorf("among the errors is one of 404: %v", got)
	}
}
