package edge

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/berthd/berth/property"
	"github.com/berthd/berth/router"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
)

func codeOf(err error) string {
	if f := fault.From(err); f != nil {
		return f.Code
	}
	return ""
}

func TestAddDomains_NobodyTakesWhatLeadsToAnothersApp(t *testing.T) {
	d := newWorld(t)
	create(t, d, "shop")
	update(t, d, func(tx *store.Tx) error { _, err := tx.CreateApp(store.App{Name: "blog"}); return err })
	everyone := store.User{Name: "alice", Role: store.RoleDeploy}
	blogger := tenant("blog")
	shopped := []store.Domain{{Host: "shop.test"}, {Host: "*.shop.test"}, {Host: "shop.test", Path: "/a"}}
	if err := d.AddDomains(t.Context(), "shop", shopped, everyone); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		domain store.Domain
		by     store.User
		want   string
	}{
		{store.Domain{Host: "shop.test"}, everyone, "E104"},
		{store.Domain{Host: "shop.test", Redirect: "evil.test"}, everyone, "E104"},
		{store.Domain{Host: "*.shop.test"}, everyone, "E104"},
		{store.Domain{Host: "shop.test", Path: "/a"}, everyone, "E104"},
		{store.Domain{Host: "shop.example.com"}, everyone, "E104"},
		{store.Domain{Host: "example.com", Path: "/a"}, everyone, "E104"},
		{store.Domain{Host: "berth.example.com", Path: "/a"}, everyone, "E104"},
		{store.Domain{Host: "shop.test", Path: "/login"}, blogger, "E187"},
		{store.Domain{Host: "shop.example.com", Path: "/login"}, blogger, "E187"},
		{store.Domain{Host: "www.shop.test"}, blogger, "E187"},
		{store.Domain{Host: "www.shop.test", Path: "/login"}, blogger, "E187"},
		{store.Domain{Host: "*.shop.test", Path: "/login"}, blogger, "E187"},
		{store.Domain{Host: "shop.test", Path: "/blog"}, everyone, ""},
		{store.Domain{Host: "shop.example.com", Path: "/blog"}, everyone, ""},
		{store.Domain{Host: "www.shop.test"}, everyone, ""},
		{store.Domain{Host: "blog.test"}, blogger, ""},
		{store.Domain{Host: "a.b.shop.test"}, blogger, "E187"},
		{store.Domain{Host: "x.blog.test", Redirect: "blog.test"}, blogger, ""},
	} {
		if err := d.AddDomains(t.Context(), "blog", []store.Domain{row.domain}, row.by); codeOf(err) != row.want {
			t.Errorf("%+v by %s: got %v, want %q", row.domain, row.by.Name, err, row.want)
		}
	}
	want := []string{"https://blog.test", "https://shop.example.com/blog", "https://shop.test/blog", "https://www.shop.test"}
	if got := d.URLs("blog"); !slices.Equal(got, want) {
		t.Errorf("the addresses of blog are %q, want %q", got, want)
	}
	if err := d.RemoveDomains(t.Context(), "blog", []string{"shop.test/a"}, everyone); codeOf(err) != "E113" {
		t.Errorf("a domain of shop taken off blog: got %v", err)
	}
	if err := d.RemoveDomains(t.Context(), "blog", []string{"shop.test/blog"}, everyone); err != nil {
		t.Error(err)
	}
}

func TestAddDomains_ARedirectEnds(t *testing.T) {
	d := newWorld(t)
	create(t, d, "shop")
	add := func(from, to string) string {
		return codeOf(d.AddDomains(t.Context(), "shop", []store.Domain{{Host: from, Redirect: to}}, store.User{Role: store.RoleDeploy}))
	}
	for _, row := range [][3]string{
		{"a.test", "a.test", "E184"}, {"a.test", "b.test", ""}, {"b.test", "c.test", ""}, {"c.test", "a.test", "E184"},
		{"c.test", "d.test", ""}, {"b.test", "a.test", "E184"},
	} {
		if got := add(row[0], row[1]); got != row[2] {
			t.Errorf("%s to %s: got %q, want %q", row[0], row[1], got, row[2])
		}
	}
}

