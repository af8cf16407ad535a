package deploy

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/berthd/berth/router/certificates"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

func TestCloneApp_CopiesSettingsAndNoDomains(t *testing.T) {
	d := newDeployer(t)
	record, _ := shop(t, d)
	update(t, d, func(tx *store.Tx) error {
		_, err := tx.CreateApp(store.App{Name: "blog"})
		return err
	})
	record.Branch, record.Formation, record.Limits.Memory = "main", map[string]int{"web": 2}, 1<<30
	update(t, d, func(tx *store.Tx) error {
		return errors.Join(
			tx.PutApp(record),
			tx.PutConfig("shop", map[string]string{"COLOR": "blue"}),
			tx.PutDomain(store.Domain{Host: "www.example.org", App: "shop"}),
			tx.PutRouting("shop", store.Routing{Maintenance: true, Properties: map[string]string{"max-body": "5m"}, Users: map[string]string{"alice": "hash"}}),
			tx.Pages.Put("shop", store.PageError, []byte("sorry")),
			tx.Registries.Replace(map[store.RegistryPlace]store.RegistryLogin{{App: "shop", Host: "r.test"}: {Username: "u"}, {App: "blog", Host: "r.test"}: {Username: "b"}}),
		)
	})
	if err := d.CloneApp(t.Context(), "shop", "copy", false, false, store.Root, io.Discard); err != nil {
		t.Fatal(err)
	}
	err := d.db.View(func(tx *store.Tx) error {
		app, err := tx.App("copy")
		if err != nil {
			return err
		}
		if app.Branch != "main" || app.Formation["web"] != 2 || app.Limits.Memory != 1<<30 || app.Release != 0 || app.UID == record.UID {
			t.Errorf("the app: %+v", app)
		}
		config, err := tx.Config("copy")
		if err != nil || config["COLOR"] != "blue" {
			t.Errorf("the config: %v, %v", config, err)
		}
		routing, err := tx.Routing("copy")
		if err != nil || routing.Maintenance || routing.Properties["max-body"] != "5m" || routing.Users["alice"] != "hash" || string(tx.Pages.Get("copy", store.PageError)) != "sorry" {
			t.Errorf("the routing: %+v, %v", routing, err)
		}
		logins, err := tx.Registries.All()
		if err != nil || logins[store.RegistryPlace{App: "copy", Host: "r.test"}].Username != "u" || len(logins) != 3 {
			t.Errorf("the logins: %v, %v", logins, err)
		}
		domains, err := tx.Domains("copy")
		if len(domains) != 0 {
			t.Errorf("the domains: %v", domains)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if err := d.CloneApp(t.Context(), "shop", "copy", false, false, store.Root, io.Discard); err == nil {
		t.Error("a clone took the place of an app")
	}
	if err := d.CloneApp(t.Context(), "none", "other", false, false, store.Root, io.Discard); err == nil {
		t.Error("there was nothing to clone")
	}
}

// An app may have no deploy branch for the moment: git:set took it back.
func TestCloneApp_OfAnAppWithoutADeployBranch(t *testing.T) {
	d := newDeployer(t)
	shop(t, d)
	p := emptyCommit(t, d, "shop")
	record, err := d.CreateApp(t.Context(), "copy", store.Root)
	if err != nil {
		t.Fatal(err)
	}
	d.app(record).markDestroyed(fault.New(fault.Conflict, code.AppDestroyed, "before anything is built"))
	err = d.deployClone(t.Context(), p.Repo, record, p.Commit, store.Root, io.Discard)
	if f := fault.From(err); f == nil || f.Code != code.AppDestroyed {
		t.Errorf("it does not come to the build: %v", err)
	}
}

func TestPinned_IsByTheDigest(t *testing.T) {
	for ref, want := range map[string]string{
		"shop":                      "shop@sha256:1",
		"r.example.com:5000/shop":   "r.example.com:5000/shop@sha256:1",
		"r.example.com/shop:1.4":    "r.example.com/shop@sha256:1",
		"r.example.com/a@sha256:99": "r.example.com/a@sha256:1",
	} {
		if got := pinned(store.Image{Ref: ref, Digest: "sha256:1"}); got != want {
			t.Errorf("%s: got %s, want %s", ref, got, want)
		}
	}
}

// Nothing may see the clone without what is set of the other app: a push to it
// would go live without http-auth, and a CA would hear of a host that was kept
// from it.
func TestCloneApp_IsThereWithItsSettingsOrNotAtAll(t *testing.T) {
	told := &toldHosts{}
	d, _ := newDeployerWith(t, told)
	record, _ := shop(t, d)
	record.LocalCertificates = true
	update(t, d, func(tx *store.Tx) error { return tx.PutApp(record) })
	if err := d.CloneApp(t.Context(), "shop", "copy", false, false, store.Root, io.Discard); err != nil {
		t.Fatal(err)
	}
	if len(told.hosts) == 0 {
		t.Error("the clone has no host")
	}
	for _, host := range told.hosts {
		if !host.Local {
			t.Errorf("%s is one for a public CA", host.Name)
		}
	}

	why := errors.New("it cannot be read")
	_, err := d.createApp(t.Context(), "half", store.Root, func(*store.Tx, store.App) error { return why })
	if _, _, there := d.find("half"); !errors.Is(err, why) || there == nil {
		t.Errorf("half a clone is there: %v", err)
	}
}

// toldHosts remembers all hosts that were to be certified.
type toldHosts struct {
	noHosts
	hosts []certificates.Host
}

func (h *toldHosts) SetHostsFor(_ string, hosts []certificates.Host) {
	h.hosts = append(h.hosts, hosts...)
}

func TestCloneApp_OfACommitThatIsGoneMakesNothing(t *testing.T) {
	d := newDeployer(t)
	shop(t, d)
	update(t, d, func(tx *store.Tx) error {
		return tx.PutRelease(store.Release{App: "shop", Number: 1, Status: store.ReleaseLive, Config: map[string]string{}, Commit: strings.Repeat("1", 40)})
	})
	err := d.CloneApp(t.Context(), "shop", "copy", true, false, store.Root, io.Discard)
	if f := fault.From(err); f == nil || f.Code != "E117" {
		t.Errorf("got %v, want E117", err)
	}
	if _, _, err := d.find("copy"); err == nil {
		t.Error("an app is left")
	}
}
