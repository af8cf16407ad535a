package admin

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/audits"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/berthd/berth/deploy"
	"github.com/berthd/berth/deploy/logs"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
)

// browserPatience is for what Chromium does on a machine that does other things too.
const browserPatience = 20 * time.Second

// harness is a Chromium, and the network that it shares with the servers it is
// shown. As root that is one of their own: containers that come and go on the
// machine would make Chromium drop its connections (ERR_NETWORK_CHANGED), and
// what a page tried to load from elsewhere would fail.
type harness struct {
	ctx context.Context
	net *os.File // network namespace; nil is the machine's
}

// startChromium starts the system's Chromium, which ends with the test.
func startChromium(t *testing.T) *harness {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("CI tests the admin pages in a real browser: %v", err)
		}
		t.Skipf("no browser to test the admin pages in (apt-get install chromium): %v", err)
	}
	b := &harness{}
	enter := func(*exec.Cmd) {}
	if os.Getuid() == 0 {
		b.net = newNetwork(t)
		nsenter, err := exec.LookPath("nsenter")
		if err != nil {
			t.Fatal(err)
		}
		enter = func(cmd *exec.Cmd) {
			cmd.Path = nsenter
			cmd.Args = append([]string{nsenter, fmt.Sprintf("--net=/proc/%d/fd/%d", os.Getpid(), b.net.Fd()), "--", path}, cmd.Args[1:]...)
		}
	}
	ctx, cancel := chromedp.NewExecAllocator(t.Context(),
		chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()), chromedp.ModifyCmdFunc(enter),
		chromedp.Flag("headless", "new"), chromedp.NoSandbox, chromedp.IgnoreCertErrors,
		chromedp.Flag("disable-gpu", true), chromedp.Flag("no-first-run", true), chromedp.Flag("no-default-browser-check", true),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("hide-scrollbars", true),
	)
	t.Cleanup(cancel)
	b.ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(b.ctx); err != nil {
		t.Fatalf("start %s: %v", path, err)
	}
	return b
}

// newNetwork makes a network namespace that has a loopback interface alone.
func newNetwork(t *testing.T) *os.File {
	t.Helper()
	var file *os.File
	err := onOwnThread(func() (err error) {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("unshare the network: %w", err)
		}
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		if err := netlink.LinkSetUp(lo); err != nil {
			return err
		}
		file, err = os.Open("/proc/thread-self/ns/net")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return file
}

// onOwnThread runs fn on a thread that is thrown away afterwards.
func onOwnThread(fn func() error) error {
	done := make(chan error)
	go func() {
		goruntime.LockOSThread() // and never unlocked
		done <- fn()
	}()
	return <-done
}

// openQuay opens an admin host that Chromium reaches.
func (b *harness) openQuay(t *testing.T) *quay {
	t.Helper()
	if b.net == nil {
		return openQuay(t)
	}
	var listener net.Listener
	err := onOwnThread(func() (err error) {
		if err := unix.Setns(int(b.net.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter the browser's network: %w", err)
		}
		listener, err = net.Listen("tcp", "127.0.0.1:0")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return openQuayAt(t, listener)
}

// tab is one window with cookies of its own. At its end nothing may have been
// complained about.
type tab struct {
	t   *testing.T
	h   *quay
	ctx context.Context

	mu         sync.Mutex // guards complaints
	complaints []string
}

func (h *quay) tab(t *testing.T, browser *harness) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser.ctx, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	b := &tab{t: t, h: h, ctx: ctx}
	complain := func(format string, args ...any) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.complaints = append(b.complaints, fmt.Sprintf(format, args...))
	}
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("open a tab: %v", err)
	}
	err := chromedp.Listen(ctx, func(event any) {
		switch e := event.(type) {
		case *runtime.EventConsoleAPICalled:
			for _, arg := range e.Args {
				complain("console.%s: %s %s", e.Type, arg.Value, arg.Description)
			}
		case *runtime.EventExceptionThrown:
			complain("exception: %v", e.ExceptionDetails)
		case *log.EventEntryAdded:
			complain("%s %s: %s (%s)", e.Entry.Source, e.Entry.Level, e.Entry.Text, e.Entry.URL)
		case *audits.EventIssueAdded:
			if violated := e.Issue.Details.ContentSecurityPolicyIssueDetails; violated != nil {
				complain("the content policy forbids %s: %s", violated.ViolatedDirective, violated.BlockedURL)
			}
		}
	})
	if err != nil {
		t.Fatalf("listen to a tab: %v", err)
	}
	b.run(command(log.Enable, cdp.Empty{}), command(audits.Enable, cdp.Empty{}), chromedp.EmulateViewport(1280, 800))
	t.Cleanup(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, complaint := range b.complaints {
			t.Errorf("the browser complains: %s", complaint)
		}
	})
	return b
}

