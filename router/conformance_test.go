package router

import (
	"encoding/xml"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// goTool returns the path of a program that a module in packaging pins, and
// which the go command builds once.
func goTool(t *testing.T, name string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "-C", "../packaging/"+name, "tool", "-n", name)
	var talk strings.Builder
	cmd.Stderr = &talk // and not in the path: the first time it says what it downloads
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("build %s: %v: %s", name, err, &talk)
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
	var found h2specReport
	var err error
	// An answer that is late is none to h2spec. On a busy machine it waits longer.
	for _, seconds := range []int{2, 10} {
		if found, err = h2spec(t, port, seconds); err == nil && found.asExpected() {
			break
		}
		t.Logf("waiting %d s for each answer: %d passed, failed %q: %v", seconds, found.passed, found.failed, err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d passed, %d failed, skipped %q", found.passed, len(found.failed), found.skipped)
	if !found.asExpected() {
		t.Errorf("%d passed, and failed:\n%q\nwant\n%q", found.passed, found.failed, h2specFailures)
	}
}

// h2specReport is what h2spec says of a server, with the names in order.
type h2specReport struct {
	failed, skipped []string
	passed          int
}

func (r h2specReport) asExpected() bool {
	return slices.Equal(r.failed, h2specFailures) && r.passed >= 140
}

// h2spec runs h2spec. An error says why there is no report, with h2spec's own words.
func h2spec(t *testing.T, port string, seconds int) (found h2specReport, err error) {
	t.Helper()
	report := filepath.Join(t.TempDir(), "report.xml")
	cmd := exec.CommandContext(t.Context(), goTool(t, "h2spec"), "--host", "127.0.0.1", "--port", port, "--tls", "--insecure",
		"--timeout", strconv.Itoa(seconds), "--junit-report", report)
	out, ran := cmd.CombinedOutput() // a failed test is a failed run
	text, err := os.ReadFile(report)
	if err != nil {
		return found, fmt.Errorf("h2spec left no report: %w: %v\n%s", err, ran, out)
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
		return found, fmt.Errorf("read h2spec's report: %w: %v\n%s", err, ran, out)
	}
	for _, suite := range suites.Suites {
		for _, c := range suite.Cases {
			switch name := c.Package + " " + c.Name; {
			case c.Failure != nil || c.Error != nil:
				found.failed = append(found.failed, name)
			case c.Skipped != nil:
				found.skipped = append(found.skipped, name)
			default:
				found.passed++
			}
		}
	}
	slices.Sort(found.failed)
	return found, nil
}
