package runtime_test

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berthd/berth/runtime"
)

func TestBuildLayer_GivesWayToAllElse(t *testing.T) {
	open(t)
	seen := make(chan string, 1)
	out := writerFunc(func(p []byte) (int, error) {
		if strings.Contains(string(p), "go") {
			seen <- buildsGroup(t)
		}
		return len(p), nil
	})
	e, stack := shared.Engine, shared.Stack
	if err := e.BuildLayer(t.Context(), runtime.LayerSpec{Key: key(t), Parent: stack, UID: 20001, Commands: []runtime.Command{sh("echo go; sleep 0.5")}}, out); err != nil {
		t.Fatal(err)
	}
	group := <-seen
	if group == "" {
		t.Fatal("no group of builds had anything running in it")
	}
	// On a machine that is busy otherwise it may have been starved by now.
	has := map[string]string{}
	for _, name := range []string{"cpu.idle", "cpu.shares", "cpu.weight"} {
		value, _ := os.ReadFile(filepath.Join(group, name))
		has[name] = strings.TrimSpace(string(value))
	}
	if has["cpu.idle"] != "1" && has["cpu.shares"] != "128" && has["cpu.weight"] != "12" {
		t.Errorf("%s has %v, want it to be idle or of little weight", group, has)
	}
	if left, _ := filepath.Glob(filepath.Join(group, "*", "cgroup.procs")); len(left) != 0 {
		t.Errorf("%v is left", left)
	}
}

// buildsGroup returns the group of the builds, if one runs in it. Another
// installation may be building on this machine, so the group's name is that of
// the tests' own (see Open).
func buildsGroup(t *testing.T) string {
	sum := sha256.Sum256([]byte(filepath.Clean(shared.Config.Root)))
	name := "berth-builds-" + hex.EncodeToString(sum[:4])
	for _, pattern := range []string{"/sys/fs/cgroup/cpu/" + name + "/*/cgroup.procs", "/sys/fs/cgroup/" + name + "/*/cgroup.procs"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Error(err)
		}
		for _, procs := range found {
			if data, _ := os.ReadFile(procs); len(data) > 0 {
				return filepath.Dir(filepath.Dir(procs))
			}
		}
	}
	return ""
}
