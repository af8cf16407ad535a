package edge

import (
	"slices"
	"testing"

	"github.com/berthd/berth/store"
)

// hostsOf are the hosts that lead to an app, by what the router is told.
func hostsOf(t *testing.T, d *world, app string) []string {
	t.Helper()
	route, err := d.routeOf(app)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(route.Hosts)
	return route.Hosts
}

func wantHosts(t *testing.T, d *world, app string, want ...string) {
	t.Helper()
	if got := hostsOf(t, d, app); !slices.Equal(got, want) {
		t.Errorf("%s has the hosts %q, want %q", app, got, want)
	}
}

func TestReplaceDomains_TheseAndNoOthers(t *testing.T) {
	d := newWorld(t)
	create(t, d, "shop")
	give(t, d, "shop", store.Domain{Host: "old.test"}, store.Domain{Host: "stays.test"}, store.Domain{Host: "go.test", Redirect: "stays.test"})
	set := func(def bool, hosts ...string) error {
		as := DomainsAs{Default: def}
		for _, host := range hosts {
			as.Domains = append(as.Domains, store.Domain{Host: host})
		}
		return d.ReplaceDomains(t.Context(), "shop", as, store.Root)
	}
	if err := set(false, "stays.test", "new.test"); err != nil {
		t.Fatal(err)
	}
	wantHosts(t, d, "shop", "new.test", "stays.test")
	if route, err := d.routeOf("shop"); err != nil || len(route.Redirects) != 1 {
		t.Errorf("the redirect: %+v, %v", route.Redirects, err)
	}
	if err := set(false, "shop.example.com", "new.test"); err != nil { // its own by its name
		t.Fatal(err)
	}
	wantHosts(t, d, "shop", "new.test", "shop.example.com")
	if err := set(false); err != nil {
		t.Fatal(err)
	}
	wantHosts(t, d, "shop")
	if urls := d.URLs("shop"); len(urls) != 0 {
		t.Errorf("it is shown at %q", urls)
	}
	if err := set(true); err != nil {
		t.Fatal(err)
	}
	wantHosts(t, d, "shop", "shop.example.com")
	if err := d.RemoveDomains(t.Context(), "shop", []string{"shop.example.com"}, store.Root); err != nil {
		t.Fatal(err)
	}
	wantHosts(t, d, "shop")
	if err := d.RemoveDomains(t.Context(), "shop", []string{"shop.example.com"}, store.Root); codeOf(err) != "E113" {
		t.Errorf("once more: %v", err)
	}
	give(t, d, "shop", store.Domain{Host: "shop.example.com"})
	wantHosts(t, d, "shop", "shop.example.com")
}

// What cannot be had leaves all as it was, and what is given up is another's to take.
func TestReplaceDomains_AllOrNothing(t *testing.T) {
	d := town(t)
	bob := tenant("blog")
	before := hostsOf(t, d, "blog")
	for _, taken := range []string{"shop.test", "future.apps.example.com", "berth.apps.example.com", "co.uk"} {
		as := DomainsAs{Domains: []store.Domain{{Host: "fresh.test"}, {Host: taken}}}
		if err := d.ReplaceDomains(t.Context(), "blog", as, bob); codeOf(err) != "E187" && codeOf(err) != "E104" {
			t.Errorf("%s: got %v", taken, err)
		}
		wantHosts(t, d, "blog", before...)
	}
	// What a tenant was given by an administrator, it keeps.
	as := DomainsAs{Domains: []store.Domain{{Host: "www.apps.example.com"}, {Host: "fresh.test"}}}
	if err := d.ReplaceDomains(t.Context(), "blog", as, bob); err != nil {
		t.Fatal(err)
	}
	wantHosts(t, d, "blog", "fresh.test", "www.apps.example.com")
	if err := d.AddDomains(t.Context(), "shop", []store.Domain{{Host: "blog.test"}}, tenant("shop")); err != nil {
		t.Errorf("a domain that was given up: %v", err)
	}
	// The host by its name stays its own, though nothing leads there.
	if err := d.AddDomains(t.Context(), "shop", []store.Domain{{Host: "blog.apps.example.com"}}, store.Root); codeOf(err) != "E104" {
		t.Errorf("another takes its default host: %v", err)
	}
}

