package runtime

import (
	"os"
	"path/filepath"
	"testing"
)

// install.sh makes the base filesystem while berth is compiled, and leaves it here.
func TestStackTar_TakesWhatInstallHasMade(t *testing.T) {
	e := &Engine{LayerStore: &LayerStore{cfg: Config{Root: t.TempDir()}}}
	left := filepath.Join(e.cfg.Root, "stack", StackKey()+".tar")
	if err := os.MkdirAll(filepath.Dir(left), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(left, []byte("made"), 0o600); err != nil {
		t.Fatal(err)
	}
	tar, err := e.stackTar(t.Context(), StackKey(), t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(tar); err != nil || string(text) != "made" {
		t.Errorf("got %q, %v", text, err)
	}
	if _, err := os.Stat(left); err == nil {
		t.Error("it is kept beside the layer that comes of it")
	}
}
