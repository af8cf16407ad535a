package router

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

func TestPaces_AreATokenBucketByAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p paces
		pc := newPace(2, 4)
		a, b := address(netip.MustParseAddr("192.0.2.1")), address(netip.MustParseAddr("192.0.2.2"))
		burst := func(of address) (n int) {
			for p.take(of, pc, time.Now()) == 0 {
				n++
			}
			return n
		}
		for _, step := range []struct {
			sleep time.Duration
			want  int
		}{{0, 4}, {500 * time.Millisecond, 1}, {time.Second, 2}, {100 * time.Millisecond, 0}, {time.Hour, 4}} {
			time.Sleep(step.sleep)
			if got := burst(a); got != step.want {
				t.Errorf("after %v: %d requests passed, want %d", step.sleep, got, step.want)
			}
		}
		if got := burst(b); got != 4 {
			t.Errorf("another address got %d, want 4", got)
		}
		wait := p.take(a, pc, time.Now())
		if wait != 500*time.Millisecond {
			t.Errorf("told to wait %v, want 500ms", wait)
		}
		time.Sleep(wait)
		if p.take(a, pc, time.Now()) != 0 {
			t.Error("a request after the wait that it was told did not pass")
		}
		hourly := newPace(1.0/3600, 1)
		for p.take(a, hourly, time.Now()) == 0 {
		}
		if p.take(a, pc, time.Now()) != 0 {
			t.Error("an hourly limit goes on after its change")
		}
	})
}

func TestPaces_AFloodOfAddressesIsBounded(t *testing.T) {
	var p paces
	pc, now := newPace(1, 1), time.Now()
	for n := range 5 * maxVisitors {
		p.take(address(netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})), pc, now)
	}
	if len(p.young) > maxVisitors || len(p.old) > maxVisitors {
		t.Errorf("%d and %d addresses are kept, want at most %d each", len(p.young), len(p.old), maxVisitors)
	}
	if p.take(address(netip.AddrFrom4([4]byte{10, 2, 0x7f, 0xff})), pc, now) == 0 {
		t.Error("an address of just now was forgotten")
	}
}

func TestServe_RateAndRequestsAtOnceAreLimitedByAddress(t *testing.T) {
	s := start(t, Config{})
	entered, finish := make(chan struct{}, 2), make(chan struct{})
	rt := Route{Name: "shop", Hosts: []string{"shop.localhost"}, Options: Options{InFlight: 2}, Backends: []Backend{app(t, "1", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			entered <- struct{}{}
			<-finish
		}
	})}}
	set(t, s, rt)
	c, done := s.client(t), make(chan error, 2)
	for range 2 {
		go func() {
			res, err := c.Get("https://shop.localhost/slow")
			if err == nil {
				res.Body.Close()
			}
			done <- err
		}()
		<-entered
	}
	if res, body := get(t, c, "https://shop.localhost/"); res.StatusCode != 429 || !strings.Contains(body, "at once") {
		t.Errorf("a third request at once: got %d %q, want 429", res.StatusCode, body)
	}
	close(finish)
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	eventually(t, "requests that are over are counted out", func() bool {
		res, _ := get(t, c, "https://shop.localhost/")
		return res.StatusCode == 200
	})
	rt.Options = Options{Rate: 1.0 / 3600, Burst: 3}
	set(t, s, rt)
	var got []int
	var last *http.Response
	for range 4 {
		last, _ = get(t, c, "https://shop.localhost/")
		got = append(got, last.StatusCode)
	}
	if fmt.Sprint(got) != "[200 200 200 429]" {
		t.Errorf("got %v, want three and then 429", got)
	}
	var after int
	if fmt.Sscan(last.Header.Get("Retry-After"), &after); after < 3500 || after > 3600 {
		t.Errorf("Retry-After is %q, want an hour", last.Header.Get("Retry-After"))
	}
	if n := len(s.table.Load().routes.get("shop").visitors.inside); n != 0 {
		t.Errorf("%d addresses are counted as inside", n)
	}
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

func TestServe_LongBodiesAreRefusedInWords(t *testing.T) {
	s := start(t, Config{})
	var got atomic.Int64
	rt := Route{Name: "shop", Hosts: []string{"shop.localhost"}, Options: Options{MaxBody: 100 << 10}, Backends: []Backend{app(t, "1", func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		if err == nil {
			got.Store(n)
		}
	})}}
	set(t, s, rt)
	for _, proto := range []string{"HTTP/2", "HTTP/1.1"} {
		c := s.client(t)
		c.Transport.(*http.Transport).ForceAttemptHTTP2 = proto == "HTTP/2"
		for name, body := range map[string]io.Reader{
			"known length":   bytes.NewReader(make([]byte, 100<<10+1)),
			"unknown length": io.MultiReader(bytes.NewReader(make([]byte, 100<<10+1))),
		} {
			got.Store(-1)
			res, err := c.Post("https://shop.localhost/", "text/plain", body)
			if err != nil {
				t.Errorf("%s, %s: %v", proto, name, err)
				continue
			}
			text, _ := io.ReadAll(res.Body)
			res.Body.Close()
			if res.StatusCode != 413 || !strings.Contains(string(text), "up to 100 KiB") || got.Load() != -1 {
				t.Errorf("%s, %s: got %d %q, the app %d bytes; want 413 in words and nothing whole", proto, name, res.StatusCode, text, got.Load())
			}
		}
		res, err := c.Post("https://shop.localhost/", "text/plain", io.MultiReader(bytes.NewReader(make([]byte, 100<<10))))
		if err != nil || res.StatusCode != 200 || got.Load() != 100<<10 {
			t.Fatalf("%s: a body of just the length: got %v, %v, %d bytes", proto, res, err, got.Load())
		}
		res.Body.Close()
	}
	rt.Options.MaxBody = -1
	set(t, s, rt)
	res, err := s.client(t).Post("https://shop.localhost/", "text/plain", bytes.NewReader(make([]byte, 1<<20)))
	if err != nil || res.StatusCode != 200 {
		t.Errorf("without a limit: got %v, %v", res, err)
	}
}

