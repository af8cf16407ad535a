package web

import (
	"testing"

	"github.com/berthd/berth/router/certificates"
	"github.com/berthd/berth/store"
)

func TestCerts_AreForWhoeverMayDeployTheHostsApp(t *testing.T) {
	h := newHouse(t)
	h.makeApp(t, "shop")
	h.makeApp(t, "blog")
	h.update(t, func(tx *store.Tx) error { return tx.PutDomain(store.Domain{Host: "www.shop.com", App: "shop"}) })
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
		{ofShop, "berth.example.com", "E110", ""},
		{deployer, "berth.example.com", "E110", ""},
		{store.Root, "berth.example.com", "", "berth berth.example.com"},
		{store.Root, "berth", "E179", ""},
		{reader, "shop", "E110", ""},
		{store.Root, "nobody.example.com", "E179", ""},
		{store.Root, "../etc", "E179", ""},
	} {
		h.deployer.pair = ""
		args := CertsAddArgs{CertsArgs: CertsArgs{Target: c.target}, Certificate: "c", Key: "k"}
		err := h.API.Call(t.Context(), c.user, "certs:add", args, nil, nil)
		if codeOf(err) != c.want || h.deployer.pair != c.pair {
			t.Errorf("%s for %s: %v and %q, want %q and %q", c.user.Name, c.target, err, h.deployer.pair, c.want, c.pair)
		}
	}
	h.API.cfg.Certificate = func(host string) certificates.State {
		return certificates.State{Host: host, Own: host == "www.shop.com", Local: host != "www.shop.com"}
	}
	var rows []Certificate
	if err := h.API.Call(t.Context(), ofShop, "certs:report", nil, &rows, nil); err != nil {
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

func TestLetsencrypt_SecretsAreKeptAndNeverShown(t *testing.T) {
	h := newHouse(t)
	set := func(property, value string) (now LetsEncrypt, err error) {
		err = h.API.Call(t.Context(), store.Root, "letsencrypt:set", SetArgs{Property: property, Value: value}, &now, nil)
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
