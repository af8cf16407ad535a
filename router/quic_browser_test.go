package router

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// A browser is the client that is not quic-go's own: its QUIC is Google's.
func TestQUIC_ABrowserSpeaksIt(t *testing.T) {
	path, err := exec.LookPath("chromium")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("CI speaks HTTP/3 with a real browser: %v", err)
		}
		t.Skipf("no browser to speak HTTP/3 with (apt-get install chromium): %v", err)
	}
	seen := make(chan Access, 16)
	s := start(t, Config{AccessLog: func(a Access) { seen <- a }})
	socket := echo(t)
	s.swap(t, "shop", []string{"shop.localhost"}, app(t, "1", func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/echo":
			io.Copy(w, r.Body)
		case "/socket":
			socket(w, r)
		default:
			w.Header().Set("Content-Type", "text/html")
			io.WriteString(w, `<link rel="icon" href="data:,">`)
		}
	}))
	_, port, _ := net.SplitHostPort(s.secure)

	ctx, cancel := chromedp.NewExecAllocator(t.Context(),
		chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()), chromedp.NoSandbox,
		chromedp.Flag("headless", "new"), chromedp.Flag("disable-gpu", true), chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.Flag("no-first-run", true), chromedp.Flag("no-default-browser-check", true),
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		chromedp.Flag("no-proxy-server", true), chromedp.Flag("enable-quic", true),
		chromedp.Flag("host-resolver-rules", "MAP * 127.0.0.1"),
		chromedp.Flag("origin-to-force-quic-on", "shop.localhost:"+port),
		chromedp.Flag("ignore-certificate-errors-spki-list", pins(t, s)),
	)
	defer cancel()
	ctx, cancel = chromedp.NewContext(ctx)
	defer cancel()
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start %s: %v", path, err)
	}

	ask := func(expression string) string {
		t.Helper()
		text, err := chromedp.Run(ctx, chromedp.Evaluate[string](expression, chromedp.EvalAwaitPromise))
		if err != nil {
			t.Fatalf("%s: %v", expression, err)
		}
		return text
	}
	if err := chromedp.Do(ctx, chromedp.Navigate("https://shop.localhost:"+port+"/")); err != nil {
		t.Fatal(err)
	}
	if proto := ask(`performance.getEntriesByType("navigation")[0].nextHopProtocol`); proto != "h3" {
		t.Errorf("the page came over %q, want h3", proto)
	}
	if got := ask(`fetch("/echo", {method: "POST", body: "x".repeat(300000)}).then(r => r.text())`); got != strings.Repeat("x", 300000) {
		t.Errorf("%d bytes came back of 300000", len(got))
	}
	// A socket goes over TCP beside it.
	if got := ask(`new Promise((ok, fail) => {
		const ws = new WebSocket("wss://" + location.host + "/socket")
		ws.onopen = () => ws.send("hello")
		ws.onmessage = message => { ok(message.data); ws.close() }
		ws.onerror = () => fail("the socket failed")
	})`); got != "hello" {
		t.Errorf("the socket says %q, want hello", got)
	}
	for _, want := range []string{"HTTP/3.0 GET / 200", "HTTP/3.0 POST /echo 200", "HTTP/1.1 GET /socket 101"} {
		a := <-seen
		if got := fmt.Sprintf("%s %s %s %d", a.Proto, a.Method, a.URI, a.Status); got != want {
			t.Errorf("logged %s, want %s", got, want)
		}
	}
}

// pins are the keys of the router's certificates, as Chromium is told to trust them.
func pins(t *testing.T, s *service) string {
	t.Helper()
	c, err := tls.Dial("tcp", s.secure, &tls.Config{RootCAs: s.roots(), ServerName: "shop.localhost"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var keys []string
	for _, cert := range c.ConnectionState().PeerCertificates {
		sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
		keys = append(keys, base64.StdEncoding.EncodeToString(sum[:]))
	}
	return strings.Join(keys, ",")
}