func TestSetHostless_TheDomainsStayItsOwn(t *testing.T) {
	d := newWorld(t)
	create(t, d, "shop")
	create(t, d, "blog")
	give(t, d, "shop", store.Domain{Host: "shop.test"})
	if err := d.SetHostless(t.Context(), "shop", true, store.Root); err != nil {
		t.Fatal(err)
	}
	wantHosts(t, d, "shop")
	err := d.AddDomains(t.Context(), "blog", []store.Domain{{Host: "shop.test"}}, store.Root)
	if codeOf(err) != "E104" {
		t.Errorf("another takes it: %v", err)
	}
	if err := d.SetHostless(t.Context(), "shop", false, store.Root); err != nil {
		t.Fatal(err)
	}
	wantHosts(t, d, "shop", "shop.example.com", "shop.test")
	if err := d.SetHostless(t.Context(), "shop", true, store.Root); err != nil {
		t.Fatal(err)
	}
	give(t, d, "shop", store.Domain{Host: "two.test"}) // wants to be led there
	wantHosts(t, d, "shop", "shop.example.com", "shop.test", "two.test")
}

// An app that is named as a host answers there, and nobody else takes it.
func TestDefaultHost_OfANameThatIsAHost(t *testing.T) {
	d := newWorld(t) // example.com
	create(t, d, "shop")
	create(t, d, "shop.test")
	create(t, d, "2048")
	wantHosts(t, d, "shop.test", "shop.test")
	wantHosts(t, d, "2048", "2048.example.com")
	everyone := store.User{Name: "alice", Role: store.RoleDeploy}
	for _, row := range []struct {
		host string
		by   store.User
		want string
	}{
		{"shop.test", everyone, "E104"}, {"shop.test", tenant("shop"), "E187"}, {"www.shop.test", tenant("shop"), "E187"},
		{"*.shop.test", tenant("shop"), "E187"}, {"*.test", tenant("shop"), "E187"}, {"other.test", tenant("shop"), ""},
	} {
		if err := d.AddDomains(t.Context(), "shop", []store.Domain{{Host: row.host}}, row.by); codeOf(err) != row.want {
			t.Errorf("%s by %s: got %v, want %q", row.host, row.by.Name, err, row.want)
		}
	}
	for name, want := range map[string]string{
		"example.com": "E189", "berth.example.com": "E189", // the admin page
		"shop.example.com": "E189", "2048.example.com": "E189", // another's by its name
		"other.test": "E189", // was added to shop
		"new.test":   "", "next.example.com": "",
	} {
		err := d.db.View(func(tx *store.Tx) error { return CheckDefaultHost(tx, name, "") })
		if codeOf(err) != want {
			t.Errorf("an app named %s: got %v, want %q", name, err, want)
		}
	}
	create(t, d, "next.example.com")
	err := d.db.View(func(tx *store.Tx) error { return CheckDefaultHost(tx, "next", "") })
	if codeOf(err) != "E189" {
		t.Errorf("an app named next beside next.example.com: %v", err)
	}
	err = d.db.View(func(tx *store.Tx) error { return CheckDefaultHost(tx, "next", "next.example.com") })
	if codeOf(err) != "" {
		t.Errorf("next.example.com is renamed to next: %v", err)
	}
	// A global domain that would put two at one host.
	create(t, d, "shop.other.example")
	create(t, d, "berth.third.example")
	for _, domain := range []string{"other.example", "third.example", "shop.test"} {
		if err := setDomain(d, domain); codeOf(err) != "E189" {
			t.Errorf("%s as the global domain: %v", domain, err)
		}
	}
	// An address that is freed goes back to the app of its name.
	update(t, d, func(tx *store.Tx) error { return tx.PutDomain(store.Domain{Host: "shop.other.example", App: "shop"}) })
	wantHosts(t, d, "shop.other.example")
	if err := d.RemoveDomains(t.Context(), "shop", []string{"shop.other.example"}, store.Root); err != nil {
		t.Fatal(err)
	}
	wantHosts(t, d, "shop.other.example", "shop.other.example")
}