func TestServe_SlowBodiesAreCut(t *testing.T) {
	s := start(t, Config{BodyGrace: 100 * time.Millisecond})
	ended := make(chan error, 1)
	set(t, s, Route{Name: "shop", Hosts: []string{"shop.localhost"}, Options: Options{MinBodyRate: 1 << 20}, Backends: []Backend{app(t, "1", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/talk" {
			http.NewResponseController(w).EnableFullDuplex()
			w.WriteHeader(200)
			http.NewResponseController(w).Flush()
		}
		_, err := io.Copy(w, r.Body)
		ended <- err
	})}})
	for _, proto := range []string{"HTTP/2", "HTTP/1.1"} {
		c := s.client(t)
		c.Transport.(*http.Transport).ForceAttemptHTTP2 = proto == "HTTP/2"
		body, client := io.Pipe()
		go io.WriteString(client, "a little")
		res, err := c.Post("https://shop.localhost/", "text/plain", body)
		if err != nil {
			t.Fatalf("%s: %v", proto, err)
		}
		res.Body.Close()
		client.Close()
		if res.StatusCode != http.StatusRequestTimeout {
			t.Errorf("%s: a body that stalls: got %d, want 408", proto, res.StatusCode)
		}
		if err := <-ended; err == nil {
			t.Errorf("%s: the app took the body for whole", proto)
		}
	}
	// A conversation may be silent.
	body, client := io.Pipe()
	res, err := s.client(t).Post("https://shop.localhost/talk", "text/plain", body)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	time.Sleep(300 * time.Millisecond) // three times what a body without an answer may stall
	io.WriteString(client, "still here")
	client.Close()
	if text, err := io.ReadAll(res.Body); string(text) != "still here" || err != nil {
		t.Errorf("the conversation gave %q, %v", text, err)
	}
}

func TestUpload_TheBackendsTimeIsNotTheClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body, client := io.Pipe()
		u := &upload{ReadCloser: body, max: -1, rate: 100, budget: 10 * time.Second, grace: 10 * time.Second,
			abort: func() { body.CloseWithError(io.ErrUnexpectedEOF) }}
		defer u.end()
		piece := make([]byte, 50)
		read := func(stall time.Duration) error {
			go func() { time.Sleep(stall); client.Write(piece) }()
			_, err := io.ReadFull(u, make([]byte, len(piece)))
			return err
		}
		for range 100 { // half a second's worth in as long
			if err := read(500 * time.Millisecond); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute) // the backend takes its time
		}
		if err := read(9 * time.Second); err != nil {
			t.Errorf("a stall within the grace: %v", err)
		}
		began := time.Now()
		if err := read(time.Minute); err == nil || u.refused() != &tooSlow || time.Since(began) > 2*time.Second {
			t.Errorf("a second stall lasted %v and gave %v, want about 1.5s until it is cut", time.Since(began), err)
		}
		time.Sleep(time.Minute) // until the writer has given up
	})
}

// A client that opens requests and takes them back at once must not make us
// work on more of them than a polite one could have.
func TestServe_RapidResetGetsNoMoreThanItsShare(t *testing.T) {
	s := start(t, Config{})
	var now, most atomic.Int64
	s.swap(t, "shop", []string{"shop.localhost"}, app(t, "1", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/polite" {
			says("welcome")(w, r)
			return
		}
		for n := now.Add(1); n > most.Load(); {
			most.Store(n)
		}
		<-r.Context().Done()
		now.Add(-1)
	}))
	c, err := tls.Dial("tcp", s.secure, &tls.Config{RootCAs: s.roots(), ServerName: "shop.localhost", NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	io.WriteString(c, http2.ClientPreface)
	framer := http2.NewFramer(c, c)
	framer.WriteSettings()
	var header bytes.Buffer
	enc := hpack.NewEncoder(&header)
	enc.SetMaxDynamicTableSizeLimit(0) // so that it can be sent again as it is
	enc.SetMaxDynamicTableSize(0)
	for _, f := range [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", "shop.localhost"}, {":path", "/"}} {
		enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
	}
	go io.Copy(io.Discard, c)
	for n := range uint32(3000) {
		id := 2*n + 1
		if framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: header.Bytes(), EndStream: true, EndHeaders: true}) != nil ||
			framer.WriteRSTStream(id, http2.ErrCodeCancel) != nil {
			break // net/http has had enough: it ends a connection that is four times ahead
		}
		if n == 1500 {
			if _, body := get(t, s.client(t), "https://shop.localhost/polite"); body != "welcome" {
				t.Errorf("another client got %q", body)
			}
		}
	}
	c.Close()
	eventually(t, "requests that were taken back end at the app too", func() bool { return now.Load() == 0 })
	if n := most.Load(); n > maxConcurrentStreams {
		t.Errorf("%d requests were with the app at once, want at most %d", n, maxConcurrentStreams)
	}
}