// command is an action of the protocol itself.
func command[P, R any](c cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, t, c, params)
		return chromedp.Void{}, err
	}
}

func (b *tab) run(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, browserPatience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.t.Fatalf("in the browser: %v\n%s", err, b.text())
	}
}

// eval returns the text that an expression, or the promise of one, comes to.
func (b *tab) eval(expression string) string {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, browserPatience)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("in the browser: %.200s: %v", expression, err)
	}
	return text
}

// text is what the page says now.
func (b *tab) text() string {
	ctx, cancel := context.WithTimeout(b.ctx, browserPatience)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string]("document.location.pathname + '\\n' + document.body.innerText"))
	if err != nil {
		return err.Error()
	}
	return text
}

// until waits for an expression to be true.
func (b *tab) until(expression string, args ...any) {
	b.t.Helper()
	if len(args) > 0 {
		expression = fmt.Sprintf(expression, args...)
	}
	ctx, cancel := context.WithTimeout(b.ctx, browserPatience)
	defer cancel()
	for {
		// A page that is being left has no answer; the next one has.
		yes, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("Boolean("+expression+")"))
		if yes {
			return
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			b.t.Fatalf("it never came to %s (%v)\n%s", expression, err, b.text())
		}
	}
}

func says(selector, text string) string {
	return fmt.Sprintf("document.querySelector(%q)?.innerText.includes(%q)", selector, text)
}

func (b *tab) sees(selector, text string) { b.t.Helper(); b.until(says(selector, text)) }

// live waits until the page's event stream is open.
func (b *tab) live() { b.t.Helper(); b.sees("#link-state", "Live") }

func (b *tab) open(path string) { b.t.Helper(); b.run(chromedp.Navigate(b.h.URL + path)) }

func (b *tab) click(selector string) {
	b.t.Helper()
	b.run(chromedp.Click(chromedp.CSS(selector), chromedp.NodeVisible))
}

// send clicks a form's button on a page that has just changed. htmx takes a new
// form over a moment after it is shown; until then the browser sends it by
// itself, which leads to a page of its own.
func (b *tab) send(selector string) {
	b.t.Helper()
	b.until("document.querySelector(%q)?.closest('form')['htmx-internal-data']?.initHash !== undefined", selector)
	b.click(selector)
}

// look sets the size of the window and the colour scheme.
func (b *tab) look(scheme string, width, height int64) {
	b.t.Helper()
	var mobile []chromedp.EmulateViewportOption
	if width < 600 {
		mobile = append(mobile, chromedp.EmulateMobile)
	}
	b.run(chromedp.EmulateViewport(width, height, mobile...),
		command(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}))
}

// forgive drops complaints that contain text: the browser itself notes every
// answer that is no success.
func (b *tab) forgive(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.complaints = slices.DeleteFunc(b.complaints, func(c string) bool { return strings.Contains(c, text) })
}

// enter signs in by a link, as a person would.
func (b *tab) enter(user store.User) {
	b.t.Helper()
	token, _, err := b.h.table.Sessions.Link(user)
	if err != nil {
		b.t.Fatal(err)
	}
	b.open("/login?token=" + url.QueryEscape(token))
	b.click("main button")
	b.until("document.location.pathname === '/'")
	b.sees(".who", user.Name)
}

