package web

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/berthd/berth/client"
	"github.com/berthd/berth/deploy/logs"
	"github.com/berthd/berth/router/certificates"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/verbs"
)

var (
	reader   = store.User{Name: "rita", Role: store.RoleRead}
	deployer = store.User{Name: "dora", Role: store.RoleDeploy}
	ofShop   = store.User{Name: "sam", Role: store.RoleDeploy, Apps: []string{"shop"}}
)

func codeOf(err error) string {
	if f := fault.From(err); f != nil {
		return f.Code
	}
	if err != nil {
		return "no fault: " + err.Error()
	}
	return ""
}

// post asks over HTTP as the machine's root would.
func post(t *testing.T, h *house, method, path, body string, header http.Header) *httptest.ResponseRecorder {
	t.Helper()
	req := httptest.NewRequest(method, "https://berth.example.com"+path, strings.NewReader(body))
	for name, values := range header {
		req.Header[name] = values
	}
	w := httptest.NewRecorder()
	h.api.handler(func(*http.Request) (store.User, error) { return store.Root, nil }).ServeHTTP(w, req)
	return w
}

func TestHTTP_HostileRequests(t *testing.T) {
	h := newHouse(t)
	h.makeApp(t, "shop")
	for _, c := range []struct {
		name, method, path, body string
		status                   int
		code                     string
	}{
		{"unknown verb", "POST", "/api/v1/apps:lits", "{}", 404, "E141"},
		{"no verb", "POST", "/api/v1/", "{}", 404, "E141"},
		{"not JSON", "POST", "/api/v1/apps:info", "app=shop", 400, "E140"},
		{"half of it", "POST", "/api/v1/apps:info", `{"app":"shop"`, 400, "E140"},
		{"unknown field", "POST", "/api/v1/apps:info", `{"app":"shop","x":1}`, 400, "E140"},
		{"something behind", "POST", "/api/v1/apps:info", `{"app":"shop"}{}`, 400, "E140"},
		{"a list", "POST", "/api/v1/apps:info", `["shop"]`, 400, "E140"},
		{"wrong type", "POST", "/api/v1/apps:info", `{"app":7}`, 400, "E140"},
		{"number too large", "POST", "/api/v1/releases:info", `{"app":"shop","number":99999999999999999999}`, 400, "E140"},
		{"not UTF-8", "POST", "/api/v1/config:set", "{\"app\":\"shop\",\"set\":{\"A\":\"\xff\"}}", 400, "E140"},
		{"deep", "POST", "/api/v1/apps:info", strings.Repeat("[", 100_000), 400, "E140"},
		{"null", "POST", "/api/v1/apps:info", "null", 400, "E140"}, // no app
		{"empty", "POST", "/api/v1/apps:info", "", 400, "E140"},
		{"too large", "POST", "/api/v1/apps:info", `{"app":"` + strings.Repeat("x", maxBody) + `"}`, 413, "E145"},
		{"PUT", "PUT", "/api/v1/apps:info", `{"app":"shop"}`, 405, "E142"},
		{"GET that changes", "GET", "/api/v1/apps:create?app=new", "", 405, "E142"},
		{"GET with an unknown parameter", "GET", "/api/v1/apps:info?app=shop&x=1", "", 400, "E140"},
		{"GET with two apps", "GET", "/api/v1/apps:info?app=shop&app=blog", "", 400, "E140"},
		{"GET with a bad number", "GET", "/api/v1/releases?app=shop&limit=many", "", 400, "E140"},
		{"GET with a bad byte", "GET", "/api/v1/apps:info?app=%ff", "", 400, "E140"},
		{"run without a WebSocket", "POST", "/api/v1/run", "{}", 405, "E142"},
		{"missing", "GET", "/api/v1/apps:info?app=none", "", 404, "E101"},
		{"taken", "POST", "/api/v1/apps:create", `{"app":"shop"}`, 409, "E102"},
		{"bad name", "POST", "/api/v1/apps:create", `{"app":"../etc"}`, 400, "E100"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := post(t, h, c.method, c.path, c.body, nil)
			var answer struct{ Error fault.Error }
			if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
				t.Fatalf("the answer is not JSON: %v\n%s", err, w.Body)
			}
			if w.Code != c.status || answer.Error.Code != c.code {
				t.Errorf("got %d %s, want %d %s: %.200s", w.Code, answer.Error.Code, c.status, c.code, w.Body)
			}
		})
	}
}

