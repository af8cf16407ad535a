package runtime

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// A volume's files are the app's: through a link of its image they must not get
// to where berth's first program is, or into another volume.
func TestCheckTargets_RefusesLinks(t *testing.T) {
	upper, lower := t.TempDir(), t.TempDir()
	for _, dir := range []string{"app/data", "app/replaced", "srv"} {
		if err := os.MkdirAll(filepath.Join(lower, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(upper, "app/hidden"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]string{
		filepath.Join(lower, "data"):         "/.berth",
		filepath.Join(lower, "srv/deep"):     "../.berth",
		filepath.Join(upper, "app/replaced"): "/.berth",
		filepath.Join(lower, "app/hidden"):   "/.berth", // a directory lies over it
	} {
		if err := os.Symlink(to, name); err != nil {
			t.Fatal(err)
		}
	}
	for target, ok := range map[string]bool{
		"/app/data": true, "/app/none/deep": true, "/app/hidden": true, "/app/hidden/deep": true,
		"/data": false, "/data/deep": false, "/srv/deep": false, "/app/replaced": false, "/app/replaced/x": false,
	} {
		err := checkTargets([]string{upper, lower}, []Mount{{Target: target}})
		if errors.Is(err, ErrLinkedTarget) == ok || ok && err != nil {
			t.Errorf("%s: %v", target, err)
		}
	}
	if err := checkTargets(nil, nil); err != nil {
		t.Error(err)
	}
}
