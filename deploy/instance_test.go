package deploy

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
			cmd := command(store.App{Name: "shop"}, store.Release{Config: tt.config, Env: map[string]string{"PORT": "3000"}}, "true", name)
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