func TestBrowser(t *testing.T) {
	browser := startChromium(t)
	type scene struct {
		name string
		run  func(*testing.T, *tab)
	}
	scenes := []scene{
		{"AppsPageFollowsChanges", browserApps},
		{"AppPageFollowsChanges", browserApp},
		{"LogIsFollowed", browserLog},
		{"LongLogStaysBounded", browserLongLog},
		{"LogGoesOnAfterTheConnectionBroke", browserReconnect},
		{"RequestsAreFollowedAndNarrowed", browserRequests},
		{"BuildIsFollowed", browserBuild},
		{"ActionsAskAndTell", browserActions},
		{"RefusalIsTold", browserRefusal},
		{"RevealShowsAValue", browserReveal},
		{"RevokedSessionLosesThePage", browserRevoked},
		{"NothingIsWiderThanAPhone", browserNarrow},
		{"KeyboardIsEnough", browserKeyboard},
	}
	// axe-core is no part of berth: npm pack it, and name its axe.min.js here.
	if axe := os.Getenv("BERTH_AXE"); axe != "" {
		scenes = append(scenes, scene{"PagesAreAccessible", func(t *testing.T, b *tab) { browserAccessible(t, b, axe) }})
	}
	for _, test := range scenes {
		t.Run(test.name, func(t *testing.T) {
			h := browser.openQuay(t)
			h.scene()
			test.run(t, h.tab(t, browser))
		})
	}
}

func browserApps(t *testing.T, b *tab) {
	b.enter(b.h.user("alice", store.RoleRead))
	b.live()
	b.sees(".apps tbody tr:nth-child(3)", "running")
	b.h.harbour.change("shop", func(s *deploy.AppStatus) { s.State, s.Building = deploy.StateDegraded, 43 })
	b.sees(".apps tbody tr:nth-child(3)", "degraded")
	b.sees(".apps tbody tr:nth-child(3)", "build 43 runs")
	b.h.app("atlas")
	b.sees(".apps tbody tr:nth-child(2)", "atlas")
}

func browserApp(t *testing.T, b *tab) {
	b.enter(b.h.user("alice", store.RoleRead))
	b.open("/apps/shop")
	b.live()
	b.sees(".processes", "web.2")
	b.h.harbour.change("shop", func(s *deploy.AppStatus) {
		s.State = deploy.StateDegraded
		s.Instances[1].State, s.Instances[1].Detail = "crashed", "exit code 1"
	})
	b.sees("h1", "degraded")
	b.sees(".processes", "exit code 1")
}

func browserLog(t *testing.T, b *tab) {
	b.enter(b.h.user("alice", store.RoleRead))
	b.open("/apps/shop")
	b.live()
	line := func(text string) {
		b.h.harbour.write("shop", logs.LogLine{Time: time.Now(), Source: "web.1", Release: 18, Stream: "stderr", Text: text})
	}
	line("first \x1b[31mred\x1b[0m <b>bold</b>")
	b.sees(".log-view", "first red <b>bold</b>")
	b.until("document.querySelector('.log-view .c1')?.textContent === 'red'")
	const atEnd = "(v => v.scrollHeight - v.scrollTop - v.clientHeight < 5)(document.querySelector('.log-view'))"
	b.until(atEnd)

	b.click("[data-pause]")
	b.sees("[data-pause]", "Follow")
	for i := range 50 {
		line(fmt.Sprintf("while paused %d;", i))
	}
	b.click("[data-pause]")
	b.sees(".log-view", "while paused 49;")
	for _, text := range []string{"first red", "while paused 0;", "while paused 49;"} {
		b.until("document.querySelector('.log-view').innerText.split(%q).length === 2", text)
	}
	b.until(atEnd)

	// A reader who looks back is left alone.
	b.run(chromedp.Evaluate[chromedp.Void]("document.querySelector('.log-view').scrollTop = 10"))
	b.until("!document.querySelector('[data-latest]').hidden")
	line("not to be scrolled to")
	b.sees(".log-view", "not to be scrolled to")
	b.until("document.querySelector('.log-view').scrollTop < 50")
	b.click("[data-latest]")
	b.until(atEnd)

	b.open("/apps/shop/logs")
	b.run(chromedp.SetValue(chromedp.CSS("#ps"), "worker.1"))
	b.until("document.location.search === '?ps=worker.1'")
	b.until("!document.querySelector('.log-view').innerText.includes('web.1')")
	b.h.harbour.write("shop", logs.LogLine{Time: time.Now(), Source: "worker.1", Release: 18, Text: "worked"})
	b.sees(".log-view", "worked")
}

