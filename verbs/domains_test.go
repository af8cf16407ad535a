package verbs

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/berthd/berth/router"
	"github.com/berthd/berth/store"
)

func TestNormalHost(t *testing.T) {
	for in, want := range map[string]string{
		"Shop.Example.COM":   "shop.example.com",
		"shop.example.com.":  "shop.example.com",
		"bücher.example":     "xn--bcher-kva.example",
		"localhost":          "localhost",
		"1-2-3-4.sslip.io":   "1-2-3-4.sslip.io",
		"xn--bcher-kva.ch":   "xn--bcher-kva.ch",
		"a.b.c.d.example.io": "a.b.c.d.example.io",
		"ＬＯＣＡＬＨＯＳＴ":          "localhost",
		"shop。example．com。":  "shop.example.com",
		"0x.example":         "0x.example",
	} {
		if got, err := NormalHost(in); got != want || err != nil {
			t.Errorf("%q: got %q, %v; want %q", in, got, err, want)
		}
	}
	for _, in := range []string{
		"", ".", "..", "a..b", ".a", "*.example.com", "https://example.com", "example.com/x", "example.com:80",
		"10.0.0.1", "[::1]", "::1", "2001:db8::1", "1.2.3", "0x7f.0x1", "0x7f000001", "127.0.0x", "１２７.0.0.1", "a。。", "256.256.256.256", "a b", "a_b.example", "-a.example", "a-.example",
		"user@example.com", "x\x00y", "a\nb", strings.Repeat("a", 64) + ".example", strings.Repeat("a.", 130) + "example", "xn--a", "\xff.example",
	} {
		if got, err := NormalHost(in); codeOf(err) != "E152" {
			t.Errorf("%q: got %q, %v; want E152", in, got, err)
		}
	}
}

func TestNormalDomain(t *testing.T) {
	for in, want := range map[string]store.Domain{
		"WWW.Example.com":          {Host: "www.example.com"},
		"example.com/":             {Host: "example.com"},
		"*.Bücher.example":         {Host: "*.xn--bcher-kva.example"},
		"example.com/blog":         {Host: "example.com", Path: "/blog"},
		"example.com/blog/":        {Host: "example.com", Path: "/blog"},
		"*.example.com./v1/api~.x": {Host: "*.example.com", Path: "/v1/api~.x"},
	} {
		if got, err := NormalDomain(in); got != want || err != nil {
			t.Errorf("%q: got %+v, %v; want %+v", in, got, err, want)
		}
	}
	for _, in := range []string{
		"", "*", "*.", "*.*.example.com", "a.*.com", "*a.example.com", "/blog", "https://example.com/blog", "example.com:80/blog",
		"example.com//blog", "example.com/a//b", "example.com/../a", "example.com/.", "example.com/a b", "example.com/%62", "example.com/ü",
		"example.com/a?b", "example.com/a#b", "example.com/a;b", `example.com/a\b`, "example.com/" + strings.Repeat("a", 200), "example.com" + strings.Repeat("/a", 17),
	} {
		if got, err := NormalDomain(in); codeOf(err) != "E152" {
			t.Errorf("%q: got %+v, %v; want E152", in, got, err)
		}
	}
}

// What is taken here the router takes too.
func FuzzNormalDomain(f *testing.F) {
	for _, seed := range []string{"*.example.com/blog", "example.com/a/b", "*.1.2", "a/" + strings.Repeat("x", 199), "a" + strings.Repeat("/x", 16)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		domain, err := NormalDomain(name)
		if err != nil {
			return
		}
		if again, err := NormalDomain(domain.Address()); again != domain || err != nil {
			t.Errorf("%q gave %+v, which gave %+v, %v", name, domain, again, err)
		}
		route := router.Route{Name: "app", Hosts: []string{domain.Host}}
		if domain.Path != "" {
			route = router.Route{Name: "app", Paths: []router.Path{{Host: domain.Host, Prefix: domain.Path}}}
		}
		if _, err := router.New(router.Config{}, slog.New(slog.DiscardHandler)).Swap(route); err != nil {
			t.Errorf("%q gave %+v: %v", name, domain, err)
		}
	})
}

func FuzzNormalHost(f *testing.F) {
	for _, seed := range []string{"shop.example.com", "bücher.example", "*.a", "1.2.3.4", "a:80", "xn--a", "。", "ß.de"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		host, err := NormalHost(name)
		if err != nil {
			return
		}
		if strings.ToLower(host) != host || strings.ContainsAny(host, " \n\t:/*@_[]") || len(host) > 253 {
			t.Errorf("%q gave %q", name, host)
		}
		if again, err := NormalHost(host); again != host || err != nil {
			t.Errorf("%q gave %q, which gave %q, %v", name, host, again, err)
		}
	})
}

func TestDomains_AreStoredAsTheRouterKnowsThem(t *testing.T) {
	h := newHouse(t)
	h.makeApp(t, "shop")
	var got Domains
	err := h.Call(t.Context(), deployer, "domains:add", DomainsArgs{AppArgs{"shop"}, []string{"WWW.Bücher.example."}}, &got, nil)
	if err != nil || got.Default != "shop.example.com" || len(got.Domains) != 1 || got.Domains[0] != "www.xn--bcher-kva.example" {
		t.Errorf("got %+v, %v", got, err)
	}
	err = h.Call(t.Context(), deployer, "domains:add", DomainsArgs{AppArgs{"shop"}, []string{"ok.example", "*.*.example"}}, nil, nil)
	if codeOf(err) != "E152" {
		t.Errorf("got %v, want E152", err)
	}
}

func TestLetsencrypt_RefusesWhatMakesNoSense(t *testing.T) {
	h := newHouse(t)
	set := func(property, value string) string {
		return codeOf(h.Call(t.Context(), store.Root, "letsencrypt:set", PropertyArgs{Property: property, Value: value}, nil, nil))
	}
	for _, c := range []struct{ property, value, want string }{
		{"email", "ops@example.com", ""},
		{"email", "Ops <ops@example.com>", "E155"},
		{"email", "nobody", "E155"},
		{"server", "https://ca.internal/directory", ""},
		{"server", "http://ca.internal/directory", "E155"},
		{"roots", "no PEM", "E155"},
		{"colour", "blue", "E155"},
		{"server", "", ""},
	} {
		if got := set(c.property, c.value); got != c.want {
			t.Errorf("%s=%q: got %q, want %q", c.property, c.value, got, c.want)
		}
	}
	var now LetsEncrypt
	if err := h.Call(t.Context(), store.Root, "letsencrypt:report", nil, &now, nil); err != nil || now.Email != "ops@example.com" || now.Server != "" {
		t.Errorf("got %+v, %v", now, err)
	}
}

func TestLogin_LinkLeadsToTheAdminHost(t *testing.T) {
	h := newHouse(t)
	h.update(t, func(tx *store.Tx) error {
		return tx.Keys.Put(store.Key{Name: reader.Name, Role: reader.Role, Fingerprint: "SHA256:r"})
	})
	var login Login
	if err := h.Call(t.Context(), reader, "login", nil, &login, nil); err != nil {
		t.Fatal(err)
	}
	token, ok := strings.CutPrefix(login.URL, "https://berth.example.com/login?token=")
	if !ok {
		t.Fatalf("got %s", login.URL)
	}
	if user, err := h.Sessions.Check(token); err != nil || user.Name != "rita" || user.Role != store.RoleRead {
		t.Errorf("the link is of %v, %v", user, err)
	}
}
