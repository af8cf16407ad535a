package formation

import (
	"slices"
	"strings"
	"testing"

	"github.com/berthd/berth/store"
)

func TestCommand_EveryProcessHasAPort(t *testing.T) {
	for _, tt := range []struct {
		config map[string]string
		want   string
	}{
		{nil, "PORT=5000"},
		{map[string]string{"PORT": "8080"}, "PORT=8080"},
		{map[string]string{"PORT": "80"}, "PORT=80"},
		{map[string]string{"PORT": "abc"}, "PORT=5000"}, // stored before it was refused
		{map[string]string{"PORT": ""}, "PORT=5000"},
		{map[string]string{"PORT": "70000"}, "PORT=5000"},
	} {
		for _, name := range []string{"web.1", "worker.1", "release", "predeploy", "postdeploy", "run", "cron.1a2b3c4d.1"} {
			cmd := Command(store.App{Name: "shop"}, store.Release{Config: tt.config, Env: map[string]string{"PORT": "3000"}}, "true", name)
			var got []string
			for _, kv := range cmd.Env {
				if strings.HasPrefix(kv, "PORT=") {
					got = append(got, kv)
				}
			}
			if !slices.Equal(got, []string{tt.want}) {
				t.Errorf("%s with %v: got %q, want %s", name, tt.config, got, tt.want)
			}
		}
	}
}

func TestCommand_WhoWins(t *testing.T) {
	of := func(name string, env []string) (got []string) {
		for _, kv := range env {
			if strings.HasPrefix(kv, name+"=") {
				got = append(got, kv[len(name)+1:])
			}
		}
		return got
	}
	r := store.Release{
		Number: 7, Commit: "4f1c9ab", Env: map[string]string{"GIT_REV": "image", "DYNO": "image", "A": "image", "B": "image", "C": "image"},
		Global: map[string]string{"B": "global", "C": "global", "BERTH_PROCESS": "global"}, Config: map[string]string{"C": "own", "DYNO": "own"},
	}
	env := Command(store.App{Name: "shop"}, r, "true", "web.2").Env
	for name, want := range map[string]string{
		"GIT_REV": "4f1c9ab", "SOURCE_VERSION": "4f1c9ab", "BERTH_APP": "shop", "BERTH_RELEASE": "v7", "PORT": "5000",
		"A": "image", "B": "global", "C": "own", "DYNO": "own", "BERTH_PROCESS": "global",
	} {
		if got := of(name, env); !slices.Equal(got, []string{want}) {
			t.Errorf("%s is %q, want %q once", name, got, want)
		}
	}
	env = Command(store.App{Name: "shop"}, store.Release{Number: 7}, "true", "web.2").Env
	if got := of("DYNO", env); !slices.Equal(got, []string{"web.2"}) || len(of("GIT_REV", env)) != 0 {
		t.Errorf("without config and commit: DYNO %q, GIT_REV %q", got, of("GIT_REV", env))
	}
}
