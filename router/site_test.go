package router

import (
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// set swaps a route in.
func set(t testing.TB, s *service, rt Route) *Drain {
	t.Helper()
	d, err := s.Swap(rt)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// tells says who is asked, and for what.
func tells(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, name+" "+r.RequestURI+" "+r.Header.Get("X-Forwarded-Prefix"))
	}
}

func TestServe_LongestPathOfTheNearestHostWins(t *testing.T) {
	s := start(t, Config{})
	set(t, s, Route{Name: "wild", Hosts: []string{"*.shop.test"}, Paths: []Path{{Host: "*.shop.test", Prefix: "/api"}}, Backends: []Backend{app(t, "1", tells("wild"))}})
	set(t, s, Route{Name: "www", Hosts: []string{"www.shop.test"}, Backends: []Backend{app(t, "1", tells("www"))}})
	set(t, s, Route{Name: "blog", Backends: []Backend{app(t, "1", tells("blog"))}, Paths: []Path{
		{Host: "www.shop.test", Prefix: "/blog", Strip: true}, {Host: "other.shop.test", Prefix: "/blog"}, {Host: "only.test", Prefix: "/blog"},
	}})
	set(t, s, Route{Name: "admin", Backends: []Backend{app(t, "1", tells("admin"))}, Paths: []Path{{Host: "www.shop.test", Prefix: "/blog/admin"}}})
	c := s.client(t)
	for _, row := range []struct{ url, want string }{
		{"a.shop.test/x", "wild /x "},
		{"a.shop.test/api/x", "wild /api/x "},
		{"www.shop.test/x", "www /x "},
		{"WWW.shop.test/api", "www /api "},
		{"www.shop.test/blog", "blog / /blog"},
		{"www.shop.test/blog?q=1", "blog /?q=1 /blog"},
		{"www.shop.test/blog/", "blog / /blog"},
		{"www.shop.test/blog/a%2Fb/c?q=%zz", "blog /a%2Fb/c?q=%zz /blog"},
		{"www.shop.test/blog//a", "blog //a /blog"},
		{"www.shop.test/%62log/a", "blog /a /blog"},
		{"www.shop.test/blogger", "www /blogger "},
		{"www.shop.test/Blog", "www /Blog "},
		{"www.shop.test/blog%2Fa", "www /blog%2Fa "},
		{"www.shop.test//blog", "www //blog "},
		{"www.shop.test/blog/admin", "admin /blog/admin "},
		{"www.shop.test/blog/admin/x", "admin /blog/admin/x "},
		{"www.shop.test/blog/administrator", "blog /administrator /blog"},
		{"www.shop.test/x/blog/admin", "www /x/blog/admin "},
		{"other.shop.test/blog/a", "blog /blog/a "},
		{"other.shop.test/", "wild / "}, // a path takes nothing else off the wildcard
		{"only.test/blog", "blog /blog "},
	} {
		if res, got := get(t, c, "https://"+row.url); got != row.want || res.StatusCode != 200 {
			t.Errorf("%s: got %d %q, want %q", row.url, res.StatusCode, got, row.want)
		}
	}
	for _, url := range []string{"https://only.test/", "https://shop.test/", "https://a.b.shop.test/"} {
		if res, body := get(t, insecure(c), url); res.StatusCode != 404 || strings.Contains(body, "blog") {
			t.Errorf("%s: got %d %q, want the page of an unknown host", url, res.StatusCode, body)
		}
	}
	// What leaves takes its places along and no others.
	s.Remove("blog")
	if _, got := get(t, c, "https://www.shop.test/blog/x"); got != "www /blog/x " {
		t.Errorf("after the removal of blog: got %q, want www", got)
	}
	if _, got := get(t, c, "https://www.shop.test/blog/admin"); got != "admin /blog/admin " {
		t.Errorf("after the removal of blog: got %q, want admin", got)
	}
	if s.knows("only.test") {
		t.Error("a host with no place left is still known")
	}
}

func TestSwap_NoPlaceLeadsToTwoRoutes(t *testing.T) {
	s := start(t, Config{})
	set(t, s, Route{Name: "shop", Hosts: []string{"shop.test", "*.shop.test"}, Paths: []Path{{Host: "shop.test", Prefix: "/a"}}})
	if err := s.Handle([]string{"admin.test"}, http.NotFoundHandler()); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		rt        Route
		host, who string
	}{
		{Route{Hosts: []string{"*.shop.test"}}, "*.shop.test", "shop"},
		{Route{Paths: []Path{{Host: "shop.test", Prefix: "/b"}, {Host: "shop.test", Prefix: "/a", Strip: true}}}, "shop.test/a", "shop"},
		{Route{Redirects: []Redirect{{From: "shop.test", To: "blog.test"}}}, "shop.test", "shop"},
		{Route{Paths: []Path{{Host: "admin.test", Prefix: "/b"}}}, "admin.test/b", ""},
	} {
		row.rt.Name = "blog"
		_, err := s.Swap(row.rt)
		if taken, ok := errors.AsType[*HostTakenError](err); !ok || taken.Host != row.host || taken.By != row.who {
			t.Errorf("%+v: got %v, want %s taken by %q", row.rt, err, row.host, row.who)
		}
	}
	set(t, s, Route{Name: "blog", Paths: []Path{{Host: "shop.test", Prefix: "/b"}, {Host: "blog.test", Prefix: "/b"}}})
	if err := s.Handle([]string{"blog.test"}, http.NotFoundHandler()); err == nil {
		t.Error("the handler took a host that a path is at")
	}
	for _, prefix := range []string{"", "/", "b", "/b/", "//b", "/b/../c", "/.", "/b%2F", "/b?c", "/b c", "/ü", "/" + strings.Repeat("x", 300), strings.Repeat("/x", 17)} {
		if prefix == "" {
			continue // is the host alone
		}
		if _, err := s.Swap(Route{Name: "odd", Paths: []Path{{Host: "odd.test", Prefix: prefix}}}); err == nil {
			t.Errorf("the prefix %q was taken", prefix)
		}
	}
	for _, host := range []string{"*", "*.", "*.*.test", "a.*.test", "*a.test"} {
		if _, err := s.Swap(Route{Name: "odd", Hosts: []string{host}}); err == nil {
			t.Errorf("the host %q was taken", host)
		}
	}
}