func TestSetRouter_TakesWhatMakesSenseAndNothingElse(t *testing.T) {
	d := newWorld(t)
	create(t, d, "shop")
	by := store.User{Name: "alice", Role: store.RoleDeploy}
	options := func() router.Options {
		t.Helper()
		route, err := d.routeOf("shop")
		if err != nil {
			t.Fatal(err)
		}
		if err := route.Options.Validate(); err != nil {
			t.Errorf("the router refuses what was set: %v", err)
		}
		return route.Options
	}
	for _, row := range []struct {
		name, value string
		want        router.Options
	}{
		{"https-only", "off", router.Options{Plain: true}},
		{"https-only", "on", router.Options{}},
		{"balance", "sticky", router.Options{Balance: router.Sticky}},
		{"balance", "least-connections", router.Options{Balance: router.LeastConnections}},
		{"protocol", "http", router.Options{Protocol: router.HTTP}},
		{"protocol", "h2c", router.Options{Protocol: router.H2C}},
		{"max-body", "2g", router.Options{MaxBody: 2 << 30}},
		{"max-body", "512", router.Options{MaxBody: 512}},
		{"max-body", "unlimited", router.Options{MaxBody: -1}},
		{"min-body-rate", "1K", router.Options{MinBodyRate: 1024}},
		{"min-body-rate", "off", router.Options{MinBodyRate: -1}},
		{"rate-limit", "10/s", router.Options{Rate: 10, Burst: 10}},
		{"rate-limit", "30/m", router.Options{Rate: 0.5, Burst: 30}},
		{"rate-limit", "off", router.Options{}},
		{"max-in-flight", "20", router.Options{InFlight: 20}},
		{"hsts", "on", router.Options{HSTS: "max-age=31536000"}},
		{"hsts", "60 subdomains preload", router.Options{HSTS: "max-age=60; includeSubDomains; preload"}},
		{"compress", "off", router.Options{Uncompressed: true}},
		{"header:X-Frame-Options", "DENY", router.Options{Headers: []router.Header{{Name: "X-Frame-Options", Value: "DENY"}}}},
		{"maintenance-page", "<p>", router.Options{MaintenancePage: []byte("<p>")}},
		{"error-page", "<p>", router.Options{ErrorPage: []byte("<p>")}},
		{"stream-grace", "5m", router.Options{}},
		{"response-timeout", "5m", router.Options{ResponseTimeout: 5 * time.Minute}},
		{"response-timeout", "24h", router.Options{ResponseTimeout: 24 * time.Hour}},
	} {
		report, err := d.SetRouter(t.Context(), "shop", row.name, row.value, by)
		if err != nil {
			t.Errorf("%s %s: %v", row.name, row.value, err)
			continue
		}
		if i := slices.IndexFunc(report.Properties, func(p property.Row) bool { return p.Name == row.name }); i < 0 || !report.Properties[i].Set {
			t.Errorf("%s %s: the report is %+v", row.name, row.value, report)
		}
		if got := options(); !reflect.DeepEqual(got, row.want) {
			t.Errorf("%s %s: the route has %+v, want %+v", row.name, row.value, got, row.want)
		}
		if row.name == "stream-grace" {
			if got := d.streamGrace("shop"); got != 5*time.Minute {
				t.Errorf("the grace of streams is %v, want 5m", got)
			}
		}
		if _, err := d.SetRouter(t.Context(), "shop", row.name, "", by); err != nil || !reflect.DeepEqual(options(), router.Options{}) {
			t.Errorf("%s taken back: %v, the route has %+v", row.name, err, options())
		}
	}
	for _, row := range [][2]string{
		{"https-only", "yes"}, {"https", "on"}, {"", "on"}, {"", ""}, {"balance", "random"}, {"protocol", "h3"}, {"max-body", "0"}, {"max-body", "-1"}, {"max-body", "1t"},
		{"max-body", "9999999999g"}, {"max-body", "m"}, {"min-body-rate", "fast"}, {"rate-limit", "10"}, {"rate-limit", "0/s"}, {"rate-limit", "10/d"},
		{"max-in-flight", "0"}, {"response-timeout", "0"}, {"response-timeout", "off"}, {"response-timeout", "500ms"}, {"response-timeout", "25h"}, {"response-timeout", "-1s"},
		{"stream-grace", "-1s"}, {"stream-grace", "2h"}, {"stream-grace", "30"}, {"hsts", "yes"}, {"hsts", "off preload"},
		{"hsts", "-1"}, {"compress", "zstd"}, {"header:", "x"}, {"header:X A", "b"}, {"header:X-A", "b\r\nX-C: d"}, {"header:content-length", "1"},
		{"header:Strict-Transport-Security", "max-age=1"}, {"error-page", strings.Repeat("x", store.MaxPage+1)},
	} {
		if _, err := d.SetRouter(t.Context(), "shop", row[0], row[1], by); codeOf(err) != "E181" {
			t.Errorf("%s %.40q: got %v, want E181", row[0], row[1], err)
		}
	}
	if _, err := d.SetRouter(t.Context(), "blog", "compress", "off", by); codeOf(err) != "E101" {
		t.Errorf("an app that is not there: got %v", err)
	}
}

