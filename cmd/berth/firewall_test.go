package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fakePrograms puts programs before all others that write down how they are
// called; ufw fails for rules of port 2222.
func fakePrograms(t *testing.T, names ...string) (calls func() string) {
	t.Helper()
	dir := t.TempDir()
	log := filepath.Join(dir, "calls")
	for _, name := range names {
		script := fmt.Sprintf("#!/bin/sh\necho \"${0##*/} $*\" >>%s\ncase $* in *2222*) echo no such rule; exit 1 ;; esac\n", log)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+":/usr/bin:/bin")
	return func() string {
		text, _ := os.ReadFile(log)
		return string(text)
	}
}

func TestCloseFirewall_TakesBackWhatTheManifestHasInItsOrder(t *testing.T) {
	const manifest = "directory /etc/berth\nfirewall ufw route allow in on berth0\nfirewall ufw allow in on berth0 to 192.0.2.1 port 53\n" +
		"firewall ufw allow 80/tcp\nfirewall ufw allow 2222/tcp\nfirewall firewall-cmd --permanent --new-zone=berth\n" +
		"firewall firewall-cmd --permanent --new-policy=berth-out\nfirewall firewall-cmd --permanent --zone=public --add-port=443/udp\nfile /usr/local/bin/berth\n"
	name := writeFile(t, filepath.Join(t.TempDir(), "manifest"), manifest)
	items, err := readManifest(name)
	if err != nil {
		t.Fatal(err)
	}
	calls := fakePrograms(t, "ufw", "firewall-cmd")
	var out strings.Builder
	left := closeFirewall(t.Context(), items, &out)
	want := "firewall-cmd --permanent --zone=public --remove-port=443/udp\nfirewall-cmd --permanent --delete-policy=berth-out\nfirewall-cmd --permanent --delete-zone=berth\n" +
		"ufw --force delete allow 2222/tcp\nufw --force delete allow 80/tcp\nufw --force delete allow in on berth0 to 192.0.2.1 port 53\nufw --force route delete allow in on berth0\nfirewall-cmd --reload\n"
	if got := calls(); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	if !strings.Contains(out.String(), "warning: a firewall rule is left: ufw --force delete allow 2222/tcp") {
		t.Errorf("said %q", &out)
	}
	if err := writeManifest(name, left); err != nil {
		t.Fatal(err)
	}
	if text, _ := os.ReadFile(name); string(text) != "directory /etc/berth\nfirewall ufw allow 2222/tcp\nfile /usr/local/bin/berth\n" {
		t.Errorf("the manifest is now:\n%s", text)
	}
}

func TestCloseFirewall_ProgramThatIsGone(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	var out strings.Builder
	if left := closeFirewall(t.Context(), []item{{"firewall", "ufw allow 80/tcp"}}, &out); len(left) > 0 || out.Len() > 0 {
		t.Errorf("left %v, said %q", left, &out)
	}
}