func TestServe_HostsAreRedirectedInOneStep(t *testing.T) {
	s := start(t, Config{HTTPSPort: 8443, HTTPPort: 8080})
	shop := Route{Name: "shop", Hosts: []string{"shop.test"}, Backends: []Backend{app(t, "1", says("shop"))},
		Redirects: []Redirect{{"www.shop.test", "shop.test"}, {"old.test", "elsewhere.test"}}}
	set(t, s, shop)
	c := s.client(t)
	expect := func(url, want string) {
		t.Helper()
		if res, _ := get(t, c, url); res.StatusCode != 308 || res.Header.Get("Location") != want {
			t.Errorf("%s: got %d to %q, want 308 to %q", url, res.StatusCode, res.Header.Get("Location"), want)
		}
	}
	expect("https://www.shop.test//a%2Fb?x=1;y", "https://shop.test:8443//a%2Fb?x=1;y")
	expect("http://www.shop.test/a?b", "https://shop.test:8443/a?b")
	expect("https://old.test/a", "https://elsewhere.test/a")
	shop.Options.Plain = true
	set(t, s, shop)
	expect("http://www.shop.test/a", "http://shop.test:8080/a")
	expect("https://www.shop.test/a", "https://shop.test:8443/a")
	if res, body := get(t, c, "http://shop.test/"); res.StatusCode != 200 || body != "shop" {
		t.Errorf("plain HTTP that is wanted gets %d %q", res.StatusCode, body)
	}
}

func TestServe_HostsOfOneWildcardShareItsCertificateAndConnections(t *testing.T) {
	s := start(t, Config{})
	set(t, s, Route{Name: "wild", Hosts: []string{"*.shop.test"}, Backends: []Backend{app(t, "1", says("wild"))}})
	set(t, s, Route{Name: "www", Hosts: []string{"www.shop.test"}, Backends: []Backend{app(t, "1", says("www"))}})
	c := s.client(t)
	for host, want := range map[string]int{"b.shop.test": 200, "www.shop.test": 421, "x.b.shop.test": 421, "shop.test": 421} {
		req, _ := http.NewRequestWithContext(t.Context(), "GET", "https://a.shop.test/", nil)
		req.Host = host
		res, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("Host %s over a connection for a.shop.test: got %d, want %d", host, res.StatusCode, want)
		}
	}
	made := map[string]bool{}
	for _, host := range []string{"a.shop.test", "b.shop.test", "c.shop.test"} {
		cert := dialTLS(t, s, host).(*tls.Conn).ConnectionState().PeerCertificates[0]
		if err := cert.VerifyHostname("any.shop.test"); err != nil {
			t.Errorf("the certificate for %s is not the wildcard's: %v", host, err)
		}
		made[cert.SerialNumber.String()] = true
	}
	if len(made) != 1 {
		t.Errorf("%d certificates were made for three hosts of a wildcard, want 1", len(made))
	}
}

func FuzzSite_PathIsFoundAndStripped(f *testing.F) {
	for _, seed := range []string{"/", "/blog", "/blog/a%2Fb", "//blog", "/%62log//", "/blog%2Fadmin", "*", "/blog/admin/../x"} {
		f.Add(seed)
	}
	t := newTable()
	for at, to := range (Route{Paths: []Path{{"h", "/blog", true}, {"h", "/blog/admin", true}}}).places(new(route)) {
		if err := t.enter(at, to); err != nil {
			f.Fatal(err)
		}
	}
	f.Fuzz(func(tt *testing.T, uri string) {
		u, err := url.ParseRequestURI(uri)
		if err != nil {
			return
		}
		to, ok := t.find("h", u)
		under := u.Path == "/blog" || strings.HasPrefix(u.Path, "/blog/")
		if ok && !under {
			tt.Fatalf("%q leads to %s", uri, to.path)
		}
		if !ok && under && u.RawPath == "" {
			tt.Fatalf("%q leads nowhere", uri)
		}
		if !ok {
			return
		}
		short := strip(u, to.path)
		if !strings.HasPrefix(short.Path, "/") || to.path+short.Path != u.Path && to.path != u.Path {
			tt.Fatalf("%q without %s is %q", uri, to.path, short.Path)
		}
		if again, err := url.ParseRequestURI(short.EscapedPath()); err != nil || again.Path != short.Path {
			tt.Fatalf("%q without %s is written %q", uri, to.path, short.EscapedPath())
		}
	})
}
