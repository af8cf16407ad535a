package stack

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fakeBootstrap puts a mmdebstrap on the PATH that does this with the archive's name in $tar.
func fakeBootstrap(t *testing.T, does string) {
	t.Helper()
	if _, err := os.Stat(keyring); err != nil {
		t.Skipf("needs the package debian-archive-keyring: %v", err)
	}
	dir := t.TempDir()
	script := "#!/bin/sh\nfor tar; do :; done\n" + does + "\n"
	if err := os.WriteFile(filepath.Join(dir, "mmdebstrap"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

func entries(t *testing.T, dir string) string {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

func TestMake_LeavesTheArchiveUnderItsKey(t *testing.T) {
	fakeBootstrap(t, `echo "I: extracting"; echo made >"$tar"`)
	dir := filepath.Join(t.TempDir(), "stack")
	var out bytes.Buffer
	if err := Make(t.Context(), dir, &out); err != nil {
		t.Fatal(err)
	}
	if got, want := entries(t, dir), Key()+".tar"; got != want {
		t.Errorf("the directory has %q, want %q", got, want)
	}
	if !strings.Contains(out.String(), "I: extracting") {
		t.Errorf("mmdebstrap's words are lost: %q", &out)
	}
}

func TestMake_AFailureLeavesNothing(t *testing.T) {
	fakeBootstrap(t, `echo half >"$tar"; echo "E: no archive" >&2; exit 25`)
	dir := t.TempDir()
	var out bytes.Buffer
	err := Make(t.Context(), dir, &out)
	if err == nil || !strings.Contains(err.Error(), "mmdebstrap: exit status 25") || !strings.Contains(out.String(), "E: no archive") {
		t.Errorf("got %v, %q", err, &out)
	}
	if got := entries(t, dir); got != "" {
		t.Errorf("left are %q", got)
	}
}