func browserLongLog(t *testing.T, b *tab) {
	b.enter(b.h.user("alice", store.RoleRead))
	b.open("/apps/shop/logs")
	const many = 30_000
	for part := range 30 {
		b.h.harbour.write("shop", logLines(fmt.Sprintf("web.%d", part), time.Now(), many/30)...)
	}
	b.h.harbour.write("shop", logs.LogLine{Time: time.Now(), Source: "web.1", Release: 18, Text: "the very last"})
	began := time.Now()
	b.sees(".log-view .chunk:last-of-type", "the very last")
	t.Logf("%d lines shown after %v", many, time.Since(began))
	b.until("document.querySelectorAll('.log-view .l').length <= 50*200 && document.querySelectorAll('.chunk').length <= 50")
}

func browserReconnect(t *testing.T, b *tab) {
	b.enter(b.h.user("alice", store.RoleRead))
	b.open("/apps/shop/logs")
	lines := logLines("web.1", time.Now(), 40)
	b.h.harbour.write("shop", lines[:21]...)
	b.sees(".log-view", "line-20;")
	b.h.CloseClientConnections()
	b.h.harbour.write("shop", lines[21:]...)
	b.sees(".log-view", "line-39;")
	for i := range lines {
		b.until("document.querySelector('.log-view').innerText.split('line-%d;').length === 2", i)
	}
	b.forgive("net::ERR_")
}

func browserBuild(t *testing.T, b *tab) {
	build := store.Build{App: "shop", Number: 43, Status: store.BuildRunning, Commit: "9ab34c1ff", Subject: "Add coupons", By: "bob", Branch: "main", StartedAt: time.Now()}
	b.h.update(func(tx *store.Tx) error { return tx.Builds.Put(build) })
	b.h.harbour.say("shop", 43, "-----> shop  9ab34c1 \"Add coupons\"  by bob  build 43\n", false)
	b.enter(b.h.user("alice", store.RoleRead))
	b.open("/apps/shop/builds/43")
	b.live()
	b.sees("h1", "running")
	for i := range 100 {
		b.h.harbour.say("shop", 43, fmt.Sprintf("       step %d;\n", i), false)
	}
	b.sees(".log-view", "step 99;")
	b.until("(v => v.scrollTop > 0 && v.scrollHeight - v.scrollTop - v.clientHeight < 5)(document.querySelector('.log-view'))")
	b.h.harbour.say("shop", 43, "success: v19 live after 0.9s\n", true)
	build.Status, build.FinishedAt, build.Release = store.BuildSucceeded, time.Now(), 19
	b.h.update(func(tx *store.Tx) error { return tx.Builds.Put(build) })
	b.h.harbour.change("shop", func(s *deploy.AppStatus) { s.Building = 0 })
	b.sees(".log-view", "success: v19 live")
	b.sees("h1", "succeeded")
	b.sees("main", "became v19")
	b.until("document.querySelectorAll('.log-view .l').length === 102")
	b.until("'ended' in document.querySelector('.log-view').dataset")
}

