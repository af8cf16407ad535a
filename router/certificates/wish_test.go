package certificates

import (
	"maps"
	"net"
	"os"
	"slices"
	"testing"

	"github.com/caddyserver/certmagic"
)

func TestSetHostsFor_TouchesNobodyElses(t *testing.T) {
	dir, err := os.MkdirTemp("", "") // what is cancelled writes a moment longer than the test lasts
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	k := newKeeper(t, &certmagic.FileStorage{Path: dir})
	// A CA that says nothing: what is ordered stays so.
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { silent.Close() })
	acme := ACME{Email: contact, CAs: []CA{{Directory: "https://" + silent.Addr().String() + "/dir"}}}
	acme.DNS = DNS{Provider: "rfc2136", Settings: map[string]string{"RFC2136_NAMESERVER": "127.0.0.1:1"}}
	wanted := map[string][]Host{
		"1": {{Name: "shop.example.com"}, {Name: "shared.example.com", Local: true}},
		"2": {{Name: "blog.example.com", Local: true}, {Name: "shared.example.com"}},
	}
	// Whatever way the hosts came to be wanted, the same is ordered.
	check := func(step string) {
		t.Helper()
		k.mu.Lock()
		got := slices.Sorted(maps.Keys(k.ordered))
		k.mu.Unlock()
		var all []Host
		for _, whom := range slices.Sorted(maps.Keys(wanted)) {
			for _, host := range wanted[whom] {
				host.For = whom
				all = append(all, host)
			}
		}
		if err := k.SetHosts(t.Context(), all, acme); err != nil {
			t.Fatal(err)
		}
		k.mu.Lock()
		want := slices.Sorted(maps.Keys(k.ordered))
		k.mu.Unlock()
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q are ordered, want %q", step, got, want)
		}
	}
	if err := k.SetHosts(t.Context(), nil, acme); err != nil {
		t.Fatal(err)
	}
	set := func(whom string, hosts ...Host) {
		t.Helper()
		wanted[whom] = hosts
		if err := k.SetHostsFor(t.Context(), whom, hosts); err != nil {
			t.Fatal(err)
		}
	}
	for _, whom := range []string{"2", "1"} {
		set(whom, wanted[whom]...)
	}
	check("two who share a host")
	set("1", Host{Name: "shop.example.com"})
	check("one of them wants it no more")
	set("2", Host{Name: "blog.example.com"})
	check("nor does the other")
	set("3", Host{Name: "*.example.com"})
	check("a wildcard covers them")
	set("1", Host{Name: "new.example.com"}, Host{Name: "new.example.org"})
	check("one more is covered, one is not")
	set("3")
	check("the wildcard is gone")
	set("1")
	set("2")
	check("all are gone")
	if err := k.SetHostsFor(t.Context(), "1", []Host{{Name: "no host"}}); err == nil {
		t.Error("what cannot be in a certificate was taken")
	}
}
