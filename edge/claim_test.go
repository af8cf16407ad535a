package edge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
)

// town is a machine with the global domain apps.example.com, on which tenants
// have apps beside each other.
func town(t *testing.T) *world {
	t.Helper()
	d := newWorld(t)
	if err := setDomain(d, "apps.example.com"); err != nil {
		t.Fatal(err)
	}
	for app, hosts := range map[string][]store.Domain{
		"shop":  {{Host: "shop.test"}, {Host: "a.wild.test"}, {Host: "deep.down.there.test"}, {Host: "xn--bcher-kva.test"}},
		"blog":  {{Host: "blog.test"}, {Host: "blog.shop.test"}, {Host: "www.apps.example.com"}, {Host: "given.test", Path: "/blog"}},
		"forum": {{Host: "*.forum.test"}, {Host: "paths.test", Path: "/forum"}, {Host: "old.test", Redirect: "forum.test"}},
	} {
		create(t, d, app)
		give(t, d, app, hosts...)
	}
	return d
}

// setDomain makes a domain the global one.
func setDomain(d *world, domain string) error {
	_, err := d.SetSettings(context.Background(), func(s *store.Settings) error { s.Domain = domain; return nil }, store.Root)
	return err
}

// give leads domains to an app, as an admin may.
func give(t *testing.T, d *world, app string, domains ...store.Domain) {
	t.Helper()
	if err := d.AddDomains(t.Context(), app, domains, store.Root); err != nil {
		t.Fatal(err)
	}
}

// tenant is a user who is bound to some apps.
func tenant(apps ...string) store.User {
	return store.User{Name: "bob", Role: store.RoleDeploy, Apps: apps}
}

