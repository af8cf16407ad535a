package router

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"
)

// autobahnCases are all cases of Autobahn's suite but those of size and speed
// (9) and of compression (12, 13), which is the app's own and takes minutes.
const autobahnCases = 247

// verdict is what the suite says of one case: of what came, of how the socket
// was closed, with what code, and after how many milliseconds.
type verdict struct {
	Behavior      string
	BehaviorClose string
	Code          int `json:"remoteCloseCode"`
	Duration      int
}

func (v verdict) String() string {
	return fmt.Sprintf("%s, closed %s with %d", v.Behavior, v.BehaviorClose, v.Code)
}

func (v verdict) failed() bool { return v.Behavior == "FAILED" || v.BehaviorClose == "FAILED" }

// autobahn runs cases of the suite against servers of WebSockets, each by a
// client of its own, and returns its verdicts by case and server.
func autobahn(t *testing.T, urls map[string]string, cases []string) map[string]map[string]verdict {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	var mu sync.Mutex // guards verdicts
	verdicts := map[string]map[string]verdict{}
	var wg sync.WaitGroup
	for server, url := range urls {
		dir := t.TempDir()
		wg.Go(func() {
			report, err := autobahnReport(ctx, dir, url, cases)
			if err != nil {
				t.Errorf("%s: %v", server, err)
			}
			mu.Lock()
			defer mu.Unlock()
			for name, v := range report {
				if verdicts[name] == nil {
					verdicts[name] = map[string]verdict{}
				}
				verdicts[name][server] = v
			}
		})
	}
	wg.Wait()
	return verdicts
}

func autobahnReport(ctx context.Context, dir, url string, cases []string) (map[string]verdict, error) {
	spec, err := json.Marshal(map[string]any{
		"outdir":              "/mnt", // as the suite knows dir
		"servers":             []map[string]string{{"agent": "server", "url": url}},
		"cases":               cases,
		"exclude-cases":       []string{"9.*", "12.*", "13.*"},
		"exclude-agent-cases": map[string]any{},
	})
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "spec.json"), spec, 0o644); err != nil {
		return nil, err
	}
	if out, err := exec.CommandContext(ctx, "../packaging/autobahn/wstest", dir).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("wstest: %w: %s", err, out)
	}
	text, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err != nil {
		return nil, err
	}
	var report struct {
		Server map[string]verdict `json:"server"`
	}
	err = json.Unmarshal(text, &report)
	return report.Server, err
}

// autobahnFaults are the cases that fail, or in which a way through the router
// differs from the direct one, each with what the suite says.
func autobahnFaults(verdicts map[string]map[string]verdict) map[string]string {
	faults := map[string]string{}
	for name, by := range verdicts {
		for _, way := range []string{"direct", "plain", "TLS"} {
			if by[way].failed() || by[way].String() != by["direct"].String() {
				faults[name] = fmt.Sprint(by)
			}
		}
	}
	return faults
}

// strictEcho is a server in which the suite finds no fault. It hears a client out
// whose socket it has closed: a reset would race with its last frame.
func strictEcho(t *testing.T) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c, err := new(websocket.Upgrader).Upgrade(w, r, nil)
		if err != nil {
			t.Errorf("upgrade: %v", err)
			return
		}
		defer c.Close()
		for {
			kind, msg, err := c.ReadMessage()
			if err != nil {
				break
			}
			if kind == websocket.TextMessage && !utf8.Valid(msg) {
				c.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseInvalidFramePayloadData, ""))
				break
			}
			if c.WriteMessage(kind, msg) != nil {
				return
			}
		}
		closeWrite(c.NetConn())
		c.NetConn().SetReadDeadline(time.Now().Add(20 * time.Second))
		io.Copy(io.Discard, c.NetConn())
	}
}

func TestConformance_AutobahnSaysOfTheRouterWhatItSaysOfTheApp(t *testing.T) {
	t.Parallel() // most of it is waiting
	debianTool(t, "mmdebstrap")
	if os.Getuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("CI must run this test, and it needs root")
		}
		t.Skip("this needs root")
	}
	s := start(t, Config{})
	b := app(t, "1", strictEcho(t))
	route := Route{Name: "shop", Hosts: []string{"127.0.0.1"}, Options: Options{Plain: true}, Backends: []Backend{b}}
	if _, err := s.Swap(route); err != nil {
		t.Fatal(err)
	}
	c, err := b.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	urls := map[string]string{"direct": "ws://" + c.RemoteAddr().String(), "plain": "ws://" + s.plain, "TLS": "wss://" + s.secure}
	verdicts := autobahn(t, urls, []string{"*"})
	if len(verdicts) != autobahnCases {
		t.Errorf("%d cases have run, want %d", len(verdicts), autobahnCases)
	}
	// The suite waits for half a second in the cases of UTF-8 and longer in others,
	// and a busy machine may take that. Such cases, and no others, are tried again,
	// if they are few.
	const patience, few = 500, 20
	for range 3 {
		var late []string
		for name := range autobahnFaults(verdicts) {
			for _, v := range verdicts[name] {
				if v.Duration >= patience && !slices.Contains(late, name) {
					late = append(late, name)
				}
			}
		}
		if len(late) == 0 || len(late) > few {
			break
		}
		t.Logf("too late, and tried again: %q", late)
		maps.Copy(verdicts, autobahn(t, urls, late))
	}
	faults := autobahnFaults(verdicts)
	for _, name := range slices.Sorted(maps.Keys(faults)) {
		t.Errorf("case %s: %s", name, faults[name])
	}
}
