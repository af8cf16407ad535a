package verbs

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berthd/berth/router/certificates"
	"github.com/berthd/berth/store"
)

func TestCerts_AreForWhoeverMayDeployTheHostsApp(t *testing.T) {
	h := newHouse(t)
	h.makeApp(t, "shop")
	h.makeApp(t, "blog")
	h.update(t, func(tx *store.Tx) error {
		return errors.Join(
			tx.PutDomain(store.Domain{Host: "www.shop.com", App: "shop"}),
			tx.PutDomain(store.Domain{Host: "www.shop.com", Path: "/blog", App: "blog"}),
			tx.PutDomain(store.Domain{Host: "paths.test", Path: "/blog", App: "blog"}),
		)
	})
	ofBlog := store.User{Name: "bob", Role: store.RoleDeploy, Apps: []string{"blog"}}
	ofShop := store.User{Name: "sam", Role: store.RoleDeploy, Apps: []string{"shop"}}
	for _, c := range []struct {
		user   store.User
		target string
		want   string // code, "" is none
		pair   string
	}{
		{ofShop, "shop", "", "shop "},
		{ofShop, "WWW.shop.com", "", "shop www.shop.com"},
		{ofShop, "shop.example.com", "", "shop shop.example.com"},
		{ofShop, "blog", "E111", ""},
		{ofShop, "blog.example.com", "E111", ""},
		{ofShop, "berth.example.com", "E111", ""},
		{ofShop, "blog.example.com", "E111", ""},
		{ofShop, "nobody.example.com", "E111", ""},
		{ofShop, "nobody", "E111", ""},
		{deployer, "berth.example.com", "E110", ""},
		{store.Root, "berth.example.com", "", "berth berth.example.com"},
		{store.Root, "berth", "E179", ""},
		{ofBlog, "www.shop.com", "E111", ""},
		{ofBlog, "paths.test", "", "blog paths.test"},
		{reader, "shop", "E110", ""},
		{store.Root, "nobody.example.com", "E179", ""},
		{store.Root, "../etc", "E179", ""},
	} {
		h.deployer.pair = ""
		args := CertsAddArgs{CertsArgs: CertsArgs{Target: c.target}, Certificate: "c", Key: "k"}
		err := h.Call(t.Context(), c.user, "certs:add", args, nil, nil)
		if codeOf(err) != c.want || h.deployer.pair != c.pair {
			t.Errorf("%s for %s: %v and %q, want %q and %q", c.user.Name, c.target, err, h.deployer.pair, c.want, c.pair)
		}
	}
	h.cfg.Certificate = func(host string) certificates.State {
		return certificates.State{Host: host, Own: host == "www.shop.com", Local: host != "www.shop.com"}
	}
	h.rebuild()
	var rows []Certificate
	if err := h.Call(t.Context(), ofShop, "certs:report", nil, &rows, nil); err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		if row.App != "shop" {
			t.Errorf("sam sees %+v", row)
		}
	}
	if len(rows) != 2 {
		t.Errorf("sam sees %+v, want both hosts of the shop", rows)
	}
}

// A root vouches for what its reader may see: the hosts of others are neither
// trusted nor told.
func TestCertsRoot_VouchesForTheHostsThatTheUserMaySee(t *testing.T) {
	h := newHouse(t)
	h.makeApp(t, "shop")
	h.makeApp(t, "blog")
	h.update(t, func(tx *store.Tx) error {
		return errors.Join(
			tx.PutDomain(store.Domain{Host: "www.shop.test", App: "shop"}),
			tx.PutDomain(store.Domain{Host: "www.blog.test", App: "blog"}),
		)
	})
	var got certificates.Trust
	h.cfg.RootCA = func(trust certificates.Trust) ([]byte, error) {
		got = trust
		return []byte("PEM\n"), nil
	}
	h.rebuild()
	for _, c := range []struct {
		user   store.User
		names  string
		inside bool
	}{
		{store.User{Name: "sam", Role: store.RoleDeploy, Apps: []string{"shop"}}, "shop.example.com www.shop.test", false},
		{reader, "berth.example.com blog.example.com example.com shop.example.com www.blog.test www.shop.test", true},
	} {
		var root Root
		if err := h.Call(t.Context(), c.user, "certs:root", nil, &root, nil); err != nil || root.PEM != "PEM\n" {
			t.Fatalf("%s: %+v, %v", c.user.Name, root, err)
		}
		slices.Sort(got.Names)
		if names := strings.Join(got.Names, " "); got.Domain != "example.com" || names != c.names || got.Inside != c.inside {
			t.Errorf("%s: got %+v, want example.com, %s, %v", c.user.Name, got, c.names, c.inside)
		}
	}
}

