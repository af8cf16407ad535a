package deploy

import (
	"slices"
	"testing"
)

func TestBuilds_HaveAPort(t *testing.T) {
	if env := configEnv(map[string]string{"A": "1"}); !slices.Contains(env, "PORT=5000") || !slices.Contains(env, "BERTH_CONFIG=A") {
		t.Errorf("without one in the config: got %q", env)
	}
	if env := configEnv(map[string]string{"PORT": "8080"}); !slices.Contains(env, "PORT=8080") || slices.Contains(env, "PORT=5000") {
		t.Errorf("with one in the config: got %q", env)
	}
}
