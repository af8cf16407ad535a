package verbs

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/berthd/berth/deploy"
	"github.com/berthd/berth/deploy/logs"
	"github.com/berthd/berth/edge"
	"github.com/berthd/berth/git"
	"github.com/berthd/berth/router"
	"github.com/berthd/berth/router/accesslog"
	"github.com/berthd/berth/router/certificates"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
)

type noHosts struct{}

func (noHosts) SetHosts(string, []certificates.Host, certificates.ACME) {}
func (noHosts) SetHostsFor(string, []certificates.Host)                 {}

// machine is all rooms in one.
type machine struct {
	*deploy.Deployer
	*edge.Edge
	*edge.Network
	*edge.Consents
	BuildRoom
	BuilderRoom
	RegistryRoom
	CronRoom
	OneOffRoom
	RequestRoom
	DoctorRoom
	StorageRoom
	MountRoom
}

func (m machine) Rebuild(ctx context.Context, app string, by store.User, out io.Writer) error {
	return deploy.Rebuilds{Deployer: m.Deployer}.Rebuild(ctx, app, by, out)
}

func (m machine) Logs(ctx context.Context, q logs.Query, fn func(logs.LogLine) error) error {
	return m.Deployer.Logs().Logs(ctx, q, fn)
}

// newTenancy is a door with a real deployer, and the apps of two tenants.
// Everything that is not shop's has "hidden" in it.
func newTenancy(t *testing.T) *house {
	t.Helper()
	h := newHouse(t)
	dir, log := t.TempDir(), slog.New(slog.DiscardHandler)
	cfg := deploy.Config{Logs: filepath.Join(dir, "logs"), Caches: filepath.Join(dir, "caches"), Volumes: filepath.Join(dir, "volumes"), Git: git.Repositories{Dir: filepath.Join(dir, "git")}}
	cfg.AccessLog = accesslog.New(cfg.Logs, log)
	table := router.New(router.Config{}, log)
	d := deploy.New(cfg, h.db, nil, table, noHosts{}, log)
	h.rooms = roomsOf(machine{d, d.Edge(), d.Network(), d.Consents(), d.Builder(), d.Builder(), d.Builder(), d.Jobs(), d.Jobs(), edge.NewRequests(h.db, table, cfg.AccessLog), deploy.Doctor{}, d.Storage(), d.Mounts})
	h.rebuild()
	h.update(t, func(tx *store.Tx) error {
		settings := store.Settings{Domain: "example.com", Email: "hidden@example.com", DNSResolvers: []string{"hidden.test"}}
		if err := tx.PutSettings(settings); err != nil {
			return err
		}
		if err := tx.Global.Put(map[string]string{"HIDDEN": "hidden"}); err != nil {
			return err
		}
		if err := tx.Keys.Put(store.Key{Name: "hidden-hand", Role: store.RoleAdmin, Fingerprint: "SHA256:hidden"}); err != nil {
			return err
		}
		for _, app := range []string{"shop", "hidden"} {
			if _, err := tx.CreateApp(store.App{Name: app, CreatedBy: "alice"}); err != nil {
				return err
			}
			if err := tx.PutDomain(store.Domain{Host: app + ".test", App: app}); err != nil {
				return err
			}
			if err := tx.Ports.Put(store.Port{Number: 5000 + len(app), Container: 5432, App: app}); err != nil {
				return err
			}
			if err := tx.AddEvent(store.Event{Time: time.Now(), App: app, By: "alice", Kind: "create", Text: "created " + app}); err != nil {
				return err
			}
			if err := tx.Volumes.Create(store.Volume{ID: "id-of-" + app, Name: app + "-data", App: app}); err != nil {
				return err
			}
			if err := tx.Volumes.Create(store.Volume{ID: "cache-of-" + app, Name: "cache", App: app}); err != nil {
				return err
			}
			if err := tx.Volumes.PutMounts(app, []store.Mount{{Volume: "id-of-" + app, Path: "/app/" + app}}); err != nil {
				return err
			}
			if err := tx.Builds.Put(store.Build{App: app, Number: 1, Summary: app}); err != nil {
				return err
			}
		}
		if err := tx.Registries.Replace(map[store.RegistryPlace]store.RegistryLogin{
			{Host: "hidden.test"}: {Username: "u", Password: "p"}, {App: "hidden", Host: "r.test"}: {Username: "hidden", Password: "p"},
		}); err != nil {
			return err
		}
		if err := tx.Volumes.Create(store.Volume{ID: "hidden-id", Name: "hidden-free"}); err != nil {
			return err
		}
		return tx.AddEvent(store.Event{Time: time.Now(), By: "alice", Kind: "settings", Text: "hidden"})
	})
	return h
}

