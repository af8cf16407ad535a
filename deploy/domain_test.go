package deploy

import (
	"slices"
	"testing"

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
	d := newDeployer(t)
	shop(t, d)
	update(t, d, func(tx *store.Tx) error { _, err := tx.CreateApp(store.App{Name: "blog"}); return err })
	everyone := store.User{Name: "alice", Role: store.RoleDeploy}
	blogger := store.User{Name: "bob", Role: store.RoleDeploy, Apps: []string{"blog"}}
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
		{store.Domain{Host: "shop.test", Path: "/login"}, blogger, "E111"},
		{store.Domain{Host: "shop.example.com", Path: "/login"}, blogger, "E111"},
		{store.Domain{Host: "www.shop.test"}, blogger, "E111"},
		{store.Domain{Host: "www.shop.test", Path: "/login"}, blogger, "E111"},
		{store.Domain{Host: "*.shop.test", Path: "/login"}, blogger, "E111"},
		{store.Domain{Host: "shop.test", Path: "/blog"}, everyone, ""},
		{store.Domain{Host: "shop.example.com", Path: "/blog"}, everyone, ""},
		{store.Domain{Host: "www.shop.test"}, everyone, ""},
		{store.Domain{Host: "blog.test"}, blogger, ""},
		{store.Domain{Host: "a.b.shop.test"}, blogger, ""},
		{store.Domain{Host: "x.blog.test", Redirect: "blog.test"}, blogger, ""},
	} {
		if err := d.AddDomains(t.Context(), "blog", []store.Domain{row.domain}, row.by); codeOf(err) != row.want {
			t.Errorf("%+v by %s: got %v, want %q", row.domain, row.by.Name, err, row.want)
		}
	}
	want := []string{"https://a.b.shop.test", "https://blog.test", "https://shop.example.com/blog", "https://shop.test/blog", "https://www.shop.test"}
	if got := d.urls("blog"); !slices.Equal(got, want) {
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
	d := newDeployer(t)
	shop(t, d)
	add := func(from, to string) string {
		return codeOf(d.AddDomains(t.Context(), "shop", []store.Domain{{Host: from, Redirect: to}}, store.User{Role: store.RoleDeploy}))
	}
	for _, row := range [][3]string{
		{"a.test", "a.test", "E180"}, {"a.test", "b.test", ""}, {"b.test", "c.test", ""}, {"c.test", "a.test", "E180"},
		{"c.test", "d.test", ""}, {"b.test", "a.test", "E180"},
	} {
		if got := add(row[0], row[1]); got != row[2] {
			t.Errorf("%s to %s: got %q, want %q", row[0], row[1], got, row[2])
		}
	}
}

func TestSetRouter_RefusesWhatMakesNoSense(t *testing.T) {
	d := newDeployer(t)
	shop(t, d)
	by := store.User{Role: store.RoleDeploy}
	for _, row := range [][2]string{{"https-only", "yes"}, {"https", "on"}, {"", "on"}} {
		if _, err := d.SetRouter(t.Context(), "shop", row[0], row[1], by); codeOf(err) != "E181" {
			t.Errorf("%s %s: got %v, want E181", row[0], row[1], err)
		}
	}
	value := func(r RouterReport) RouterProperty { return r.Properties[0] }
	report, err := d.SetRouter(t.Context(), "shop", "https-only", "off", by)
	if want := (RouterProperty{"https-only", "off", true}); err != nil || value(report) != want {
		t.Errorf("got %+v, %v, want %+v", value(report), err, want)
	}
	if route, err := d.routeOf("shop"); err != nil || !route.Options.Plain {
		t.Errorf("the route is %+v, %v, want plain HTTP", route, err)
	}
	report, err = d.SetRouter(t.Context(), "shop", "https-only", "", by)
	if want := (RouterProperty{"https-only", "on", false}); err != nil || value(report) != want {
		t.Errorf("got %+v, %v, want %+v", value(report), err, want)
	}
}
