package router

import (
	"bytes"
	"encoding/csv"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// debianTool is a program that packaging/test installs.
func debianTool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("%s is missing", name)
		}
		t.Skipf("this needs %s", name)
	}
	return path
}

// The attacks of slowhttptest, by 100 connections: whoever else asks is
// answered, and what holds a place by its slowness loses it.
func TestConformance_SlowClientsHinderNobody(t *testing.T) {
	t.Parallel()
	tool := debianTool(t, "slowhttptest")
	page := bytes.Repeat([]byte("a line of a page that is longer than what the kernel takes at once\n"), 300_000)
	for name, args := range map[string][]string{
		"headers": {"-H", "-i", "1", "-l", "30"},
		"body":    {"-B", "-i", "1", "-s", "100000", "-x", "2", "-l", "30"},
		"read":    {"-X", "-w", "10", "-y", "20", "-n", "1", "-z", "5", "-l", "30"},
		"range":   {"-R", "-a", "1", "-b", "3000", "-l", "30"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // most of it is waiting
			s := start(t, Config{HeaderTimeout: 2 * time.Second, BodyGrace: 2 * time.Second, IdleTimeout: 2 * time.Second, SendTimeout: 2 * time.Second})
			_, err := s.Swap(Route{
				Name: "shop", Hosts: []string{"127.0.0.1", "shop.localhost"}, Options: Options{Plain: true},
				Backends: []Backend{app(t, "1", func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/small" {
						io.WriteString(w, "hello")
						return
					}
					io.Copy(io.Discard, r.Body)
					http.ServeContent(w, r, "page.txt", time.Unix(1, 0), bytes.NewReader(page))
				})},
			})
			if err != nil {
				t.Fatal(err)
			}
			report := filepath.Join(t.TempDir(), "report")
			args := append(args, "-c", "100", "-r", "100", "-p", "10", "-g", "-o", report, "-u", "http://"+s.plain+"/")
			attack := exec.CommandContext(t.Context(), tool, args...)
			var out bytes.Buffer
			attack.Stdout, attack.Stderr = &out, &out
			if err := attack.Start(); err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- attack.Wait() }()
			c := s.client(t)
			for asked := 0; ; asked++ {
				if res, body := get(t, c, "https://shop.localhost/small"); res.StatusCode != 200 || body != "hello" {
					t.Fatalf("somebody else got %d %q", res.StatusCode, body)
				}
				if st, _ := s.Stats("shop"); name == "read" && st.InFlight == 0 && st.Requests > uint64(asked)+100 {
					attack.Process.Kill() // it does not notice that its connections are gone
					<-ended
					return
				}
				select {
				case err := <-ended:
					if err != nil {
						t.Fatalf("%v\n%s", err, &out)
					}
					t.Logf("%d others were answered", asked+1)
				case <-time.After(100 * time.Millisecond):
					continue
				}
				break
			}
			if name == "read" {
				t.Fatal("the answers were held as long as the attack lasted")
			}
			text, err := os.ReadFile(report + ".csv")
			if err != nil {
				t.Fatal(err)
			}
			rows, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
			if err != nil || len(rows) < 3 || strings.Join(rows[0], ",") != "Seconds,Closed,Pending,Connected,Service Available" {
				t.Fatalf("%v\n%s", err, text)
			}
			t.Logf("%v, then %q", rows[len(rows)-1], conclusion(out.String()))
			if got, want := conclusion(out.String()), "No open connections left"; got != want {
				t.Errorf("it ended with %q, want %q", got, want)
			}
			for _, row := range rows[1:] {
				if row[4] == "0" {
					t.Errorf("the service was not available after %s s", row[0])
				}
			}
		})
	}
}

// conclusion is what slowhttptest says why it ended.
func conclusion(out string) string {
	_, why, _ := strings.Cut(out, "Exit status:")
	why, _, _ = strings.Cut(why, "\n")
	_, why, _ = strings.Cut(why, "m ") // its colour
	return strings.TrimSpace(why)
}
