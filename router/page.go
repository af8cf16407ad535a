package router

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"strconv"
	"strings"
)

// page is an answer of our own. It names no app and no host.
type page struct {
	status     int
	code       string // stable, for those who read JSON
	title      string
	text       string
	retryAfter int // seconds; 0 is not worth a retry
}

// The pages of the router.
var (
	unknownHost = page{http.StatusNotFound, "unknown_host", "Nothing here",
		"No site is served at this address.", 0}
	unready = page{http.StatusServiceUnavailable, "server_starting", "This server is starting",
		"Its sites will be back in a moment.", 5}
	misdirected = page{http.StatusMisdirectedRequest, "misdirected", "Wrong connection",
		"This connection was opened for another address. Please open a new one.", 0}
	noTunnel = page{http.StatusMethodNotAllowed, "no_tunnel", "Not a proxy",
		"This server opens no connections on behalf of others.", 0}
	malformed = page{http.StatusBadRequest, "malformed", "Bad request",
		"The request was incomplete.", 0}
	down = page{http.StatusServiceUnavailable, "down", "This site is down",
		"Nothing is running here right now. It may be back in a moment.", 10}
	restarted = page{http.StatusServiceUnavailable, "restarted", "This site was restarted",
		"The request took too long during a restart. Please try again.", 1}
	restarting = page{http.StatusServiceUnavailable, "restarting", "This site is starting",
		"It has been starting for longer than a request can wait. Please try again.", 5}
	maintenance = page{http.StatusServiceUnavailable, "maintenance", "Under maintenance",
		"This site is under maintenance and will be back.", 60}
	tooMany = page{http.StatusTooManyRequests, "too_many_requests", "Too many requests",
		"Your address sends more requests than this site allows. Please wait a moment.", 1}
	tooManyAtOnce = page{http.StatusTooManyRequests, "too_many_at_once", "Too many requests at once",
		"Your address has more open requests than this site allows.", 1}
	tooSlow = page{http.StatusRequestTimeout, "too_slow", "Too slow",
		"The request was too slow, so it was not answered.", 0}
	badGateway = page{http.StatusBadGateway, "bad_gateway", "This site is not answering",
		"The request was forwarded, but the answer was not valid.", 0}
	timedOut = page{http.StatusGatewayTimeout, "gateway_timeout", "This site is taking too long",
		"The request was forwarded, but no answer came in time.", 0}
)

//go:embed pages/error.html
var errorHTML string

//go:embed pages/error.css
var errorCSS string

// pages writes pages in the form that the client likes best.
type pages struct {
	html   *template.Template
	style  template.CSS
	policy string // Content-Security-Policy: this very style and nothing else
}

func newPages() pages {
	sum := sha256.Sum256([]byte(errorCSS))
	return pages{
		html:  template.Must(template.New("error").Parse(errorHTML)),
		style: template.CSS(errorCSS),
		policy: fmt.Sprintf("default-src 'none'; style-src 'sha256-%s'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
			base64.StdEncoding.EncodeToString(sum[:])),
	}
}

// page answers with a page of our own, or with the app's in its place.
func (x *exchange) page(p page) {
	x.ours = true
	if x.isGRPC() {
		x.tellGRPC(p)
		return
	}
	accept := x.in.Header.Get("Accept")
	kind, content := x.door.pages.render(p, x.id, accept)
	h := x.w.Header()
	if own := x.ownPage(p); len(own) > 0 && preferred(accept) != "application/json" {
		kind, content = "text/html; charset=utf-8", own
	} else {
		h.Set("Content-Security-Policy", x.door.pages.policy)
	}
	h.Set("Content-Type", kind)
	h.Set("Content-Length", strconv.Itoa(len(content)))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	h.Set("Vary", "Accept")
	h.Set("X-Request-Id", x.id)
	if p.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(p.retryAfter))
	}
	x.w.WriteHeader(p.status)
	if x.in.Method != http.MethodHead {
		x.w.Write(content)
	}
}

// ownPage returns the page that the app has for such a case, nil when it has
// none.
func (x *exchange) ownPage(p page) []byte {
	if x.route == nil {
		return nil
	}
	o := x.route.options
	switch {
	case p.code == maintenance.code:
		return o.MaintenancePage
	case p.status >= 502 && p.status <= 504:
		return o.ErrorPage
	}
	return nil
}

func (ps pages) render(p page, id, accept string) (kind string, content []byte) {
	var b bytes.Buffer
	switch preferred(accept) {
	case "text/html":
		if err := ps.html.Execute(&b, map[string]any{
			"Status": p.status, "Title": p.title, "Text": p.text, "ID": id, "Style": ps.style,
		}); err != nil {
			break
		}
		return "text/html; charset=utf-8", b.Bytes()
	case "application/json":
		json.NewEncoder(&b).Encode(map[string]any{"error": map[string]any{
			"status": p.status, "code": p.code, "title": p.title, "text": p.text, "request_id": id,
		}})
		return "application/json", b.Bytes()
	}
	b.Reset()
	fmt.Fprintf(&b, "%d %s\n%s\nrequest %s\n", p.status, p.title, p.text, id)
	return "text/plain; charset=utf-8", b.Bytes()
}

// preferred returns the first type that both sides know, in the order in which
// the client names them; browsers name HTML first, and curl has no wish.
func preferred(accept string) string {
	for kind := range strings.SplitSeq(accept, ",") {
		kind, _, _ = strings.Cut(kind, ";")
		switch kind = strings.ToLower(strings.TrimSpace(kind)); kind {
		case "text/html", "application/json", "text/plain":
			return kind
		case "application/xhtml+xml", "text/*":
			return "text/html"
		case "application/*":
			return "application/json"
		}
		if strings.HasSuffix(kind, "+json") {
			return "application/json"
		}
	}
	return "text/plain"
}