func TestHTTP_AnswersTheResultItself(t *testing.T) {
	h := newHouse(t)
	for _, c := range []struct{ method, path, body, want string }{
		{"GET", "/api/v1/apps:list", "", "[]"},
		{"POST", "/api/v1/apps:create", `{"app":"shop"}`, `"name":"shop"`},
		{"GET", "/api/v1/apps:info?app=shop", "", `"git_url":"berth@example.com:shop"`},
		{"GET", "/api/v1/releases?app=shop&limit=3", "", "[]"},
		{"GET", "/api/v1/cron:list?app=shop", "", "[]"},
		{"GET", "/api/v1/config:show?app=shop", "", "{}"},
		{"GET", "/api/v1/logs?app=shop&lines=1", "", `"text":"three"`},
		{"POST", "/api/v1/version", "", `"version":"1.2.3"`},
	} {
		w := post(t, h, c.method, c.path, c.body, nil)
		if w.Code != 200 || !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("%s %s: got %d %s, want %s", c.method, c.path, w.Code, w.Body, c.want)
		}
	}
}

func TestHTTP_AdminHostWantsASession(t *testing.T) {
	h := newHouse(t)
	ask := func(method string, change func(*http.Request)) int {
		req := httptest.NewRequest(method, "https://berth.example.com/api/v1/apps:list", nil)
		change(req)
		w := httptest.NewRecorder()
		h.Handler().ServeHTTP(w, req)
		return w.Code
	}
	link, _, err := h.table.Sessions.Link(store.Root)
	if err != nil {
		t.Fatal(err)
	}
	session, _, err := h.table.Sessions.Redeem(link)
	if err != nil {
		t.Fatal(err)
	}
	signedIn := func(r *http.Request) { r.AddCookie(&http.Cookie{Name: sessionCookie, Value: session}) }
	for _, c := range []struct {
		name   string
		method string
		change func(*http.Request)
		want   int
	}{
		{"nobody", "GET", func(*http.Request) {}, 401},
		{"made-up session", "GET", func(r *http.Request) { r.AddCookie(&http.Cookie{Name: sessionCookie, Value: "x"}) }, 401},
		{"a link is no session", "GET", func(r *http.Request) { r.AddCookie(&http.Cookie{Name: sessionCookie, Value: link}) }, 401},
		{"session", "POST", signedIn, 200},
		{"from another site", "POST", func(r *http.Request) { signedIn(r); r.Header.Set("Sec-Fetch-Site", "cross-site") }, 403},
		{"from an app beside it", "POST", func(r *http.Request) { signedIn(r); r.Header.Set("Sec-Fetch-Site", "same-site") }, 403},
		{"from an old browser elsewhere", "POST", func(r *http.Request) { signedIn(r); r.Header.Set("Origin", "https://shop.example.com") }, 403},
		{"from its own host by plain HTTP", "POST", func(r *http.Request) { signedIn(r); r.Header.Set("Origin", "http://berth.example.com") }, 403},
		{"the same, in capitals", "POST", func(r *http.Request) { signedIn(r); r.Header.Set("Origin", "HTTP://berth.example.com") }, 403},
		{"from there to a WebSocket", "GET", func(r *http.Request) { signedIn(r); r.Header.Set("Origin", "http://berth.example.com") }, 403},
		{"from its own host", "POST", func(r *http.Request) { signedIn(r); r.Header.Set("Origin", "https://berth.example.com") }, 200},
		{"from its own pages", "POST", func(r *http.Request) { signedIn(r); r.Header.Set("Sec-Fetch-Site", "same-origin") }, 200},
	} {
		if got := ask(c.method, c.change); got != c.want {
			t.Errorf("%s: got %d, want %d", c.name, got, c.want)
		}
	}
}

func TestHandler_EveryAnswerIsForThisHostAlone(t *testing.T) {
	h := newHouse(t)
	var served certificates.State
	cfg := h.Server.cfg
	cfg.Certificate = func(string) certificates.State { return served }
	h.Server.cfg = cfg
	ask := func(url string) http.Header {
		w := httptest.NewRecorder()
		h.Handler().ServeHTTP(w, httptest.NewRequest("GET", url, nil))
		return w.Header()
	}
	for _, path := range []string{"/api/v1/apps:list", "/api/v1/run", "/metrics", "/", "/static/nothing", "/nothing"} {
		got := ask("https://berth.example.com" + path)
		if !strings.HasPrefix(got.Get("Content-Security-Policy"), "default-src 'none'") || got.Get("Cross-Origin-Resource-Policy") != "same-origin" || got.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %v", path, got)
		}
	}
	valid := time.Now().Add(time.Hour)
	for _, row := range []struct {
		served certificates.State
		url    string
		want   string
	}{
		{certificates.State{NotAfter: valid}, "https://berth.example.com/", "max-age=2592000"},
		{certificates.State{NotAfter: valid}, "http://berth.example.com/", ""},
		{certificates.State{NotAfter: valid, Local: true}, "https://berth.example.com/", ""},
		{certificates.State{NotAfter: valid, Own: true}, "https://berth.example.com/", ""},
		{certificates.State{NotAfter: time.Now().Add(-time.Hour)}, "https://berth.example.com/", ""},
		{certificates.State{}, "https://berth.example.com/", ""},
	} {
		served = row.served
		if got := ask(row.url).Get("Strict-Transport-Security"); got != row.want {
			t.Errorf("%s with %+v: HSTS is %q, want %q", row.url, row.served, got, row.want)
		}
	}
}

