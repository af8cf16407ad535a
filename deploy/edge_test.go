package deploy

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/berthd/berth/edge"
	"github.com/berthd/berth/router"
	"github.com/berthd/berth/router/certificates"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
)

func codeOf(err error) string {
	if f := fault.From(err); f != nil {
		return f.Code
	}
	return ""
}

// heard is what the appliance was told last about hosts.
type heard struct {
	hosts []certificates.Host
}

func (h *heard) SetHosts(_ string, hosts []certificates.Host, _ certificates.ACME) { h.hosts = hosts }

func (h *heard) SetHostsFor(whom string, hosts []certificates.Host) {
	h.hosts = slices.DeleteFunc(slices.Clone(h.hosts), func(host certificates.Host) bool { return host.For == whom })
	h.hosts = append(h.hosts, hosts...)
}

func (h *heard) own(name string) *certificates.Pair {
	for _, host := range h.hosts {
		if host.Name == name {
			return host.Own
		}
	}
	return nil
}

// setDomain makes a domain the global one.
func setDomain(d *Deployer, domain string) error {
	_, err := d.edge.SetSettings(context.Background(), func(s *store.Settings) error { s.Domain = domain; return nil }, store.Root)
	return err
}

// give leads domains to an app, as an admin may.
func give(t *testing.T, d *Deployer, app string, domains ...store.Domain) {
	t.Helper()
	if err := d.edge.AddDomains(t.Context(), app, domains, store.Root); err != nil {
		t.Fatal(err)
	}
}

func TestApps_TakeNoNameWhoseDefaultHostIsTaken(t *testing.T) {
	d := newDeployer(t)
	if err := setDomain(d, "apps.example.com"); err != nil {
		t.Fatal(err)
	}
	for _, app := range []string{"shop", "blog"} {
		if _, err := d.CreateApp(t.Context(), app, store.Root); err != nil {
			t.Fatal(err)
		}
	}
	give(t, d, "blog", store.Domain{Host: "taken.apps.example.com"}, store.Domain{Host: "path.apps.example.com", Path: "/a"},
		store.Domain{Host: "sent.apps.example.com", Redirect: "blog.test"}, store.Domain{Host: "www.apps.example.com"})
	for _, name := range []string{"taken", "path", "sent", "www"} {
		if _, err := d.CreateApp(t.Context(), name, store.Root); codeOf(err) != "E189" {
			t.Errorf("create %s: got %v, want E189", name, err)
		}
		if _, err := d.RenameApp(t.Context(), "shop", name, store.Root, io.Discard); codeOf(err) != "E189" {
			t.Errorf("rename shop to %s: got %v, want E189", name, err)
		}
	}
	if _, err := d.RenameApp(t.Context(), "blog", "taken", store.Root, io.Discard); err != nil {
		t.Errorf("an app whose own the host is: %v", err)
	}
	give(t, d, "shop", store.Domain{Host: "*.apps.example.com"})
	if _, err := d.CreateApp(t.Context(), "free", store.Root); err != nil {
		t.Errorf("under a wildcard: %v", err)
	}
}

