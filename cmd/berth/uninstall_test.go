package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/berthd/berth/store/fault"
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
	var left leftovers
	removeItems(t.Context(), items, false, &out, &left)
	if err := left.fault(false); err != nil {
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

func TestRemoveItems_GoesOnPastWhatItCannotRemove(t *testing.T) {
	dir := t.TempDir()
	first, last := writeFile(t, filepath.Join(dir, "first"), ""), writeFile(t, filepath.Join(dir, "last"), "")
	items := []item{{"file", first}, {"file", "/proc/version"}, {"user", "no-such-user"}, {"directory", filepath.Join(dir, "gone")}, {"file", last}}
	var out strings.Builder
	var left leftovers
	removeItems(t.Context(), items, false, &out, &left)
	for _, name := range []string{first, last} {
		if _, err := os.Stat(name); err == nil {
			t.Errorf("%s is still there", name)
		}
	}
	f := fault.From(left.fault(true))
	if f == nil || f.Code != "E136" || len(f.Evidence) != 1 || !strings.Contains(f.Evidence[0], "/proc/version") {
		t.Fatalf("got %+v, want E136 that names /proc/version alone", f)
	}
	if text := strings.Join(f.Lines(0), "\n"); !strings.Contains(text, "berth uninstall --purge") {
		t.Errorf("got %s, want the command that goes on", text)
	}
}

// The next run needs the program, the list of what was made, and the settings.
func TestItem_WhatUninstallItselfNeeds(t *testing.T) {
	for it, want := range map[item]bool{
		{"file", "/usr/local/bin/berth"}: true, {"file", "/etc/berth/manifest"}: true, {"directory", "/etc/berth"}: true, {"file", "/etc/berth/berth.env"}: true,
		{"file", "/usr/local/lib/berth/service"}: false, {"directory", "/var/lib/berth"}: false, {"user", "berth"}: false, {"file", "/etc/berthing"}: false,
	} {
		if got := it.isUninstalls(); got != want {
			t.Errorf("%v: got %v, want %v", it, got, want)
		}
	}
}

func TestLeftovers_NamesEachOfJoinedErrors(t *testing.T) {
	var left leftovers
	left.add("", errors.Join(errors.New("one"), nil, errors.Join(errors.New("two"), errors.New("three"))))
	left.add("here", errors.New("four"))
	left.add("", nil)
	if want := []string{"one", "two", "three", "here: four"}; !slices.Equal(left, want) {
		t.Errorf("got %q, want %q", left, want)
	}
}

func TestUnitsThere_LeavesOutWhatAnEarlierRunRemoved(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "berth.service"), "")
	items := []item{{"unit", "berth.service"}, {"unit", "berth-http.socket"}, {"file", filepath.Join(dir, "berth.service")}}
	if got, want := unitsThere(items, dir), []string{"berth.service"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
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
