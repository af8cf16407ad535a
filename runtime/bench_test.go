package runtime_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/berthd/berth/runtime"
)

// steps collects the engine's own account of where the time goes.
type steps struct {
	slog.Handler
	mu   sync.Mutex
	took map[string][]time.Duration
}

func (s *steps) Enabled(context.Context, slog.Level) bool { return true }

func (s *steps) Handle(_ context.Context, r slog.Record) error {
	if r.Message != "step" {
		return nil
	}
	var name string
	var took time.Duration
	r.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "verb":
			name = a.Value.String() + name
		case "step":
			name += " " + a.Value.String()
		case "took":
			took = a.Value.Duration()
		}
		return true
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.took[name] = append(s.took[name], took)
	return nil
}

func (s *steps) report(b *testing.B) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(s.took)) {
		all := slices.Sorted(slices.Values(s.took[name]))
		b.Logf("%-20s min %8.1f ms  median %8.1f ms", name, ms(all[0]), ms(all[len(all)/2]))
	}
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// BenchmarkContainer takes a container through its life and reports each verb
// by itself, in milliseconds, and the engine's own steps with -v.
func BenchmarkContainer(b *testing.B) {
	open(b)
	account := &steps{took: make(map[string][]time.Duration)}
	shared.Log = slog.New(account)
	if err := shared.Reopen(); err != nil {
		b.Fatal(err)
	}
	e, stack := shared.Engine, shared.Stack
	total := make(map[string][]time.Duration)
	for b.Loop() {
		last := time.Now()
		lap := func(verb string) {
			now := time.Now()
			total[verb] = append(total[verb], now.Sub(last))
			last = now
		}
		c, err := e.Create(b.Context(), runtime.Spec{ID: runtime.NewID(), Layer: stack, UID: 20001})
		if err != nil {
			b.Fatal(err)
		}
		lap("create")
		if err := c.Launch(b.Context(), runtime.Command{Args: []string{"sleep", "100"}}); err != nil {
			b.Fatal(err)
		}
		lap("launch")
		if err := c.Stop(b.Context(), 10*time.Second); err != nil {
			b.Fatal(err)
		}
		lap("stop")
		if err := c.Remove(b.Context()); err != nil {
			b.Fatal(err)
		}
		lap("remove")
	}
	for verb, all := range total {
		slices.Sort(all)
		b.ReportMetric(ms(all[len(all)/2]), fmt.Sprintf("ms-%s", verb))
	}
	account.report(b)
}

func BenchmarkListening(b *testing.B) {
	c := create(b, runtime.Spec{})
	launch(b, c, sh(server, "ADDR=127.0.0.1", "PORT=5000"))
	listening(b, c)
	for b.Loop() {
		if _, err := c.Listening(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDial(b *testing.B) {
	c := create(b, runtime.Spec{})
	launch(b, c, sh(server, "ADDR=127.0.0.1", "PORT=5000"))
	addr := listening(b, c)
	for b.Loop() {
		conn, err := c.Dial(b.Context(), addr)
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer() // the answer is read, lest the server's queue overflows
		conn.Write([]byte("\r\n"))
		io.Copy(io.Discard, conn)
		conn.Close()
		b.StartTimer()
	}
}