func TestPairs_ServeWhatTheyAreForAndFollowTheirApp(t *testing.T) {
	now := &heard{}
	d, _ := newDeployerWith(t, now)
	for _, name := range []string{"shop", "blog"} {
		if _, err := d.CreateApp(t.Context(), name, store.Root); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.edge.AddDomains(t.Context(), "shop", []store.Domain{{Host: "www.shop.com"}}, store.Root); err != nil {
		t.Fatal(err)
	}
	add := func(app, host string, names ...string) error {
		chain, key, err := certificates.SelfSigned(names, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return d.edge.AddPair(t.Context(), app, host, chain, key, store.Root)
	}
	code := func(err error) string {
		if f := fault.From(err); f != nil {
			return f.Code
		}
		return ""
	}
	// A wildcard that somebody gave for the shop is not served to the blog's guests.
	if err := add("shop", "", "*.example.com", "www.shop.com"); err != nil {
		t.Fatal(err)
	}
	if now.own("shop.example.com") == nil || now.own("www.shop.com") == nil || now.own("blog.example.com") != nil || now.own("berth.example.com") != nil {
		t.Errorf("the pair serves others than the shop's: %+v", now.hosts)
	}
	if err := add("shop", "www.shop.com", "www.shop.com"); err != nil || len(now.own("www.shop.com").Hosts()) != 1 {
		t.Errorf("the host's own pair does not go first: %v", err)
	}
	if got := code(add("blog", "", "www.shop.com")); got != "E178" {
		t.Errorf("a pair for none of the app's hosts: %q, want E178", got)
	}
	if got := code(d.edge.AddPair(t.Context(), "shop", "", []byte("no"), []byte("no"), store.Root)); got != "E178" {
		t.Errorf("garbage: %q, want E178", got)
	}
	if err := add(store.AdminPairs, "berth.example.com", "berth.example.com"); err != nil || now.own("berth.example.com") == nil {
		t.Errorf("the admin page has no pair: %v", err)
	}
	if _, err := d.RenameApp(t.Context(), "shop", "store", store.Root, io.Discard); err != nil {
		t.Fatal(err)
	}
	if now.own("store.example.com") == nil || len(now.own("www.shop.com").Hosts()) != 1 {
		t.Error("the pairs did not follow their app to its new name")
	}
	if err := d.edge.RemovePair(t.Context(), "store", "www.shop.com", store.Root); err != nil || len(now.own("www.shop.com").Hosts()) != 2 {
		t.Errorf("the app's pair does not serve again: %v", err)
	}
	if got := code(d.edge.RemovePair(t.Context(), "store", "www.shop.com", store.Root)); got != "E179" {
		t.Errorf("removed twice: %q, want E179", got)
	}
	if err := d.edge.SetLocalCertificates(t.Context(), "store", true, store.Root); err != nil {
		t.Fatal(err)
	}
	for _, host := range now.hosts {
		if want := host.Name == "store.example.com" || host.Name == "www.shop.com"; host.Local != want {
			t.Errorf("%s: local is %v", host.Name, host.Local)
		}
	}
}

func TestRequests_GoWithTheApp(t *testing.T) {
	d, table := newDeployerWith(t, noHosts{})
	requests := edge.NewRequests(d.db, table, d.cfg.AccessLog)
	asked := func(id, path string, status int) {
		d.cfg.AccessLog.Add(router.Access{Time: time.Now(), Route: id, URI: path, Status: status})
	}
	paths := func(app string) (got []string) {
		t.Helper()
		q := edge.RequestQuery{App: app, Lines: -1}
		if err := requests.Requests(t.Context(), q, func(l edge.RequestLine) error { got = append(got, l.Path); return nil }); err != nil {
			t.Fatal(err)
		}
		return got
	}
	_, a := shop(t, d)
	a.fleet.Reroute()
	asked(a.id(), "/before", 200)
	if got := paths("shop"); len(got) != 1 {
		t.Fatalf("got %q", got)
	}
	by := store.User{Name: "alice"}
	if _, err := d.RenameApp(t.Context(), "shop", "store", by, io.Discard); err != nil {
		t.Fatal(err)
	}
	asked(a.id(), "/late", 200) // was under way
	asked(a.id(), "/after", 200)
	if got := paths("store"); !slices.Equal(got, []string{"/before", "/late", "/after"}) {
		t.Errorf("under its new name: got %q", got)
	}
	if err := d.DestroyApp(t.Context(), "store", by, io.Discard); err != nil {
		t.Fatal(err)
	}
	asked(a.id(), "/too-late", 200)
	a.fleet.Reroute() // as an instance does that crashes now
	asked(a.id(), "/too-late", 200)
	if _, err := os.Stat(filepath.Join(d.cfg.Logs, a.id())); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a destroyed app has a directory: %v", err)
	}
	if _, err := d.CreateApp(t.Context(), "store", by); err != nil {
		t.Fatal(err)
	}
	if got := paths("store"); got != nil {
		t.Errorf("its namesake has %q", got)
	}
}