func TestCerts_SayWhichHostsNeedANewRoot(t *testing.T) {
	h := newHouse(t)
	h.makeApp(t, "shop")
	h.update(t, func(tx *store.Tx) error { return tx.PutDomain(store.Domain{Host: "www.shop.test", App: "shop"}) })
	var rows []Certificate
	if err := h.Call(t.Context(), store.Root, "certs:report", CertsReportArgs{Target: "shop"}, &rows, nil); err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		if want := row.Host == "www.shop.test"; row.NewRoot != want {
			t.Errorf("%s: new root %v, want %v", row.Host, row.NewRoot, want)
		}
	}
	if len(rows) != 2 {
		t.Errorf("got %+v, want two hosts", rows)
	}
	for email, want := range map[string]string{"": "new.shop.test, www.public.com", "me@example.com": "new.shop.test"} {
		h.update(t, func(tx *store.Tx) error { return tx.PutSettings(store.Settings{Domain: "example.com", Email: email}) })
		var out strings.Builder
		if err := h.records.tellUncovered(&out, []string{"new.shop.test", "www.public.com", "a.example.com"}); err != nil {
			t.Fatal(err)
		}
		if first, _, _ := strings.Cut(out.String(), "\n"); !strings.HasSuffix(first, "does not cover "+want) {
			t.Errorf("with e-mail %q: %q, want %s", email, out.String(), want)
		}
	}
}

// A name whose host leads elsewhere is an app all the same.
func TestReports_OfAnAppWhoseDefaultHostLeadsElsewhere(t *testing.T) {
	h := newHouse(t)
	h.makeApp(t, "blog")
	h.makeApp(t, "shop")
	h.update(t, func(tx *store.Tx) error { return tx.PutDomain(store.Domain{Host: "shop.example.com", App: "blog"}) })
	var domains Domains
	if err := h.Call(t.Context(), store.Root, "domains:report", AppArgs{"shop"}, &domains, nil); err != nil || domains.Default != "" {
		t.Errorf("domains:report: %+v, %v; the default host leads to blog", domains, err)
	}
	var rows []Certificate
	if err := h.Call(t.Context(), store.Root, "certs:report", CertsReportArgs{Target: "shop"}, &rows, nil); err != nil || len(rows) != 0 {
		t.Errorf("certs:report: %+v, %v; want no host and no error", rows, err)
	}
	if err := h.Call(t.Context(), store.Root, "certs:generate", CertsArgs{Target: "shop"}, nil, nil); codeOf(err) != "E179" {
		t.Errorf("certs:generate: %v, want E179", err)
	}
	err := h.Call(t.Context(), store.Root, "certs:report", CertsArgs{Target: "shop.example.com"}, &rows, nil)
	if err != nil || len(rows) != 1 || rows[0].App != "blog" {
		t.Errorf("certs:report of the host: %+v, %v; want it as blog's", rows, err)
	}
}

func TestLetsencrypt_SecretsAreKeptAndNeverShown(t *testing.T) {
	h := newHouse(t)
	set := func(property, value string) (now LetsEncrypt, err error) {
		err = h.Call(t.Context(), store.Root, "letsencrypt:set", PropertyArgs{Property: property, Value: value}, &now, nil)
		return now, err
	}
	now, err := set("dns-provider", "gandiv5")
	if err != nil || now.DNSProvider != "gandi" || now.Incomplete == "" {
		t.Errorf("got %+v, %v", now, err)
	}
	if now, err = set("dns-provider-GANDIV5_PERSONAL_ACCESS_TOKEN", "s3cr3t"); err != nil || now.Incomplete != "" || len(now.DNSSettings) != 1 {
		t.Errorf("got %+v, %v", now, err)
	}
	if now, err = set("eab-kid", "me"); err != nil || now.Incomplete == "" {
		t.Errorf("half an account: %+v, %v", now, err)
	}
	if now, err = set("eab-hmac-key", "s3cr3t"); err != nil || now.Incomplete != "" {
		t.Errorf("a whole account: %+v, %v", now, err)
	}
	if now, err = set("fallback-server", "zerossl"); err != nil || now.Fallback != "https://acme.zerossl.com/v2/DV90" {
		t.Errorf("got %+v, %v", now, err)
	}
	for property, value := range map[string]string{
		"dns-provider": "nobody", "dns-provider-NOBODYS_TOKEN": "x", "graceperiod": "1", "lego-args": "x",
		"ip-addresses": "perhaps", "dns-resolvers": "https://x/", "profile": "two words", "fallback-server": "http://x",
	} {
		if _, err := set(property, value); codeOf(err) != "E155" {
			t.Errorf("%s=%s: got %v, want E155", property, value, err)
		}
	}
	settings := h.setting(t)
	if settings.Secrets["GANDIV5_PERSONAL_ACCESS_TOKEN"] != "s3cr3t" || settings.Secrets[store.SecretMACKey] != "s3cr3t" {
		t.Errorf("kept: %v", settings.Secrets)
	}
	if now, err = set("dns-provider-GANDIV5_PERSONAL_ACCESS_TOKEN", ""); err != nil || len(now.DNSSettings) != 0 {
		t.Errorf("a token that was taken back: %+v, %v", now, err)
	}
}

