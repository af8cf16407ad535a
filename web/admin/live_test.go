package admin

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/berthd/berth/deploy"
	"github.com/berthd/berth/deploy/logs"
	"github.com/berthd/berth/store"
)

// listener reads server-sent events.
type listener struct {
	events chan sse
	close  context.CancelFunc
}

type sse struct{ name, id, data string }

const patience = 10 * time.Second // for what should come at once

func (v *visitor) listen(t *testing.T, path string, headers ...string) *listener {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, "GET", v.h.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := v.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if kind := resp.Header.Get("Content-Type"); resp.StatusCode != http.StatusOK || kind != "text/event-stream" {
		t.Fatalf("GET %s: %d %s", path, resp.StatusCode, kind)
	}
	l := &listener{make(chan sse, 100), cancel}
	ended := make(chan struct{})
	t.Cleanup(func() { cancel(); <-ended })
	go func() {
		defer close(ended)
		defer close(l.events)
		defer resp.Body.Close()
		var e sse
		lines := bufio.NewScanner(resp.Body)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			field, value, _ := strings.Cut(lines.Text(), ": ")
			switch field {
			case "event":
				e.name = value
			case "id":
				e.id = value
			case "data":
				e.data += value + "\n"
			case "":
				if e.name != "" {
					select {
					case l.events <- e:
					case <-ctx.Done():
					}
				}
				e = sse{}
			}
		}
	}()
	return l
}

func (l *listener) next(t *testing.T) sse {
	t.Helper()
	select {
	case e, open := <-l.events:
		if !open {
			t.Fatal("the stream has ended")
		}
		return e
	case <-time.After(patience):
		t.Fatal("no event came")
	}
	return sse{}
}

// until returns the first event of that name whose data contains text.
func (l *listener) until(t *testing.T, name, text string) sse {
	t.Helper()
	for {
		if e := l.next(t); e.name == name && strings.Contains(e.data, text) {
			return e
		}
	}
}

func (l *listener) ends(t *testing.T) {
	t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case _, open := <-l.events:
			if !open {
				return
			}
		case <-deadline:
			t.Fatal("the stream goes on")
		}
	}
}

func TestLive_ChangeReachesThePagesThatShowIt(t *testing.T) {
	h := openQuay(t)
	h.app("shop")
	v := h.enter(h.user("rita", store.RoleRead))
	apps, app := v.listen(t, "/events"), v.listen(t, "/apps/shop/events")
	apps.until(t, "apps", "running")
	app.until(t, "history", "")
	h.harbour.change("shop", func(s *deploy.AppStatus) {
		s.State = deploy.StateDegraded
		s.Instances[1].State = "crashed"
	})
	apps.until(t, "apps", "degraded")
	app.until(t, "head", "degraded")
	if e := app.next(t); e.name != "processes" {
		t.Errorf("after the head came %q, which has not changed", e.name)
	}
}

func TestLive_AppOfAnotherNeverReachesAUserOfOne(t *testing.T) {
	h := openQuay(t)
	h.app("blog")
	l := h.enter(h.user("bob", store.RoleDeploy, "blog")).listen(t, "/events")
	l.until(t, "apps", "blog")
	h.app("shop")
	h.harbour.change("blog", func(s *deploy.AppStatus) { s.State = deploy.StateDown })
	if e := l.until(t, "apps", "down"); strings.Contains(e.data, "shop") {
		t.Error("another's app was sent")
	}
}

func TestLive_RevokedSessionEndsItsStreams(t *testing.T) {
	h := openQuay(t)
	h.app("shop")
	v := h.enter(h.user("rita", store.RoleRead))
	streams := []*listener{v.listen(t, "/events"), v.listen(t, "/apps/shop/events"), v.listen(t, "/apps/shop/logs/follow"), v.listen(t, "/apps/shop/requests/follow")}
	if err := h.table.Sessions.RevokeAll("rita"); err != nil {
		t.Fatal(err)
	}
	for _, l := range streams {
		l.until(t, "bye", "")
		l.ends(t)
	}
}

func TestLive_KeyThatLosesTheAppLosesItsStreams(t *testing.T) {
	h := openQuay(t)
	h.app("shop")
	l := h.enter(h.user("rita", store.RoleRead)).listen(t, "/apps/shop/logs/follow")
	h.user("rita", store.RoleRead, "blog")
	l.until(t, "bye", "")
	l.ends(t)
}

func TestLive_ServerThatStopsEndsStreamsAtOnce(t *testing.T) {
	h := openQuay(t)
	h.app("shop")
	v := h.enter(h.user("rita", store.RoleRead))
	streams := []*listener{v.listen(t, "/events"), v.listen(t, "/apps/shop/logs/follow")}
	streams[0].next(t)
	began := time.Now()
	h.table.Close()
	for _, l := range streams {
		l.ends(t)
	}
	if took := time.Since(began); took > sessionEvery/2 {
		t.Errorf("they ended after %v", took)
	}
}