func TestRouting_GoesWithItsApp(t *testing.T) {
	d := newWorld(t)
	create(t, d, "shop")
	by := store.User{Name: "alice", Role: store.RoleDeploy}
	for _, bad := range [][2]string{{"", "x"}, {"a:b", "x"}, {"alice", ""}, {"alice", strings.Repeat("x", 73)}, {"alice", "a\nb"}} {
		if err := d.AddHTTPUser(t.Context(), "shop", bad[0], bad[1], by); codeOf(err) != "E182" {
			t.Errorf("%q with %q: got %v, want E182", bad[0], bad[1], err)
		}
	}
	_, err := d.SetRouter(t.Context(), "shop", "error-page", "<p>", by)
	if err := errors.Join(err, d.AddHTTPUser(t.Context(), "shop", "alice", "hunter2", by), d.SetMaintenance(t.Context(), "shop", true, by)); err != nil {
		t.Fatal(err)
	}
	update(t, d, func(tx *store.Tx) error { _, err := tx.RenameApp("shop", "store"); return err })
	route, err := d.routeOf("store")
	if err != nil {
		t.Fatal(err)
	}
	if o := route.Options; !o.Maintenance || string(o.ErrorPage) != "<p>" || len(o.Users) != 1 || o.Users[0].Name != "alice" || bcrypt.CompareHashAndPassword(o.Users[0].Hash, []byte("hunter2")) != nil {
		t.Errorf("after the renaming the route has %+v", o)
	}
	if err := d.RemoveHTTPUser(t.Context(), "store", "bob", by); codeOf(err) != "E183" {
		t.Errorf("a user who is not there: got %v", err)
	}
	if err := d.RemoveHTTPUser(t.Context(), "store", "alice", by); err != nil {
		t.Error(err)
	}
	update(t, d, func(tx *store.Tx) error {
		events, err := tx.Events("shop", 0)
		for _, e := range events {
			if strings.Contains(e.Text, "hunter2") {
				t.Errorf("an event tells the password: %s", e.Text)
			}
		}
		if err != nil {
			return err
		}
		if err := tx.DeleteApp("store"); err != nil {
			return err
		}
		_, err = tx.CreateApp(store.App{Name: "store"})
		return err
	})
	if route, err := d.routeOf("store"); err != nil || !reflect.DeepEqual(route.Options, router.Options{}) {
		t.Errorf("a new app of the name has %+v, %v", route.Options, err)
	}
}

// What is set for all apps counts for those that have no value of their own.
func TestSetRouter_ForAllApps(t *testing.T) {
	d := newWorld(t)
	create(t, d, "shop")
	create(t, d, "blog")
	by := store.User{Name: "alice", Role: store.RoleAdmin}
	for _, set := range [][3]string{
		{"", "max-body", "2g"}, {"shop", "max-body", "1k"}, {"", "stream-grace", "5m"}, {"", "header:X-Frame-Options", "DENY"},
		{"shop", "header:x-frame-options", "SAMEORIGIN"}, {"", "maintenance-page", "<p>all</p>"}, {"shop", "maintenance-page", "<p>shop</p>"},
		{"", "trusted-proxies", "192.0.2.1"}, {"", "https-only", "off"}, {"shop", "https-only", "on"},
	} {
		if _, err := d.SetRouter(t.Context(), set[0], set[1], set[2], by); err != nil {
			t.Fatalf("%q: %v", set, err)
		}
	}
	for app, want := range map[string]router.Options{
		"shop": {MaxBody: 1024, Headers: []router.Header{{Name: "x-frame-options", Value: "SAMEORIGIN"}}, MaintenancePage: []byte("<p>shop</p>")},
		"blog": {MaxBody: 2 << 30, Headers: []router.Header{{Name: "X-Frame-Options", Value: "DENY"}}, MaintenancePage: []byte("<p>all</p>"), Plain: true},
	} {
		route, err := d.routeOf(app)
		if err != nil || !reflect.DeepEqual(route.Options, want) {
			t.Errorf("%s: got %+v, %v, want %+v", app, route.Options, err, want)
		}
		if got := d.streamGrace(app); got != 5*time.Minute {
			t.Errorf("%s: the grace of streams is %v", app, got)
		}
	}
	report, err := d.RouterReport(t.Context(), "blog")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []property.Row{
		{Name: "max-body", Value: "2g", Global: "2g"}, {Name: "maintenance-page", Value: "10 bytes", Global: "10 bytes"},
		{Name: "header:X-Frame-Options", Value: "DENY", Global: "DENY"}, {Name: "protocol", Value: "http", Usual: true},
	} {
		if !slices.Contains(report.Properties, want) {
			t.Errorf("the report has no %+v: %+v", want, report.Properties)
		}
	}
	for _, set := range [][3]string{{"", "protocol", "h2c"}, {"shop", "proxy-protocol", "on"}} {
		if _, err := d.SetRouter(t.Context(), set[0], set[1], set[2], by); codeOf(err) != "E217" {
			t.Errorf("%q: got %v, want E217", set, err)
		}
	}
	for _, name := range []string{"max-body", "https-only", "header:X-Frame-Options", "maintenance-page", "stream-grace"} {
		if _, err := d.SetRouter(t.Context(), "", name, "", by); err != nil {
			t.Fatal(err)
		}
	}
	if route, err := d.routeOf("blog"); err != nil || !reflect.DeepEqual(route.Options, router.Options{}) {
		t.Errorf("taken back: got %+v, %v", route.Options, err)
	}
}
