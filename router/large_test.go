package router

import (
	"fmt"
	"io"
	"net/http"
	"runtime"
	"testing"
	"time"
)

// zeroes is an endless body.
type zeroes struct{}

func (zeroes) Read(p []byte) (int, error) { return len(p), nil }

// heapWhile returns by how much the heap grew while do ran, at the most.
func heapWhile(do func()) (grown int64) {
	inUse := func() int64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapInuse + m.StackInuse)
	}
	runtime.GC()
	before := inUse()
	stop, most := make(chan struct{}), make(chan int64)
	go func() {
		highest := before
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				highest = max(highest, inUse())
			case <-stop:
				most <- highest
				return
			}
		}
	}()
	do()
	close(stop)
	return <-most - before
}

// A body is never in memory, whatever its length (2 GB take no more than these,
// and under the race detector half a minute): router, client and app are
// all in this process, and hold a few buffers together.
func TestLarge_BodiesTakeAFewBuffers(t *testing.T) {
	const bound = 16 << 20
	s := start(t, Config{})
	b := app(t, "1", func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "POST" {
			n, err := io.Copy(io.Discard, r.Body)
			fmt.Fprint(w, n, err)
			return
		}
		var size int64
		fmt.Sscan(r.URL.Query().Get("size"), &size)
		w.Header().Set("Content-Type", "application/octet-stream")
		io.CopyN(w, zeroes{}, size)
	})
	s.route(t, Options{Plain: true, MaxBody: -1}, b)
	for _, way := range []struct {
		name, scheme string
		size         int64
		client       func(*service, testing.TB) *http.Client
	}{
		{"HTTP/1.1", "http", 512 << 20, (*service).oldClient},
		{"HTTP/1.1 with TLS", "https", 64 << 20, (*service).oldClient},
		{"HTTP/2", "https", 64 << 20, (*service).client},
	} {
		t.Run(way.name, func(t *testing.T) {
			c, url := way.client(s, t), way.scheme+"://shop.localhost/"
			get(t, c, url+"?size=1") // what a connection costs is not the body's
			began := time.Now()
			up := heapWhile(func() {
				req, _ := http.NewRequestWithContext(t.Context(), "POST", url, io.LimitReader(zeroes{}, way.size))
				req.ContentLength = way.size
				res, err := c.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				defer res.Body.Close()
				if got, _ := io.ReadAll(res.Body); string(got) != fmt.Sprint(way.size, " <nil>") {
					t.Errorf("the app has read %s of %d", got, way.size)
				}
			})
			t.Logf("up %v, heap +%d KB", time.Since(began).Round(time.Millisecond), up>>10)
			began = time.Now()
			down := heapWhile(func() {
				req, _ := http.NewRequestWithContext(t.Context(), "GET", fmt.Sprintf("%s?size=%d", url, way.size), nil)
				res, err := c.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				defer res.Body.Close()
				if n, err := io.Copy(io.Discard, res.Body); n != way.size || err != nil {
					t.Errorf("read %d of %d, %v", n, way.size, err)
				}
			})
			t.Logf("down %v, heap +%d KB", time.Since(began).Round(time.Millisecond), down>>10)
			if up > bound || down > bound {
				t.Errorf("the heap grew by %d KB up and %d KB down, want at most %d", up>>10, down>>10, bound>>10)
			}
		})
	}
}