func TestLive_BrowserThatLeavesLeavesNothingBehind(t *testing.T) {
	h := openQuay(t)
	h.app("shop")
	v := h.enter(h.user("rita", store.RoleRead))
	for range 5 {
		l := v.listen(t, "/apps/shop/events")
		l.next(t)
		l.close()
		l.ends(t)
	}
	deadline := time.Now().Add(patience)
	for h.harbour.watching() > 0 {
		if time.Now().After(deadline) {
			t.Fatalf("%d watchers are left", h.harbour.watching())
		}
		time.Sleep(10 * time.Millisecond) // the server notices in its own time
	}
}

func logLines(source string, from time.Time, n int) (lines []logs.LogLine) {
	for i := range n {
		lines = append(lines, logs.LogLine{Time: from.Add(time.Duration(i/2) * time.Millisecond), Source: source, Release: 2, Stream: "stdout", Text: fmt.Sprintf("line-%d;", i)})
	}
	return lines
}

func TestFollow_LogGoesOnWhereTheBrowserStopped(t *testing.T) {
	h := openQuay(t)
	h.app("shop")
	v := h.enter(h.user("rita", store.RoleRead))
	all := logLines("web.1", time.Now(), 60) // two of each time
	h.harbour.write("shop", all[:31]...)     // the place is between two of one time
	l := v.listen(t, "/apps/shop/logs/follow")
	first := l.until(t, "lines", "line-30;")
	l.close()
	h.harbour.write("shop", all[31:40]...)
	l = v.listen(t, "/apps/shop/logs/follow?after=nonsense", "Last-Event-ID", first.id)
	second := l.until(t, "lines", "line-39;")
	h.harbour.write("shop", all[40:]...)
	third := l.until(t, "lines", "line-59;")
	got := first.data + second.data + third.data
	for i := range all {
		if n := strings.Count(got, fmt.Sprintf("line-%d;", i)); n != 1 {
			t.Errorf("line %d came %d times", i, n)
		}
	}
	if strings.Contains(got, "missing") {
		t.Error("a gap is told where there is none")
	}
}

func TestFollow_GapThatCannotBeClosedIsTold(t *testing.T) {
	h := openQuay(t)
	h.app("shop")
	v := h.enter(h.user("rita", store.RoleRead))
	h.harbour.write("shop", logLines("web.1", time.Now(), 3)...)
	l := v.listen(t, "/apps/shop/logs/follow")
	id := l.until(t, "lines", "line-2;").id
	l.close()
	h.harbour.write("shop", logLines("web.1", time.Now().Add(time.Minute), replayLog+10)...)
	l = v.listen(t, "/apps/shop/logs/follow", "Last-Event-ID", id)
	if e := l.next(t); !strings.HasPrefix(e.data, `<span class="l own gap">`) {
		t.Errorf("the first event is %.200q", e.data)
	}
}

func TestFollow_BuildGoesOnWhereTheBrowserStoppedAndEnds(t *testing.T) {
	h := openQuay(t)
	h.app("shop")
	h.update(func(tx *store.Tx) error {
		return tx.Builds.Put(store.Build{App: "shop", Number: 3, Status: store.BuildRunning, StartedAt: time.Now()})
	})
	v := h.enter(h.user("rita", store.RoleRead))
	h.harbour.say("shop", 3, "-----> one\n       two\n       thr", false)
	page := v.get("/apps/shop/builds/3")
	page.mustContain(t, "one", "two", "/apps/shop/builds/3/follow?after=2")
	page.mustNotContain(t, "thr<")
	l := v.listen(t, "/apps/shop/builds/3/follow?after=2")
	h.harbour.say("shop", 3, "ee\n", false)
	e := l.until(t, "lines", "three")
	if strings.Contains(e.data, "two") || e.id != "3" {
		t.Errorf("came again or with the wrong place: %+v", e)
	}
	h.harbour.say("shop", 3, "error: no end", true)
	l.until(t, "lines", `<span class="l bad">error: no end</span>`)
	l.until(t, "end", "")
	l.ends(t)
}

func TestPlace_SurvivesBeingWrittenDown(t *testing.T) {
	p := newCursor()
	now := time.Now()
	for i := range 100 {
		p.advance(logs.LogLine{Source: fmt.Sprintf("cron.a:b,%d", i), Release: 3, Time: now.Add(time.Duration(i) * time.Second)})
	}
	last := logs.LogLine{Source: "cron.a:b,99", Release: 3, Time: now.Add(99 * time.Second)}
	p.advance(last)
	text := p.String()
	if len(text) > maxCursor || strings.ContainsAny(text, " \n\x00") {
		t.Errorf("the place is %d bytes: %q", len(text), text)
	}
	q := parseCursor(text)
	if !q.passed(last) || !q.passed(last) || q.passed(last) {
		t.Error("of a line that was there twice, not just two are passed")
	}
	for _, bad := range []string{"x", "a:b", "a:b:c:d", "%zz:1:1", "a:1:x", strings.Repeat("a:1:1,", 5000)} {
		if parseCursor(bad).started() {
			t.Errorf("%.20q is taken for a place", bad)
		}
	}
}
