package stack

import (
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
)

func reach(t *testing.T, env ...string) (string, error) {
	t.Helper()
	program := exec.CommandContext(t.Context(), "bash", "-c", Reach)
	program.Env = append(os.Environ(), env...)
	out, err := program.CombinedOutput()
	return string(out), err
}

func TestReach_NamesTheHostThatDoesNotAnswer(t *testing.T) {
	if _, err := exec.LookPath("apt-get"); err != nil {
		t.Skip("needs apt")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	proxy := l.Addr().String()
	if out, err := reach(t, "http_proxy=http://user:secret@"+proxy+"/"); err != nil {
		t.Errorf("a proxy that answers: %v: %s", err, out)
	}
	l.Close()
	out, err := reach(t, "http_proxy=http://user:secret@"+proxy+"/")
	if err == nil || !strings.Contains(out, "cannot connect to "+proxy) || strings.Contains(out, "secret") {
		t.Errorf("a proxy that is away: %v, %q", err, out)
	}
	out, err = reach(t, "http_proxy=http://archives.invalid:3128")
	if err == nil || !strings.Contains(out, "cannot resolve archives.invalid") {
		t.Errorf("a proxy whose name does not exist: %v, %q", err, out)
	}
}

func TestReach_WithoutANetwork(t *testing.T) {
	if out, err := exec.Command("unshare", "--net", "apt-get", "--version").CombinedOutput(); err != nil {
		t.Skipf("needs root and apt: %s", out)
	}
	out, err := exec.CommandContext(t.Context(), "unshare", "--net", "bash", "-c", Reach).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "cannot resolve ") {
		t.Errorf("got %v, %q, want the hosts that cannot be resolved", err, out)
	}
}
