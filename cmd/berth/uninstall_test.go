package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestReadManifest_RefusesWhatCannotBeRemovedSafely(t *testing.T) {
	for _, line := range []string{"directory /", "directory /var", "file etc/passwd", "file /etc/../etc/passwd", "directory /var/lib/berth/", "socket /run/x/y", "file",
		"firewall rm -rf /", "firewall ufw disable", "firewall ufw allow 80/tcp; reboot", "firewall firewall-cmd --permanent --delete-zone=public", "firewall firewall-cmd --permanent --new-zone=public"} {
		if items, err := readManifest(writeFile(t, filepath.Join(t.TempDir(), "manifest"), line+"\n")); err == nil {
			t.Errorf("%q: got %v, want an error", line, items)
		}
	}
}

func TestRemoveItems_WithoutPurgeKeepsData(t *testing.T) {
	dir := t.TempDir()
	program := writeFile(t, filepath.Join(dir, "bin", "berth"), "")
	stranger := writeFile(t, filepath.Join(dir, "bin", "other"), "")
	items := []item{{"file", "/etc/berth/manifest"}, {"user", "berth"}, {"file", program}, {"directory", "/var/lib/berth"}}

	var out strings.Builder
	if err := removeItems(t.Context(), items, false, &out); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(program); err == nil {
		t.Error("the program is still there")
	}
	if _, err := os.Stat(stranger); err != nil {
		t.Errorf("a file beside it: %v", err)
	}
	if got, want := out.String(), "       file "+program+"\n"; got != want {
		t.Errorf("said %q, want %q", got, want)
	}
}

func TestRemoveTree_DoesNotReachThroughAMount(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("mounting needs root")
	}
	precious := writeFile(t, filepath.Join(t.TempDir(), "precious", "file"), "")
	dir := filepath.Join(t.TempDir(), "going")
	point := filepath.Join(dir, "mount point")
	if err := os.MkdirAll(point, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := run(t.Context(), "mount", "--bind", filepath.Dir(precious), point); err != nil {
		t.Fatal(err)
	}
	if err := removeTree(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(precious); err != nil {
		t.Errorf("deleted through the mount: %v", err)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("the directory is still there")
	}
}

func TestReadSettings(t *testing.T) {
	file := writeFile(t, filepath.Join(t.TempDir(), "berth.env"), "# BERTH_STATE=/x\nBERTH_CONTAINERD=\"embedded\"\nBERTH_ENGINE=/srv/engine\n")
	s, err := readSettings(file)
	if err != nil {
		t.Fatal(err)
	}
	got := s.engine()
	if got.Containerd != "embedded" || got.Root != "/srv/engine" || got.State != "/run/berth" {
		t.Errorf("got %+v", got)
	}
}
