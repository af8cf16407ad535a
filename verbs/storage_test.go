package verbs

import (
	"strings"
	"testing"

	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store"
)

// What a key that is bound to an app can reach, take or block with volumes: its
// own app's, and nothing else.
func TestStorage_ABoundKeyHasTheVolumesOfItsAppAlone(t *testing.T) {
	h := newTenancy(t)
	dora := store.User{Name: "dora", Role: store.RoleDeploy, Apps: []string{"shop"}}
	rita := store.User{Name: "rita", Role: store.RoleRead, Apps: []string{"shop"}}
	adam := store.User{Name: "adam", Role: store.RoleAdmin, Apps: []string{"shop"}}
	free := store.User{Name: "free", Role: store.RoleDeploy}
	volume := func(name, app string) VolumeArgs { return VolumeArgs{Name: name, App: app} }
	for _, row := range []struct {
		user store.User
		verb string
		args any
		want string
	}{
		// Another's volume is none, whatever is asked of it.
		{dora, "storage:info", volume("hidden-data", ""), "E601"},
		{dora, "storage:info", volume("hidden-data", "shop"), "E601"},
		{dora, "storage:info", volume("hidden-data", "hidden"), "E111"},
		{dora, "storage:info", volume("hidden-free", ""), "E601"},
		{dora, "storage:ls", VolumePathArgs{VolumeArgs: volume("hidden-data", "")}, "E601"},
		{dora, "storage:set", VolumeSetArgs{VolumeArgs: volume("hidden-data", ""), Size: "1g"}, "E601"},
		{dora, "storage:rm", VolumeRemoveArgs{VolumeFileArgs: VolumeFileArgs{VolumeArgs: volume("hidden-data", ""), Path: "x"}}, "E601"},
		{dora, "storage:destroy", VolumeDestroyArgs{VolumeArgs: volume("hidden-data", ""), Force: true}, "E601"},
		{dora, "storage:destroy", VolumeDestroyArgs{VolumeArgs: volume("hidden-free", ""), Force: true}, "E601"},
		{dora, "storage:mount", MountArgs{App: "shop", What: "hidden-data:/app/x"}, "E601"},
		{dora, "storage:mount", MountArgs{App: "shop", What: "hidden-free:/app/x"}, "E601"},
		{dora, "storage:mount", MountArgs{App: "hidden", What: "hidden-data:/app/x"}, "E111"},
		{dora, "storage:mount", MountArgs{App: "shop", What: "/srv/x:/app/x"}, "E111"},
		{dora, "storage:mount", MountArgs{App: "shop", What: "/var/lib/dokku/data/storage/hidden-data:/app/x"}, "E601"},
		{dora, "storage:unmount", UnmountArgs{App: "hidden", What: "hidden-data"}, "E111"},
		{adam, "storage:mount", MountArgs{App: "shop", What: "/srv/x:/app/x"}, "E111"},
		{free, "storage:mount", MountArgs{App: "shop", What: "/srv/x:/app/x"}, "E110"},
		// It makes none that is nobody's, nor one that takes the whole disk.
		{dora, "storage:create", VolumeCreateArgs{VolumeArgs: volume("new", "")}, "E111"},
		{dora, "storage:create", VolumeCreateArgs{VolumeArgs: volume("new", "hidden")}, "E111"},
		{dora, "storage:create", VolumeCreateArgs{VolumeArgs: volume("new", "shop"), Size: "11g"}, "E111"},
		{dora, "storage:create", VolumeCreateArgs{VolumeArgs: volume("new", "shop"), Size: "none"}, "E111"},
		{dora, "storage:set", VolumeSetArgs{VolumeArgs: volume("shop-data", ""), Size: "none"}, "E111"},
		// Who may read, changes nothing and reads no file.
		{rita, "storage:create", VolumeCreateArgs{VolumeArgs: volume("new", "shop")}, "E110"},
		{rita, "storage:set", VolumeSetArgs{VolumeArgs: volume("shop-data", ""), Size: "1g"}, "E110"},
		{rita, "storage:destroy", VolumeDestroyArgs{VolumeArgs: volume("shop-data", ""), Force: true}, "E110"},
		{rita, "storage:mount", MountArgs{App: "shop", What: "cache:/app/x"}, "E110"},
		// A name of several is one, for who sees one.
		{dora, "storage:destroy", VolumeDestroyArgs{VolumeArgs: volume("cache", "")}, "E621"},
		{free, "storage:destroy", VolumeDestroyArgs{VolumeArgs: volume("cache", "")}, "E606"},
		{free, "storage:destroy", VolumeDestroyArgs{VolumeArgs: volume("cache", "hidden")}, "E621"},
		{dora, "storage:destroy", VolumeDestroyArgs{VolumeArgs: volume("shop-data", "")}, "E621"},
	} {
		if got := codeOf(h.Call(t.Context(), row.user, row.verb, row.args, nil, nil)); got != row.want {
			t.Errorf("%s by %s with %+v: got %q, want %q", row.verb, row.user.Name, row.args, got, row.want)
		}
	}
	for _, verb := range []string{"storage:export", "storage:import", "storage:cat", "storage:put", "storage:exec"} {
		args := `{"name": "hidden-data", "path": "x", "args": ["ls"]}`
		if !strings.Contains("storage:cat storage:put", verb) {
			args = strings.Replace(args, `"path": "x", `, "", 1)
		}
		if verb != "storage:exec" {
			args = strings.Replace(args, `, "args": ["ls"]`, "", 1)
		}
		for _, user := range []store.User{dora, adam} {
			_, err := h.Do(t.Context(), Call{User: user, Streams: &runtime.Attachment{}}, verb, []byte(args))
			if got := codeOf(err); got != "E601" {
				t.Errorf("%s of another's volume by %s: %v", verb, user.Name, err)
			}
		}
		_, err := h.Do(t.Context(), Call{User: rita, Streams: &runtime.Attachment{}}, verb, []byte(strings.Replace(args, "hidden-data", "shop-data", 1)))
		if got := codeOf(err); got != "E110" {
			t.Errorf("%s by who may read: %v", verb, err)
		}
	}
}