// A key that is bound to an app reads of that app, and of the machine what
// every visitor can see.
func TestVerbs_ABoundKeyReadsNothingOfOthers(t *testing.T) {
	h := newTenancy(t)
	for _, user := range []store.User{
		{Name: "rita", Role: store.RoleRead, Apps: []string{"shop"}},
		{Name: "dora", Role: store.RoleDeploy, Apps: []string{"shop"}},
		{Name: "adam", Role: store.RoleAdmin, Apps: []string{"shop"}},
	} {
		answered := 0
		for name, v := range h.verbs {
			if !v.Reads || name == "builds:plan" { // which needs a container
				continue
			}
			for _, args := range []map[string]any{
				{}, {"app": "shop"}, {"app": "hidden"}, {"app": "nothing"}, {"app": "hidde"},
				{"target": "shop"}, {"target": "hidden"}, {"target": "hidden.test"}, {"target": "hidden.example.com"}, {"target": "berth.example.com"},
				{"app": "shop", "number": 1}, {"app": "hidden", "number": 1}, {"app": "hidden", "name": "x"},
				{"name": "shop-data"}, {"name": "hidden-data"}, {"name": "cache"}, {"name": "cache", "app": "hidden"}, {"name": "hidden-free"},
				{"name": "cache", "path": "../cache-of-hidden"},
			} {
				var result json.RawMessage
				err := h.Call(t.Context(), user, name, args, &result, nil)
				if codeOf(err) == "" && err != nil {
					t.Fatalf("%s %v: %v", name, args, err)
				}
				if err == nil {
					answered++
				}
				if f := fromError(err); f != "" && args["target"] == nil && args["app"] != "hidden" && args["app"] != "hidde" && !strings.Contains(fmt.Sprint(args["name"], args["path"]), "hidden") && strings.Contains(f, "hidden") {
					t.Errorf("%s by %s (%s) with %v: the error is %s", name, user.Name, user.Role, args, f)
				}
				if strings.Contains(string(result), "hidden") {
					t.Errorf("%s by %s (%s) with %v shows %s", name, user.Name, user.Role, args, result)
				}
			}
		}
		if answered < 15 {
			t.Errorf("%s got %d answers", user.Name, answered)
		}
	}
}

// fromError is all that a caller sees of an error.
func fromError(err error) string {
	if err == nil {
		return ""
	}
	text, _ := json.Marshal(fault.From(err))
	return string(text)
}

// What is not there and what is another's look the same.
func TestVerbs_ABoundKeyCannotTellWhatIsThere(t *testing.T) {
	h := newTenancy(t)
	user := store.User{Name: "dora", Role: store.RoleDeploy, Apps: []string{"shop"}}
	for name, v := range h.verbs {
		if !v.Reads {
			continue
		}
		for key, words := range map[string][2]string{"app": {"hidden", "absent"}, "target": {"hidden", "absent"}, "name": {"hidden-data", "absent-data"}, "host": {"hidden.test", "absent.test"}} {
			if key == "host" {
				key = "target"
			}
			var got [2]string
			for i, word := range words {
				got[i] = strings.ReplaceAll(fromError(h.Call(t.Context(), user, name, map[string]any{key: word}, nil, nil)), word, "WORD")
			}
			if got[0] != got[1] {
				t.Errorf("%s of %s %s and %s: %s and %s", name, key, words[0], words[1], got[0], got[1])
			}
		}
	}
	// An app that a key is bound to need not be there, nor is it told of others.
	gone := store.User{Name: "gus", Role: store.RoleRead, Apps: []string{"hidde"}}
	if text := fromError(h.Call(t.Context(), gone, "apps:info", AppArgs{"hidde"}, nil, nil)); !strings.Contains(text, "E101") || strings.Contains(text, "hidden") {
		t.Errorf("an app that is not there: %s", text)
	}
}

func TestRegistry_LoginsOfAnAppAreForThoseWhoDeployIt(t *testing.T) {
	h := newTenancy(t)
	dora := store.User{Name: "dora", Role: store.RoleDeploy, Apps: []string{"shop"}}
	login := func(user store.User, app string) string {
		args := RegistryLoginArgs{RegistryArgs: RegistryArgs{RegistryReportArgs{app}, "r.test"}, Username: "u", Password: "p"}
		return codeOf(h.Call(t.Context(), user, "registry:login", args, nil, nil))
	}
	for _, row := range []struct {
		user store.User
		app  string
		want string
	}{
		{dora, "shop", ""}, {dora, "hidden", "E111"}, {dora, "", "E110"}, {deployer, "shop", ""}, {deployer, "", "E110"},
		{reader, "shop", "E110"}, {store.Root, "", ""}, {store.Root, "nothing", "E101"},
	} {
		if got := login(row.user, row.app); got != row.want {
			t.Errorf("%s for %q: got %q, want %q", row.user.Name, row.app, got, row.want)
		}
	}
	var registries []Registry
	if err := h.Call(t.Context(), dora, "registry:report", RegistryReportArgs{"shop"}, &registries, nil); err != nil || len(registries) != 1 || registries[0].App != "shop" {
		t.Errorf("dora sees %+v, %v", registries, err)
	}
}

// Who is given an app's name gets nothing of the app that had it before.
func TestEvents_OfANamesakeThatIsGoneAreNotShown(t *testing.T) {
	h := newTenancy(t)
	h.update(t, func(tx *store.Tx) error {
		err := tx.DeleteApp("shop")
		if err == nil {
			_, err = tx.CreateApp(store.App{Name: "shop", CreatedBy: "bob"})
		}
		if err == nil {
			err = tx.AddEvent(store.Event{App: "shop", By: "bob", Kind: "create", Text: "created again"})
		}
		return err
	})
	user := store.User{Name: "rita", Role: store.RoleRead, Apps: []string{"shop"}}
	for _, args := range []EventArgs{{}, {App: "shop"}} {
		var got []store.Event
		if err := h.Call(t.Context(), user, "events", args, &got, nil); err != nil {
			t.Fatal(err)
		}
		if len(got) != 1 || got[0].By != "bob" {
			t.Errorf("%+v: got %+v, want the one event of the app that is there", args, got)
		}
	}
}
