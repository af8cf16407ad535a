package runtime

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestRuncFixed(t *testing.T) {
	for version, want := range map[string]bool{
		"0.1.1": false, "1.0.0-rc93": false, "1.0.0~rc10": false, "1.0.0": false, "1.1.5+ds1": false, "1.1.15": false, "1.1.12-0ubuntu2~22.04.1": false,
		"1.2.0-rc.3": false, "1.2.0": false, "1.2.7": false, "1.2.8-rc.1": false, "1.2.8": true, "1.2.8+dev": true, "1.2.9": true, "1.2.10": true,
		"1.3.0": false, "1.3.2": false, "1.3.3~rc1": false, "1.3.3": true, "1.3.3-0ubuntu1~24.04.2": true, "1.3.10": true, "1.3.3+ds1": true,
		"1.4.0-rc.1": false, "1.4.0-rc.2": false, "1.4.0-rc.3": true, "1.4.0-rc.10": true, "1.4.0": true, "1.4.1": true, "1.5.0-rc.1": true,
		"2.0.0": true, "v1.3.3": true, "v1.1.0": false,
		"": false, "next": false, "1": false, "1.3": false, "99999.0.0": false,
	} {
		output := "runc version " + version + "\ncommit: v1.9.9-0-g0\nspec: 1.2.1\ngo: go1.24.4\n"
		if got := runcFixed(output); got != want {
			t.Errorf("%q: %v, want %v", version, got, want)
		}
	}
	for _, output := range []string{"", "crun version 1.25\nspec: 1.0.0\n", "spec: 1.4.0\n", "runc: command not found"} {
		if runcFixed(output) {
			t.Errorf("%q counts as mended", output)
		}
	}
}

func TestRunc_LooksAgainWhenTheProgramIsAnother(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir+":/usr/bin:/bin")
	install := func(version string, at time.Time) {
		t.Helper()
		name := filepath.Join(dir, "runc")
		script := "#!/bin/sh\necho x >>" + dir + "/asked\necho 'runc version " + version + "'\n"
		if err := os.WriteFile(name, []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(name, at, at); err != nil {
			t.Fatal(err)
		}
	}
	var r runc
	install("1.1.5+ds1", time.Unix(1, 0))
	for range 3 {
		if fixed, version := r.fixed(t.Context()); fixed || version != "1.1.5+ds1" {
			t.Errorf("%v, %q", fixed, version)
		}
	}
	if asked, _ := os.ReadFile(filepath.Join(dir, "asked")); string(asked) != "x\n" {
		t.Errorf("it was asked %q", asked)
	}
	install("1.3.4+ds1", time.Unix(2, 0))
	if fixed, version := r.fixed(t.Context()); !fixed || version != "1.3.4+ds1" {
		t.Errorf("after an upgrade: %v, %q", fixed, version)
	}
	os.Remove(filepath.Join(dir, "runc"))
	t.Setenv("PATH", dir)
	if fixed, version := r.fixed(t.Context()); fixed || version != "not found" {
		t.Errorf("without one: %v, %q", fixed, version)
	}
}
