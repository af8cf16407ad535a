package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// installed runs a function of install.sh alone, with what note is given printed.
func installed(t *testing.T, function string, env ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", fmt.Sprintf(
		`eval "$(sed -n '/^%[1]s() {/,/^}/p' ../../install.sh)"; note() { echo "note: $*"; }; %[1]s`, function))
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", function, err, out)
	}
	return string(out)
}

// install.sh and the engine judge a runc alike (runtime.runcFixed).
func TestInstall_SaysWhatAnOldRuncMeans(t *testing.T) {
	dir := t.TempDir()
	path := "PATH=" + dir + ":" + os.Getenv("PATH")
	for prints, want := range map[string]string{
		"runc version 1.1.5+ds1\ncommit: 1.1.5+ds1-1+deb12u1": "runc is 1.1.5; ",
		"runc version 1.2.7":              "runc is 1.2.7; ",
		"runc version 1.2.8-rc.1":         "runc is 1.2.8-rc.1; ",
		"runc version 1.2.8":              "",
		"runc version 1.3.2":              "runc is 1.3.2; ",
		"runc version 1.3.3\nspec: 1.2.1": "",
		"runc version 1.3.10+ds1":         "",
		"runc version 1.4.0-rc.2":         "runc is 1.4.0-rc.2; ",
		"runc version 1.4.0-rc.3":         "",
		"runc version 1.4.0":              "",
		"runc version 2.0.1":              "",
		"crun version 1.14":               "runc is of an unknown version; ",
		"":                                "runc is of an unknown version; ",
	} {
		if err := os.WriteFile(filepath.Join(dir, "runc"), fmt.Appendf(nil, "#!/bin/sh\ncat <<'END'\n%s\nEND\n", prints), 0o755); err != nil {
			t.Fatal(err)
		}
		got := installed(t, "check_runc", path)
		if want == "" && got != "" {
			t.Errorf("%q: it says %q", prints, got)
		}
		if want != "" && (!strings.HasPrefix(got, "note: "+want) || !strings.Contains(got, "Dockerfiles are built one step at a time [E508]")) {
			t.Errorf("%q: it says %q, want %q and what it means", prints, got, want)
		}
	}
	// On a fresh machine the package comes later.
	bare := t.TempDir()
	for _, program := range []string{"bash", "sed"} {
		real, err := exec.LookPath(program)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(real, filepath.Join(bare, program)); err != nil {
			t.Fatal(err)
		}
	}
	if got := installed(t, "check_runc", "PATH="+bare); got != "" {
		t.Errorf("without a runc it says %q", got)
	}
}
