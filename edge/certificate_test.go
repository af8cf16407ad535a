package edge

import (
	"slices"
	"testing"
	"time"

	"github.com/berthd/berth/router/certificates"
	"github.com/berthd/berth/store"
)

// heard is what the appliance was told last about hosts.
type heard struct {
	hosts []certificates.Host
	acme  certificates.ACME
}

func (h *heard) SetHosts(_ string, hosts []certificates.Host, acme certificates.ACME) {
	h.hosts, h.acme = hosts, acme
}

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

func (h *heard) names() (names []string) {
	for _, host := range h.hosts {
		names = append(names, host.Name)
	}
	return names
}

// Who has a path of a host does not choose the certificate of all of it.
func TestPairs_OfAnAppWithAPathOfAnothersHost(t *testing.T) {
	d, now := newWorld(t), &heard{}
	d.hosts = now
	for _, name := range []string{"blog", "shop"} {
		create(t, d, name)
	}
	hosts := []store.Domain{{Host: "shop.test", Path: "/blog"}, {Host: "shop.example.com", Path: "/blog"}, {Host: "alone.test", Path: "/blog"}, {Host: "blog.test"}}
	if err := d.AddDomains(t.Context(), "blog", hosts, store.Root); err != nil {
		t.Fatal(err)
	}
	chain, key, err := certificates.SelfSigned([]string{"*.test", "shop.test", "alone.test", "blog.test", "shop.example.com"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := d.AddPair(t.Context(), "blog", "", chain, key, store.Root); err != nil {
		t.Fatal(err)
	}
	served := func(want ...string) {
		t.Helper()
		for _, host := range []string{"alone.test", "blog.test", "shop.example.com", "shop.test"} {
			if got := now.own(host) != nil; got != slices.Contains(want, host) {
				t.Errorf("the pair of blog serves %s: %v", host, got)
			}
		}
	}
	served("alone.test", "blog.test", "shop.test")
	if err := d.AddDomains(t.Context(), "shop", []store.Domain{{Host: "shop.test"}, {Host: "alone.test", Path: "/shop"}}, store.Root); err != nil {
		t.Fatal(err)
	}
	served("blog.test")
	if err := d.RemoveDomains(t.Context(), "shop", []string{"shop.test"}, store.Root); err != nil {
		t.Fatal(err)
	}
	served("blog.test", "shop.test")
}

func TestACME_TakesOfTheSettingsWhatIsWhole(t *testing.T) {
	d, now := newWorld(t), &heard{}
	d.hosts = now
	set := func(change func(*store.Settings)) {
		t.Helper()
		if _, err := d.SetSettings(t.Context(), func(s *store.Settings) error { change(s); return nil }, store.Root); err != nil {
			t.Fatal(err)
		}
	}
	set(func(s *store.Settings) {
		s.Email, s.DNSProvider, s.ACMEKeyID = "ops@example.com", "digitalocean", "me"
		s.Fallback.Server = "https://second.example/dir"
	})
	if now.acme.DNS.Provider != "" || now.acme.CAs[0].KeyID != "" || len(now.acme.CAs) != 2 || slices.Contains(now.names(), "*.example.com") {
		t.Errorf("got %+v for %v", now.acme, now.names())
	}
	set(func(s *store.Settings) { s.Secrets = map[string]string{"DO_AUTH_TOKEN": "t", store.SecretMACKey: "k"} })
	if now.acme.DNS.Settings["DO_AUTH_TOKEN"] != "t" || now.acme.CAs[0].MACKey != "k" || !slices.Contains(now.names(), "*.example.com") {
		t.Errorf("got %+v for %v", now.acme, now.names())
	}
	if err := now.acme.Validate(); err != nil {
		t.Error(err)
	}
}