func TestParseMount(t *testing.T) {
	for word, want := range map[string]mountWord{
		"data:/app/data":                 {volume: "data", path: "/app/data"},
		"data:/app/data/":                {volume: "data", path: "/app/data"},
		"data:/app/data:ro":              {volume: "data", path: "/app/data", readOnly: true},
		"data:/app/data:z":               {volume: "data", path: "/app/data"},
		"/srv/x:/app/data":               {host: "/srv/x", path: "/app/data"},
		"/srv/x/:/app/data":              {host: "/srv/x", path: "/app/data"},
		"/:/app/data":                    {host: "/", path: "/app/data"},
		dokkuDirectory + "old:/app/data": {volume: "old", path: "/app/data"},
		dokkuDirectory + "old/in:/app/x": {host: dokkuDirectory + "old/in", path: "/app/x"},
	} {
		if got, err := parseMount(word, ""); err != nil || got != want {
			t.Errorf("%s: got %+v, %v", word, got, err)
		}
	}
	for _, word := range []string{"", "data", ":/app", "data:", "/srv/../etc:/app/x", "/srv//x:/app/x", "data:/app:exec", "data:/app:ro:x", "DATA:/x", "../x:/x", "a b:/x"} {
		if got, err := parseMount(word, ""); err == nil {
			t.Errorf("%q: got %+v", word, got)
		}
	}
	if got, err := parseMount("data", "/app/data"); err != nil || got.path != "/app/data" {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := parseMount("data:/a", "/b"); codeOf(err) != "E611" {
		t.Errorf("two paths: %v", err)
	}
}
