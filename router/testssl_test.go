package router

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What testssl.sh says of protocols, kinds of ciphers and forward secrecy.
func TestConformance_TestsslFindsModernTLSAlone(t *testing.T) {
	t.Parallel() // most of it is waiting
	tool := debianTool(t, "testssl")
	s := start(t, Config{})
	s.swap(t, "shop", []string{"shop.localhost"}, app(t, "1", says("hello")))
	report := filepath.Join(t.TempDir(), "report.json")
	cmd := exec.CommandContext(t.Context(), tool, "--quiet", "--color", "0", "--warnings", "off", "--assume-http", "--ip", "127.0.0.1",
		"--protocols", "--std", "--fs", "--jsonfile", report, "shop.localhost:"+s.secure[strings.LastIndexByte(s.secure, ':')+1:])
	out, _ := cmd.CombinedOutput() // its exit code counts findings
	text, err := os.ReadFile(report)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var findings []struct{ ID, Severity, Finding string }
	if err := json.Unmarshal(text, &findings); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	found := map[string]string{}
	for _, f := range findings {
		found[f.ID] = f.Finding
		if f.Severity != "OK" && f.Severity != "INFO" && f.ID != "engine_problem" { // that is of its own openssl
			t.Errorf("%s is %s: %s", f.ID, f.Severity, f.Finding)
		}
	}
	for id, want := range map[string]string{
		"SSLv2": "not offered", "SSLv3": "not offered", "TLS1": "not offered", "TLS1_1": "not offered",
		"TLS1_2": "offered", "TLS1_3": "offered with final", "ALPN_HTTP2": "h2",
		"cipherlist_NULL": "not offered", "cipherlist_aNULL": "not offered", "cipherlist_EXPORT": "not offered",
		"cipherlist_LOW": "not offered", "cipherlist_3DES_IDEA": "not offered", "cipherlist_AVERAGE": "not offered",
		"cipherlist_STRONG": "offered", "PFS": "offered",
	} {
		if got := found[id]; got != want {
			t.Errorf("%s: got %q, want %q", id, got, want)
		}
	}
}