func browserActions(t *testing.T, b *tab) {
	b.enter(b.h.user("dora", store.RoleDeploy))
	b.open("/apps/shop")
	b.live()
	b.click("#do-restart")
	b.sees("#notice", "shop was restarted")

	b.click("#do-scale")
	b.until("document.querySelector('#dialog').open")
	b.run(chromedp.SetValue(chromedp.CSS("#scale-web"), "3"))
	b.click("#dialog button.primary")
	b.sees("#notice", "shop was scaled")
	b.until("!document.querySelector('#dialog').open")

	b.click(".releases tbody tr:nth-child(2) .button")
	b.sees("#dialog", "Roll back shop to v17")
	b.click("#dialog [data-close]")
	b.until("!document.querySelector('#dialog').open")
	b.click(".releases tbody tr:nth-child(2) .button")
	b.sees("#dialog", "Roll back shop to v17")
	b.click("#dialog button.primary")
	b.sees("#notice", "shop was rolled back to v17")

	b.click(".cron button")
	b.sees("#notice", "exit code 3")

	// The buttons change under the hands of the one who presses.
	b.click("#do-stop")
	b.until("document.querySelector('#dialog').open")
	b.click("#dialog button.primary")
	b.sees("#notice", "shop was stopped")
	b.sees("h1", "stopped")
	b.send("#do-start")
	b.sees("#notice", "shop was started")
	want := "restart shop  by dora; scale shop map[web:3 worker:1] by dora; rollback shop v17 by dora; run job nightly of shop by dora; stop shop by dora; start shop by dora"
	if got := b.h.harbour.asked(); got != want {
		t.Errorf("it did %q, want %q", got, want)
	}
}

func browserRefusal(t *testing.T, b *tab) {
	b.enter(b.h.user("dora", store.RoleDeploy))
	b.open("/apps/shop")
	b.live()
	b.h.harbour.mu.Lock()
	b.h.harbour.refusal = fault.New(fault.Failed, "E301", "web.1 did not become healthy in 30s").With("ModuleNotFoundError").Hint("add flask to requirements.txt")
	b.h.harbour.mu.Unlock()
	b.click("#do-restart")
	b.sees("#notice", "did not become healthy")
	b.sees("#notice", "add flask")
	b.click("#notice [data-dismiss]")
	b.until("document.querySelector('#notice').childElementCount === 0")
	b.forgive("422")
}

func browserReveal(t *testing.T, b *tab) {
	b.enter(b.h.user("alice", store.RoleAdmin))
	b.open("/apps/shop")
	b.live()
	b.until("!document.body.innerText.includes('postgres://')")
	b.send(".config li:nth-child(1) button")
	b.sees(".config li:nth-child(1)", "postgres://")
	b.open("/apps/shop")
	b.sees(".events", "read the value of DATABASE_URL")
}

func browserRevoked(t *testing.T, b *tab) {
	user := b.h.user("alice", store.RoleRead)
	b.enter(user)
	b.open("/apps/shop")
	b.live()
	if err := b.h.table.Sessions.RevokeAll(user.Name); err != nil {
		t.Fatal(err)
	}
	b.sees("main", "Sign in")
	b.until("!document.body.innerText.includes('shop')")
	b.forgive("401")
}

// pagePaths are a page of each kind.
var pagePaths = []string{"/", "/apps/shop", "/apps/api", "/apps/shop/logs", "/apps/shop/requests", "/apps/shop/builds/42", "/apps/shop/confirm/scale", "/apps/shop/confirm/rollback?release=17", "/login"}

func browserNarrow(t *testing.T, b *tab) {
	b.enter(b.h.user("alice-with-a-rather-long-name", store.RoleAdmin))
	long := strings.Repeat("wide", 60)
	b.h.harbour.write("shop", logs.LogLine{Time: time.Now(), Source: "web.1", Release: 18, Text: long})
	b.h.update(func(tx *store.Tx) error {
		if err := tx.PutDomain(store.Domain{Host: strings.Repeat("wide", 15) + ".example.com", App: "shop"}); err != nil {
			return err
		}
		return tx.AddEvent(store.Event{App: "shop", By: "alice", Text: long, Time: time.Now()})
	})
	b.look("light", 360, 740)
	for _, path := range pagePaths {
		b.open(path)
		wide := b.eval(`[...['html', '.log-view'].map(s => document.querySelector(s)).map(e => e?.scrollWidth > e?.clientWidth ? e.outerHTML.slice(0, 80) : ''),
			...Array.from(document.querySelectorAll('main *, header *'), e => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest('.unseen, thead, .skip, .chunk') ? e.outerHTML.slice(0, 120) : '')].filter(Boolean).join('\n')`)
		if wide != "" {
			t.Errorf("%s is wider than 360 px: %s", path, wide)
		}
	}
	b.forgive("401") // of /login
}

