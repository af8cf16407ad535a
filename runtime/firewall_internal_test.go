package runtime

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// brokenNFT puts a program before the real nft. While a file of one of these
// names is in the directory that is returned, it fails: "all" every script,
// "walls" those in a container's namespace, "bridge" those with the bridge's
// table, "batch" those with both tables of the host. A failure says what the
// file says.
func brokenNFT(t *testing.T) (dir string) {
	t.Helper()
	real, err := exec.LookPath("nft")
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	script := `#!/bin/sh
case "$*" in *"-f -"*) ;; *) exec ` + real + ` "$@" ;; esac
input=$(cat)
fails() { if [ -e "` + dir + `/$1" ]; then cat "` + dir + `/$1" >&2; exit 1; fi; }
fails all
case "$input" in *"table inet berth {"*) fails walls ;; esac
case "$input" in *"table bridge"*) fails bridge ;; esac
case "$input" in *"table inet"*"table bridge"*) fails batch ;; esac
printf '%s\n' "$input" | ` + real + ` "$@"
`
	if err := os.WriteFile(filepath.Join(dir, "nft"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return dir
}

// breaks has nft fail with the message; the function that is returned mends it.
func breaks(t *testing.T, dir, what, message string) (mend func()) {
	t.Helper()
	name := filepath.Join(dir, what)
	if err := os.WriteFile(name, []byte(message+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
}

const (
	nftBusy        = "Error: Could not process rule: Device or resource busy"
	nftUnsupported = "Error: Could not process rule: Operation not supported"
)

// rulesOf are a container's wall in nft's words.
func (m machine) rulesOf(t *testing.T, id string) string {
	t.Helper()
	return command(t, "nsenter", "--net="+m.path(id), "nft", "list", "ruleset")
}

func TestSetLAN_IsAppliedByTheNextTryAfterAFailure(t *testing.T) {
	if !inOwnNetwork(t) {
		return
	}
	m := buildMachine(t, LAN{Mode: LANAllow})
	app, _ := m.container(t)
	dir := brokenNFT(t)
	lan := lanServer + ":80"
	allow, deny := LAN{Mode: LANAllow}, LAN{Mode: LANDeny}
	denied := func() bool {
		return strings.Contains(m.rulesOf(t, app), "192.168.0.0/16") && strings.Contains(command(t, "nft", "list", "table", "inet", m.firewall.table), "192.168.0.0/16")
	}
	tries := map[string]func() error{
		"network:set again": func() error { return m.setLAN(t.Context(), deny) },
		"the watch":         func() error { m.keep(t.Context()); return nil },
	}
	for _, what := range []string{"all", "walls"} {
		for name, try := range tries {
			when := what + " fail, then " + name
			mend := breaks(t, dir, what, nftBusy)
			if err := m.setLAN(t.Context(), deny); err == nil {
				t.Errorf("%s: a failure of nft is no error", when)
			}
			if err := m.setLAN(t.Context(), deny); err == nil {
				t.Errorf("%s: nft still fails, and the second call succeeds", when)
			}
			mend()
			if err := try(); err != nil {
				t.Errorf("%s: %v", when, err)
			}
			if !denied() {
				t.Errorf("%s: the LAN is not denied in both tables", when)
			}
			m.expect(t, when, app, map[string]bool{lan: false, internetServer + ":80": true})
			if err := m.setLAN(t.Context(), allow); err != nil {
				t.Fatal(err)
			}
			m.expect(t, when+", allowed again", app, map[string]bool{lan: true})
		}
	}

	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := m.setLAN(gone, deny); err != nil {
		t.Errorf("whoever asked is gone: %v", err)
	}
	if !denied() {
		t.Error("whoever asked is gone: the LAN is not denied in both tables")
	}
}

func TestRefresh_AppliesAnAddressAfterAFailure(t *testing.T) {
	if !inOwnNetwork(t) {
		return
	}
	m := buildMachine(t, LAN{})
	app, _ := m.container(t)
	mend := breaks(t, brokenNFT(t), "all", nftBusy)
	command(t, "ip", "address", "add", "11.0.9.9/32", "dev", "uplink")
	if err := m.refresh(t.Context()); err == nil {
		t.Error("a failure of nft is no error")
	}
	mend()
	m.keep(t.Context())
	if rules := m.rulesOf(t, app); !strings.Contains(rules, "11.0.9.9") {
		t.Errorf("the address is not in the container's rules:\n%s", rules)
	}
}

func TestFirewall_OneFailureDoesNotEndTheBridgesRules(t *testing.T) {
	if !inOwnNetwork(t) {
		return
	}
	m := buildMachine(t, LAN{Mode: LANAllow})
	dir := brokenNFT(t)
	mend := breaks(t, dir, "batch", nftBusy)
	if err := m.setLAN(t.Context(), LAN{Mode: LANDeny}); err == nil {
		t.Error("a failure of the whole transaction is no error")
	}
	mend()
	m.keep(t.Context())
	app, _ := m.container(t)
	if rules := m.bridgeRules(t); m.firewall.plain || !strings.Contains(rules, m.firewall.admitted()[app].String()) {
		t.Errorf("plain: %v; the container's port is not admitted:\n%s", m.firewall.plain, rules)
	}
}

func TestFirewall_BridgesAreFilteredOnceTheKernelCan(t *testing.T) {
	if !inOwnNetwork(t) {
		return
	}
	m := buildMachine(t, LAN{})
	dir := brokenNFT(t)
	mend := breaks(t, dir, "bridge", nftUnsupported)
	command(t, "nft", "delete", "table", "bridge", m.firewall.table)
	m.keep(t.Context())
	app, _ := m.container(t)
	if !m.firewall.plain {
		t.Fatal("the kernel takes no bridge's table, and that is not noted")
	}
	m.keep(t.Context())
	m.expect(t, "without rules for bridges", app, map[string]bool{internetServer + ":80": true, metadataServer + ":80": false})
	before := m.repairs()
	mend()
	m.keep(t.Context())
	if rules := m.bridgeRules(t); m.firewall.plain || !strings.Contains(rules, m.firewall.admitted()[app].String()) {
		t.Errorf("plain: %v; the container's port is not admitted:\n%s", m.firewall.plain, rules)
	}
	if m.repairs() != before {
		t.Error("rules that the kernel can have now are called another program's doing")
	}
	if n := strings.Count(m.said(), "no rules for bridges"); n != 1 {
		t.Errorf("%d warnings, want one:\n%s", n, m.said())
	}
}

// bridgeRules are the bridge's table in nft's words.
func (m machine) bridgeRules(t *testing.T) string {
	t.Helper()
	return command(t, "nft", "list", "table", "bridge", m.firewall.table)
}