func (h *house) setting(t *testing.T) (settings store.Settings) {
	t.Helper()
	if err := h.db.View(func(tx *store.Tx) (err error) {
		settings, err = tx.Settings()
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return settings
}

// caller is a keeper whose CA answers as it is told.
type caller struct {
	mu      sync.Mutex
	states  map[string]certificates.State
	answers map[string]certificates.State // after a retry
	revoked []string
}

func (k *caller) state(host string) certificates.State {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.states[host]
}

func (k *caller) Retry(_ context.Context, hosts []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, host := range hosts {
		k.states[host] = k.answers[host]
	}
}

func (k *caller) Revoke(_ context.Context, host string) (int, error) {
	k.revoked = append(k.revoked, host)
	return 1, nil
}

func (k *caller) Cleanup(context.Context) ([]string, error) { return []string{"old.example.com"}, nil }

func TestLetsencryptEnable_WaitsForTheCAsAnswer(t *testing.T) {
	h := newHouse(t)
	h.makeApp(t, "shop")
	ask := func(verb string, result any) error {
		return h.Call(t.Context(), store.Root, verb, AppArgs{"shop"}, result, nil)
	}
	if err := ask("letsencrypt:enable", nil); codeOf(err) != "E155" {
		t.Errorf("without an e-mail: %v, want E155", err)
	}
	h.update(t, func(tx *store.Tx) error {
		return errors.Join(
			tx.PutSettings(store.Settings{Domain: "example.com", Email: "ops@example.com"}),
			tx.PutDomain(store.Domain{Host: "www.shop.com", App: "shop"}),
			tx.PutDomain(store.Domain{Host: "shop.localhost", App: "shop"}),
		)
	})
	k := &caller{
		states: map[string]certificates.State{
			"www.shop.com": {Local: true, Pending: true, LastError: "old", LastErrorAt: time.Now().Add(-time.Hour)},
		},
		answers: map[string]certificates.State{"www.shop.com": {Issuer: "R3"}},
	}
	h.cfg.Keeper, h.cfg.Certificate = k, k.state
	h.rebuild()
	var rows []Certificate
	if err := ask("letsencrypt:enable", &rows); err != nil {
		t.Fatal(err)
	}
	if len(rows) != 3 || !slices.ContainsFunc(rows, func(r Certificate) bool { return r.Host == "www.shop.com" && r.Source == "acme" }) {
		t.Errorf("got %+v", rows)
	}
	k.states["www.shop.com"] = certificates.State{Local: true, Pending: true}
	k.answers["www.shop.com"] = certificates.State{Local: true, Pending: true, LastError: "no such name", LastErrorAt: time.Now().Add(time.Hour)}
	if err := ask("letsencrypt:enable", nil); codeOf(err) != "E180" {
		t.Errorf("the CA refuses: %v, want E180", err)
	}
	var active Active
	if err := ask("letsencrypt:active", &active); err != nil || active.Active {
		t.Errorf("active: %v, %v", active, err)
	}
	var revoked Count
	if err := ask("letsencrypt:revoke", &revoked); err != nil || revoked.Count != 3 || len(k.revoked) != 3 {
		t.Errorf("revoked %+v, %v", revoked, err)
	}
	// A path of another tenant's host is no say in that host's certificate.
	h.makeApp(t, "blog")
	h.update(t, func(tx *store.Tx) error {
		return tx.PutDomain(store.Domain{Host: "www.shop.com", Path: "/blog", App: "blog"})
	})
	blogger := store.User{Name: "bob", Role: store.RoleDeploy, Apps: []string{"blog"}}
	k.revoked = nil
	if err := h.Call(t.Context(), blogger, "letsencrypt:revoke", AppArgs{"blog"}, nil, nil); err != nil || !slices.Equal(k.revoked, []string{"blog.example.com"}) {
		t.Errorf("bob revoked %q, %v", k.revoked, err)
	}
}

// Only a report may leave out whose certificates are meant.
func TestCerts_ChangesNeedATarget(t *testing.T) {
	h := newHouse(t)
	h.makeApp(t, "shop")
	for _, verb := range []string{"certs:remove", "certs:generate", "certs:add"} {
		args := CertsAddArgs{CertsArgs: CertsArgs{Target: ""}}
		var asked any = args
		if verb != "certs:add" {
			asked = args.CertsArgs
		}
		if got := codeOf(h.Call(t.Context(), store.Root, verb, asked, nil, nil)); got != "E179" {
			t.Errorf("%s by root: got %q, want E179", verb, got)
		}
		if got := codeOf(h.Call(t.Context(), ofShop, verb, asked, nil, nil)); got != "E111" {
			t.Errorf("%s by a key of one app: got %q, want E111", verb, got)
		}
	}
}
