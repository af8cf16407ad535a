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
	var left leftovers
	kept := closeFirewall(t.Context(), items, &out, &left)
	want := "firewall-cmd --permanent --zone=public --remove-port=443/udp\nfirewall-cmd --permanent --delete-policy=berth-out\nfirewall-cmd --permanent --delete-zone=berth\n" +
		"ufw --force delete allow 2222/tcp\nufw --force delete allow 80/tcp\nufw --force delete allow in on berth0 to 192.0.2.1 port 53\nufw --force route delete allow in on berth0\nfirewall-cmd --reload\n"
	if got := calls(); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	if len(left) != 1 || !strings.Contains(left[0], "firewall rule ufw allow 2222/tcp: ufw --force delete allow 2222/tcp") {
		t.Errorf("left %q", left)
	}
	if err := writeManifest(name, kept); err != nil {
		t.Fatal(err)
	}
	if text, _ := os.ReadFile(name); string(text) != "directory /etc/berth\nfirewall ufw allow 2222/tcp\nfile /usr/local/bin/berth\n" {
		t.Errorf("the manifest is now:\n%s", text)
	}
}

func TestCloseFirewall_ProgramThatIsGone(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	var out strings.Builder
	var left leftovers
	if kept := closeFirewall(t.Context(), []item{{"firewall", "ufw allow 80/tcp"}}, &out, &left); len(kept) > 0 || len(left) > 0 || out.Len() > 0 {
		t.Errorf("kept %v, left %q, said %q", kept, left, &out)
	}
}

// A run of install.sh that was cut off has named a zone which it did not make.
func TestCloseFirewall_ZoneThatWasNeverMade(t *testing.T) {
	dir := t.TempDir()
	script := "#!/bin/sh\ncase $* in *--delete-zone=berth) echo 'Error: INVALID_ZONE: berth' >&2; exit 112 ;; *--delete-policy=*) echo 'Error: INVALID_POLICY: berth-out' >&2; exit 132 ;; *--remove-port*) echo 'Error: NOT_RUNNING' >&2; exit 252 ;; esac\n"
	if err := os.WriteFile(filepath.Join(dir, "firewall-cmd"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":/usr/bin:/bin")
	var out strings.Builder
	var left leftovers
	kept := closeFirewall(t.Context(), []item{{"firewall", "firewall-cmd --permanent --new-zone=berth"}, {"firewall", "firewall-cmd --permanent --new-policy=berth-out"},
		{"firewall", "firewall-cmd --permanent --zone=public --add-port=80/tcp"}}, &out, &left)
	if len(kept) != 1 || len(left) != 1 || !strings.Contains(left[0], "--add-port=80/tcp") {
		t.Errorf("kept %v, left %q; want the port alone", kept, left)
	}
}
