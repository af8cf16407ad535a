package router

import (
	"encoding/xml"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// goTool returns the path of a program that a module in packaging pins, and
// which the go command builds once.
func goTool(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "-C", "../packaging/"+name, "tool", "-n", name).CombinedOutput()
	if err != nil {
		t.Fatalf("build %s: %v: %s", name, err, out)
	}
	return strings.TrimSpace(string(out))
}

// h2specFailures are what h2spec finds wrong with net/http's server. Each is
// harmless: it resets the stream or answers 400 where h2spec would end the
// connection, or reads the last of two values.
var h2specFailures = []string{
	"http2/4.2 Sends a large size HEADERS frame that exceeds the SETTINGS_MAX_FRAME_SIZE",
	"http2/6.5.3 Sends multiple values of SETTINGS_INITIAL_WINDOW_SIZE",
	"http2/8.1.2.2 Sends a HEADERS frame that contains the TE header field with any value other than \"trailers\"",
	"http2/8.1.2.2 Sends a HEADERS frame that contains the connection-specific header field",
}

func TestConformance_H2SpecFindsWhatItFindsOfGoItself(t *testing.T) {
	t.Parallel() // most of it is waiting
	s := start(t, Config{})
	s.swap(t, "shop", []string{"127.0.0.1"}, app(t, "1", func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, "hello")
	}))
	_, port, _ := net.SplitHostPort(s.secure)
	report := filepath.Join(t.TempDir(), "report.xml")
	cmd := exec.CommandContext(t.Context(), goTool(t, "h2spec"), "--host", "127.0.0.1", "--port", port, "--tls", "--insecure", "--timeout", "2", "--junit-report", report)
	out, _ := cmd.CombinedOutput() // a failed test is a failed run
	text, err := os.ReadFile(report)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var suites struct {
		Suites []struct {
			Cases []struct {
				Package string  `xml:"package,attr"`
				Name    string  `xml:"classname,attr"`
				Failure *string `xml:"failure"`
				Error   *string `xml:"error"`
				Skipped *string `xml:"skipped"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal(text, &suites); err != nil {
		t.Fatal(err)
	}
	var failed, skipped []string
	passed := 0
	for _, suite := range suites.Suites {
		for _, c := range suite.Cases {
			switch name := c.Package + " " + c.Name; {
			case c.Failure != nil || c.Error != nil:
				failed = append(failed, name)
			case c.Skipped != nil:
				skipped = append(skipped, name)
			default:
				passed++
			}
		}
	}
	t.Logf("%d passed, %d failed, skipped %q", passed, len(failed), skipped)
	slices.Sort(failed)
	if !slices.Equal(failed, h2specFailures) || passed < 140 {
		t.Errorf("%d passed, and failed:\n%q\nwant\n%q", passed, failed, h2specFailures)
	}
}