func TestStream_ProgressComesBeforeTheEnd(t *testing.T) {
	h := newHouse(t)
	h.makeApp(t, "shop")
	seen := make(chan string, 2) // room for both: a pipe has none
	h.deployer.scale = func(_ context.Context, out io.Writer) error {
		io.WriteString(out, "starting \xe2\x9c") // half of a character
		io.WriteString(out, "\x93\n")
		if got := <-seen + <-seen; got != "starting ✓\n" {
			t.Errorf("got %q while it went on", got)
		}
		return fault.New(fault.Timeout, "E301", "web.1 did not become healthy").With("| boom")
	}
	err := h.Client(store.Root).Call(t.Context(), "ps:scale", verbs.ScaleArgs{AppArgs: verbs.AppArgs{App: "shop"}, Formation: map[string]int{"web": 2}}, nil,
		writerFunc(func(p []byte) (int, error) { seen <- string(p); return len(p), nil }))
	f := fault.From(err)
	if f == nil || f.Code != "E301" || f.Kind != fault.Timeout || len(f.Evidence) != 1 {
		t.Errorf("got %+v, want the fault as it was given", f)
	}
}

func TestStream_ReaderWhoLeavesDoesNotStopTheWork(t *testing.T) {
	h := newHouse(t)
	h.makeApp(t, "shop")
	began, left, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	h.deployer.scale = func(_ context.Context, out io.Writer) error {
		defer close(done)
		close(began)
		<-left
		for range 1000 {
			if _, err := out.Write([]byte(strings.Repeat("x", 1000) + "\n")); err != nil {
				t.Errorf("the work got the reader's error: %v", err)
			}
		}
		return nil
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-began; cancel() }()
	err := h.Client(store.Root).Call(ctx, "ps:scale", verbs.ScaleArgs{AppArgs: verbs.AppArgs{App: "shop"}, Formation: map[string]int{"web": 2}}, nil, nil)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that it was cancelled", err)
	}
	close(left)
	<-done
}

func TestLogs_FollowersAreLetGoWhenBerthStops(t *testing.T) {
	h := newHouse(t)
	h.makeApp(t, "shop")
	var got []string
	err := client.Follow(t.Context(), h.Client(store.Root), "logs", verbs.LogArgs{AppArgs: verbs.AppArgs{App: "shop"}, Lines: 2, Follow: true}, func(line logs.LogLine) error {
		got = append(got, line.Text)
		if line.Text == "followed" {
			go h.stop()
		}
		return nil
	})
	if want := "two three followed"; strings.Join(got, " ") != want || err != nil {
		t.Errorf("got %q, %v; want %q and no error", got, err, want)
	}
}

func TestClient_SaysWhyNobodyAnswers(t *testing.T) {
	h := newHouse(t)
	h.stop()
	for name, c := range map[string]*client.Client{"socket": client.Dial(h.socket), "pipe": h.Client(store.Root)} {
		err := c.Call(t.Context(), "version", nil, nil, nil)
		if got := codeOf(err); got != "E130" {
			t.Fatalf("%s: got %s, want E130", name, got)
		}
		// Both kinds of machine are helped, with commands of what install.sh makes.
		hints := strings.Join(fault.From(err).Hints, "\n")
		for _, help := range []string{"journalctl -u berth -n 30", "systemctl restart berth", "/var/log/berth.log", "/usr/local/lib/berth/service start"} {
			if !strings.Contains(hints, help) {
				t.Errorf("%s: the hints lack %q:\n%s", name, help, hints)
			}
		}
	}
	script, err := os.ReadFile("../install.sh")
	if err != nil {
		t.Fatal(err)
	}
	service, err := os.ReadFile("../packaging/service")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(script), " /usr/local/lib/berth/service ") || !strings.Contains(string(service), "log=/var/log/berth.log\n") ||
		!strings.Contains(string(service), "\nstart)") && !strings.Contains(string(service), "\tstart)") {
		t.Error("install.sh and the service have moved away from the hint")
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