func TestClaim_ATenantTakesNoNameThatIsNotItsOwn(t *testing.T) {
	d := town(t)
	bound := tenant("blog")
	unbound := store.User{Name: "alice", Role: store.RoleDeploy}
	for _, row := range []struct {
		domain         store.Domain
		bound, unbound string // codes
	}{
		// The operator's names.
		{store.Domain{Host: "apps.example.com"}, "E104", "E104"},
		{store.Domain{Host: "berth.apps.example.com"}, "E104", "E104"},
		{store.Domain{Host: "berth.apps.example.com", Path: "/login"}, "E104", "E104"},
		{store.Domain{Host: "berth.apps.example.com", Redirect: "blog.test"}, "E104", "E104"},
		{store.Domain{Host: "future.apps.example.com"}, "E187", ""},
		{store.Domain{Host: "future.apps.example.com", Redirect: "blog.test"}, "E187", ""},
		{store.Domain{Host: "future.apps.example.com", Path: "/a"}, "E187", ""},
		{store.Domain{Host: "*.apps.example.com"}, "E187", ""},
		{store.Domain{Host: "*.apps.example.com", Path: "/a"}, "E187", ""},
		{store.Domain{Host: "x.berth.apps.example.com"}, "E187", ""},
		{store.Domain{Host: "*.berth.apps.example.com"}, "E187", ""},
		{store.Domain{Host: "x.blog.apps.example.com"}, "E187", ""},
		{store.Domain{Host: "*.blog.apps.example.com"}, "E187", ""},
		{store.Domain{Host: "example.com"}, "E187", ""},
		{store.Domain{Host: "example.com", Path: "/a"}, "E187", ""},
		{store.Domain{Host: "*.example.com"}, "E187", ""},
		{store.Domain{Host: "www.example.com"}, "", ""},
		{store.Domain{Host: "notapps.example.com"}, "", ""},

		// Its own default host, and one that it was given.
		{store.Domain{Host: "blog.apps.example.com"}, "", ""},
		{store.Domain{Host: "blog.apps.example.com", Redirect: "blog.test"}, "", ""},
		{store.Domain{Host: "blog.apps.example.com", Path: "/a"}, "", ""},
		{store.Domain{Host: "www.apps.example.com", Path: "/a"}, "", ""},
		{store.Domain{Host: "www.apps.example.com", Redirect: "blog.test"}, "", ""},
		{store.Domain{Host: "*.www.apps.example.com"}, "E187", ""},

		// Another's default host.
		{store.Domain{Host: "shop.apps.example.com"}, "E187", "E104"},
		{store.Domain{Host: "shop.apps.example.com", Redirect: "blog.test"}, "E187", "E104"},
		{store.Domain{Host: "shop.apps.example.com", Path: "/a"}, "E187", ""},

		// The machine's and the network's.
		{store.Domain{Host: "localhost"}, "E187", ""},
		{store.Domain{Host: "*.localhost"}, "E187", ""},
		{store.Domain{Host: "blog.localhost"}, "E187", ""},
		{store.Domain{Host: "intranet"}, "E187", ""},
		{store.Domain{Host: "*.intranet"}, "E187", ""},
		{store.Domain{Host: "10.0.0.1"}, "E187", ""},
		{store.Domain{Host: "::1"}, "E187", ""},

		// Everybody's.
		{store.Domain{Host: "com"}, "E187", ""},
		{store.Domain{Host: "*.com"}, "E187", ""},
		{store.Domain{Host: "co.uk"}, "E187", ""},
		{store.Domain{Host: "*.co.uk"}, "E187", ""},
		{store.Domain{Host: "github.io"}, "E187", ""},
		{store.Domain{Host: "*.github.io"}, "E187", ""},
		{store.Domain{Host: "*.kobe.jp"}, "E187", ""}, // *.kobe.jp is a suffix, kobe.jp is none
		{store.Domain{Host: "*.xn--55qx5d.cn"}, "E187", ""},
		{store.Domain{Host: "me.github.io"}, "", ""},
		{store.Domain{Host: "*.me.github.io"}, "", ""},
		{store.Domain{Host: "*.me.co.uk"}, "", ""},
		{store.Domain{Host: "city.kobe.jp"}, "", ""},

		// Another tenant's, and what is above and below.
		{store.Domain{Host: "shop.test"}, "E187", "E104"},
		{store.Domain{Host: "shop.test", Redirect: "blog.test"}, "E187", "E104"},
		{store.Domain{Host: "shop.test", Path: "/blog"}, "E187", ""},
		{store.Domain{Host: "*.shop.test"}, "E187", ""},
		{store.Domain{Host: "www.shop.test"}, "E187", ""},
		{store.Domain{Host: "www.shop.test", Path: "/blog"}, "E187", ""},
		{store.Domain{Host: "a.b.c.shop.test", Redirect: "blog.test"}, "E187", ""},
		{store.Domain{Host: "wild.test"}, "E187", ""},
		{store.Domain{Host: "*.wild.test"}, "E187", ""},
		{store.Domain{Host: "b.wild.test"}, "", ""},
		{store.Domain{Host: "there.test"}, "E187", ""},
		{store.Domain{Host: "*.there.test"}, "E187", ""},
		{store.Domain{Host: "down.there.test", Path: "/a"}, "E187", ""},
		{store.Domain{Host: "hi.xn--bcher-kva.test"}, "E187", ""},
		{store.Domain{Host: "a.forum.test"}, "E187", ""},
		{store.Domain{Host: "forum.test"}, "E187", ""},
		{store.Domain{Host: "a.b.forum.test"}, "E187", ""},
		{store.Domain{Host: "paths.test"}, "E187", ""},
		{store.Domain{Host: "paths.test", Path: "/blog"}, "E187", ""},
		{store.Domain{Host: "paths.test", Path: "/forum"}, "E187", "E104"},
		{store.Domain{Host: "*.paths.test"}, "E187", ""},
		{store.Domain{Host: "old.test"}, "E187", "E104"},
		{store.Domain{Host: "new.old.test"}, "E187", ""},
		{store.Domain{Host: "myshop.test"}, "", ""},
		{store.Domain{Host: "shop.test.example.org"}, "", ""},

		// What is under a name that it was given, whosever the names above are.
		{store.Domain{Host: "www.blog.shop.test"}, "", ""},
		{store.Domain{Host: "*.blog.shop.test"}, "", ""},
		{store.Domain{Host: "www.blog.test"}, "", ""},
		{store.Domain{Host: "given.test", Path: "/more"}, "", ""},
		{store.Domain{Host: "given.test"}, "", ""},
	} {
		for _, who := range []struct {
			user store.User
			want string
		}{{bound, row.bound}, {unbound, row.unbound}, {store.Root, row.unbound}} {
			err := lead(d, "blog", row.domain, who.user)
			if codeOf(err) != who.want {
				t.Errorf("%+v by %s: got %v, want %q", row.domain, who.user.Name, err, who.want)
			}
			f := fault.From(err)
			for _, other := range []string{`"shop"`, `"forum"`} {
				if f != nil && f.Code == "E187" && strings.Contains(f.Error()+strings.Join(f.Hints, ""), other) {
					t.Errorf("%+v by %s: the answer names %s: %v", row.domain, who.user.Name, other, f)
				}
			}
		}
	}
}

// A tenant learns nothing of which other apps there are.
func TestClaim_TheAnswerIsTheSameForAppsThatExistAndThatDoNot(t *testing.T) {
	d := town(t)
	bound := tenant("blog")
	answer := func(name string, domain store.Domain) string {
		domain.Host = strings.ReplaceAll(domain.Host, "NAME", name)
		f := fault.From(lead(d, "blog", domain, bound))
		if f == nil {
			t.Fatalf("bob may take %s", domain.Address())
		}
		return f.Code + strings.ReplaceAll(f.Error()+strings.Join(f.Hints, ""), name, "NAME")
	}
	for _, domain := range []store.Domain{
		{Host: "NAME.apps.example.com"}, {Host: "NAME.apps.example.com", Path: "/a"}, {Host: "NAME.apps.example.com", Redirect: "blog.test"},
		{Host: "*.NAME.apps.example.com"}, {Host: "x.NAME.apps.example.com"},
	} {
		if there, missing := answer("shop", domain), answer("nowhere", domain); there != missing {
			t.Errorf("%s: got %q for an app that exists and %q for one that does not", domain.Address(), there, missing)
		}
	}
}