func browserKeyboard(t *testing.T, b *tab) {
	b.enter(b.h.user("dora", store.RoleDeploy))
	b.open("/apps/shop")
	b.live()
	b.run(chromedp.KeyEvent(kb.Tab))
	b.until("document.activeElement.className === 'skip' && document.activeElement.getBoundingClientRect().left >= 0")
	b.run(chromedp.KeyEvent(kb.Enter))
	b.until("document.activeElement.id === 'main'")
	for range 40 {
		b.run(chromedp.KeyEvent(kb.Tab))
		id := b.eval("document.activeElement.id")
		if b.eval("getComputedStyle(document.activeElement).outlineStyle") == "none" {
			t.Errorf("the focus on %q cannot be seen", id)
		}
		if id == "do-stop" {
			break
		}
	}
	b.run(chromedp.KeyEvent(kb.Enter))
	b.until("document.querySelector('#dialog').open && document.querySelector('#dialog').contains(document.activeElement)")
	b.run(chromedp.KeyEvent(kb.Escape))
	b.until("!document.querySelector('#dialog').open && document.activeElement.id === 'do-stop'")
	// A part that is sent again keeps the focus.
	b.h.harbour.change("shop", func(s *deploy.AppStatus) { s.Building = 43 })
	b.sees("main", "Build 43 is running")
	b.until("document.activeElement.id === 'do-stop'")
	if got := b.h.harbour.asked(); got != "" {
		t.Errorf("it did %q", got)
	}
}

// browserAccessible looks with the rules of axe-core.
func browserAccessible(t *testing.T, b *tab, path string) {
	axe, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b.enter(b.h.user("alice", store.RoleAdmin))
	for _, scheme := range []string{"light", "dark"} {
		for _, width := range []int64{1280, 360} {
			b.look(scheme, width, 800)
			for _, path := range pagePaths {
				b.open(path)
				b.run(chromedp.Evaluate[chromedp.Void](string(axe)))
				found := b.eval(`axe.run().then(r => r.violations.map(v => v.impact + ' ' + v.id + ': ' +
					v.nodes.map(n => n.html.slice(0, 160) + ' ' + n.any.map(a => a.message).join(' ')).join(' | ')).join('\n'))`)
				if found != "" {
					t.Errorf("%s, %s, %d px:\n%s", path, scheme, width, found)
				}
			}
		}
	}
	b.forgive("401") // of /login
}

// TestScreenshot draws the page of an app for the README into the file that
// BERTH_SCREENSHOT names, or every page in every look into that directory.
// Without it the pictures are thrown away: a page that fails in one look fails here.
func TestScreenshot(t *testing.T) {
	to := os.Getenv("BERTH_SCREENSHOT")
	if to == "" {
		to = t.TempDir()
	}
	browser := startChromium(t)
	h := browser.openQuay(t)
	h.scene()
	b := h.tab(t, browser)
	b.enter(h.user("alice", store.RoleAdmin))
	draw := func(file, path, scheme string, width, height int64) {
		b.look(scheme, width, height)
		b.open(path)
		if path == "/" || path == "/apps/shop" {
			b.live()
		}
		picture, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, picture, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := os.Stat(to); err != nil || !info.IsDir() {
		draw(to, "/apps/shop", "light", 1280, 800)
		return
	}
	for i, path := range pagePaths {
		for _, scheme := range []string{"light", "dark"} {
			draw(filepath.Join(to, fmt.Sprintf("%d-%s-wide.png", i, scheme)), path, scheme, 1280, 1400)
			draw(filepath.Join(to, fmt.Sprintf("%d-%s-narrow.png", i, scheme)), path, scheme, 360, 2400)
		}
	}
	b.forgive("401") // of /login
}