// lead does what AddDomains does with one domain, and takes it back.
func lead(d *world, app string, domain store.Domain, by store.User) (err error) {
	d.db.Update(func(tx *store.Tx) error {
		settings, _ := tx.Settings()
		c := claim{tx: tx, settings: settings, by: by, app: app}
		if err = c.check(domain); err == nil {
			domain.App = app
			err = tx.PutDomain(domain)
		}
		return errors.New("taken back")
	})
	return err
}

// Whoever has two apps moves paths and hosts between them.
func TestClaim_OfTwoAppsOfOneTenant(t *testing.T) {
	d := town(t)
	both := tenant("blog", "shop")
	for _, domain := range []store.Domain{
		{Host: "shop.test", Path: "/blog"}, {Host: "www.shop.test"}, {Host: "*.shop.test"}, {Host: "shop.apps.example.com", Path: "/blog"}, {Host: "wild.test"},
	} {
		if err := lead(d, "blog", domain, both); err != nil {
			t.Errorf("%s: %v", domain.Address(), err)
		}
	}
}

func TestSettings_TheGlobalDomainTakesNoHostOfAnApp(t *testing.T) {
	d := town(t)
	give(t, d, "blog", store.Domain{Host: "one.example"}, store.Domain{Host: "berth.two.example"},
		store.Domain{Host: "shop.three.example", Path: "/a"}, store.Domain{Host: "blog.four.example"})
	for _, domain := range []string{"one.example", "two.example", "three.example"} {
		if err := setDomain(d, domain); codeOf(err) != "E189" || d.settings().Domain != "apps.example.com" {
			t.Errorf("%s: got %v and %s, want E189 and nothing changed", domain, err, d.settings().Domain)
		}
	}
	if err := setDomain(d, "four.example"); err != nil {
		t.Errorf("an app's own host: %v", err)
	}
}

// A state file may hold what is refused today.
func TestDomainsOf_OneFunctionDecides(t *testing.T) {
	d := town(t)
	update(t, d, func(tx *store.Tx) error {
		return tx.PutDomain(store.Domain{Host: "shop.apps.example.com", App: "blog"})
	})
	err := d.db.View(func(tx *store.Tx) error {
		shop, err := DomainsOf(tx, "shop")
		if err != nil || shop.Default != nil {
			t.Errorf("shop has the default host %+v, %v, which leads to blog", shop.Default, err)
		}
		hosts, err := HostsOf(tx, "shop")
		if err != nil || slices.Contains(hosts, "shop.apps.example.com") {
			t.Errorf("shop has the hosts %q, %v", hosts, err)
		}
		all, err := CertifiedHosts(tx)
		if err != nil || !slices.Equal(all["shop"], hosts) || !slices.Contains(all["blog"], "shop.apps.example.com") {
			t.Errorf("certificates are for %q, %v", all, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	route, err := d.routeOf("shop")
	if err != nil || slices.Contains(route.Hosts, "shop.apps.example.com") || slices.Contains(d.URLs("shop"), "https://shop.apps.example.com") {
		t.Errorf("shop is routed at %q, %v, and shown at %q", route.Hosts, err, d.URLs("shop"))
	}
}

func TestClaim_ATenantsAppHasSoManyDomains(t *testing.T) {
	d := town(t)
	bound := tenant("blog")
	many := make([]store.Domain, maxTenantDomains)
	for i := range many {
		many[i].Host = fmt.Sprintf("h%d.many.test", i)
	}
	if err := d.AddDomains(t.Context(), "blog", many, bound); codeOf(err) != "E199" {
		t.Errorf("got %v, want E199", err)
	}
	if err := d.ReplaceDomains(t.Context(), "blog", DomainsAs{Domains: many}, bound); codeOf(err) != "E199" {
		t.Errorf("in place of the present ones: got %v, want E199", err)
	}
	if err := d.AddDomains(t.Context(), "blog", many, store.Root); err != nil {
		t.Errorf("by root: %v", err)
	}
	for _, domain := range []store.Domain{{Host: "h0.many.test", Path: "/a"}, {Host: "blog.apps.example.com", Path: "/a"}, {Host: "more.test"}} {
		if err := d.AddDomains(t.Context(), "blog", []store.Domain{domain}, bound); codeOf(err) != "E199" {
			t.Errorf("%s: got %v, want E199", domain.Address(), err)
		}
	}
	if err := d.AddDomains(t.Context(), "blog", many[:1], bound); err != nil {
		t.Errorf("a domain that the app has already: %v", err)
	}
}
