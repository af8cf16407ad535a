package router

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// fleet is an app whose backends are replaced again and again, and what all of
// its versions together know of their clients.
type fleet struct {
	*service
	t        *testing.T
	finished atomic.Int64 // the version whose swap was the last to end

	mu   sync.Mutex
	last map[string]int // by client, the number that came last
}

// version is one set of backends.
type version struct {
	number   int
	servers  []*httptest.Server
	busy     chan struct{} // closed once each backend has had its share of requests
	replaced chan struct{} // closed when the next version has been swapped in
	plain    atomic.Int64  // requests under way, sockets not among them
	stopped  atomic.Bool
	since    time.Time // of its replacement
}

const (
	swaps       = 200
	share       = 3                      // requests that a backend is to have had before it is replaced
	socketGrace = 300 * time.Millisecond // a dozen swaps
)

func (f *fleet) version(number int) *version {
	v := &version{number: number, busy: make(chan struct{}), replaced: make(chan struct{})}
	idle := new(atomic.Int64)
	idle.Store(2)
	for range 2 {
		var requests atomic.Int64
		v.servers = append(v.servers, httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if v.stopped.Load() {
				f.t.Errorf("version %d got a request after its drain", number)
			}
			if r.Header.Get("Upgrade") != "" {
				f.talk(w, r, v)
				return
			}
			v.plain.Add(1)
			defer v.plain.Add(-1)
			f.answer(w, r, v)
			if r.URL.Path == "/" && requests.Add(1) == share && idle.Add(-1) == 0 {
				close(v.busy)
			}
		})))
	}
	return v
}

// answer says the version, the number of the request and the sum of its body.
// /slow is answered when the backend has been replaced.
func (f *fleet) answer(w http.ResponseWriter, r *http.Request, v *version) {
	client, n := r.Header.Get("Client"), r.Header.Get("Number")
	f.mu.Lock()
	if number, _ := strconv.Atoi(n); number != f.last[client]+1 {
		f.t.Errorf("%s: number %s came after %d", client, n, f.last[client])
	}
	f.last[client]++
	f.mu.Unlock()
	sum := sha256.New()
	if r.URL.Path == "/slow" {
		io.CopyN(sum, r.Body, 1000)
		<-v.replaced
	}
	if _, err := io.Copy(sum, r.Body); err != nil {
		f.t.Errorf("%s: the body of %s: %v", client, n, err)
	}
	fmt.Fprintf(w, "%d %s ", v.number, n)
	http.NewResponseController(w).Flush()
	io.WriteString(w, hex.EncodeToString(sum.Sum(nil)))
}

// talk answers each message of a WebSocket by the version and the message.
func (f *fleet) talk(w http.ResponseWriter, r *http.Request, v *version) {
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		f.t.Errorf("accept: %v", err)
		return
	}
	defer c.CloseNow()
	for {
		_, message, err := c.Read(r.Context())
		if err != nil || c.Write(r.Context(), websocket.MessageText, fmt.Appendf(nil, "%d %s", v.number, message)) != nil {
			return
		}
	}
}

// swapIn puts the version in place of the one before.
func (f *fleet) swapIn(v *version) *Drain {
	rt := Route{Name: "shop", Hosts: []string{"shop.localhost"}, Options: Options{Plain: true}}
	for n, srv := range v.servers {
		rt.Backends = append(rt.Backends, backendAt(fmt.Sprintf("%d.%d", v.number, n), srv.Listener.Addr().String()))
	}
	d, err := f.Swap(rt)
	if err != nil {
		f.t.Error(err)
	}
	f.finished.Store(int64(v.number))
	return d
}

// stop ends the version's backends as soon as the drain says so.
func (f *fleet) stop(v *version, d *Drain) {
	d.Wait(f.t.Context(), time.Minute, socketGrace)
	if n := v.plain.Load(); n != 0 {
		f.t.Errorf("version %d is drained with %d requests under way", v.number, n)
	}
	v.stopped.Store(true)
	for _, srv := range v.servers {
		srv.CloseClientConnections()
		srv.Close()
	}
}

// requests sends numbered requests at a constant rate, a GET and a POST by
// turns, and wants the answers of each in order.
func (f *fleet) requests(ctx context.Context, name, url string, c *http.Client) (n int) {
	tick := time.NewTicker(4 * time.Millisecond)
	defer tick.Stop()
	seen := int64(0)
	for n = 1; ctx.Err() == nil; n++ {
		<-tick.C
		method, body := http.MethodGet, ""
		var send io.Reader
		if n%2 == 0 {
			method, body = http.MethodPost, strings.Repeat(name, n%5*2000)
			if send = strings.NewReader(body); n%4 == 0 {
				send = io.MultiReader(send) // of a length that is not told
			}
		}
		floor := f.finished.Load()
		req, err := http.NewRequest(method, url, send)
		if err != nil {
			f.t.Error(err)
			return n
		}
		req.Header.Set("Client", name)
		req.Header.Set("Number", strconv.Itoa(n))
		res, err := c.Do(req)
		if err != nil {
			f.t.Errorf("%s: %s %d: %v", name, method, n, err)
			return n
		}
		text, err := io.ReadAll(res.Body)
		res.Body.Close()
		version, rest, _ := strings.Cut(string(text), " ")
		v, _ := strconv.ParseInt(version, 10, 64)
		if want := fmt.Sprintf("%d %x", n, sha256.Sum256([]byte(body))); err != nil || res.StatusCode != 200 || rest != want {
			f.t.Errorf("%s: %s %d: got %d %q, %v", name, method, n, res.StatusCode, text, err)
			return n
		}
		if v < max(floor, seen) {
			f.t.Errorf("%s: %s %d was answered by version %d, after %d was swapped in and %d seen", name, method, n, v, floor, seen)
		}
		seen = v
	}
	return n - 1
}

// sockets keeps a WebSocket open and exchanges numbered messages over it. It
// comes back when it has been cut, which is not before its grace is over.
func (f *fleet) sockets(ctx context.Context, name string, c *http.Client, versions []*version) (cut int) {
	for ctx.Err() == nil {
		floor := f.finished.Load()
		ws, _, err := websocket.Dial(context.Background(), "wss://shop.localhost/", &websocket.DialOptions{HTTPClient: c})
		if err != nil {
			f.t.Errorf("%s: %v", name, err)
			return cut
		}
		on, err := f.converse(ctx, ws, floor)
		if ctx.Err() == nil {
			cut++
			v := versions[on]
			select {
			case <-v.replaced:
				if lived := time.Since(v.since); lived < socketGrace {
					f.t.Errorf("%s: cut %v after version %d was replaced, its grace is %v: %v", name, lived, on, socketGrace, err)
				}
			default:
				f.t.Errorf("%s: cut while version %d served: %v", name, on, err)
			}
		}
		ws.CloseNow()
	}
	return cut
}

// converse exchanges messages until the socket is cut or ctx ends, and returns
// the version that it is with.
func (f *fleet) converse(ctx context.Context, ws *websocket.Conn, floor int64) (on int, err error) {
	on = int(floor)
	for n := 1; ctx.Err() == nil; n++ {
		if err := ws.Write(context.Background(), websocket.MessageText, []byte(strconv.Itoa(n))); err != nil {
			return on, err
		}
		_, message, err := ws.Read(context.Background())
		if err != nil {
			return on, err
		}
		version, number, _ := strings.Cut(string(message), " ")
		v, _ := strconv.Atoi(version)
		if n == 1 {
			on = v
		}
		if number != strconv.Itoa(n) || v != on || int64(v) < floor {
			return on, fmt.Errorf("message %d to version %d was answered by %q", n, on, message)
		}
		time.Sleep(5 * time.Millisecond) // the rate
	}
	return on, errors.New("the test is over")
}

func TestSwap_TwoHundredUnderLoadBreakNoSequence(t *testing.T) {
	f := &fleet{service: start(t, Config{}), t: t, last: map[string]int{}}
	versions := make([]*version, swaps+1)
	for n := range versions {
		versions[n] = f.version(n)
	}
	f.swapIn(versions[0])

	ctx, end := context.WithCancel(t.Context())
	var clients, drains sync.WaitGroup
	var requests, cut atomic.Int64
	for way, url := range map[string]string{"HTTP/2": "https://shop.localhost/", "TLS": "https://shop.localhost/", "plain": "http://shop.localhost/"} {
		client := f.client
		if way != "HTTP/2" {
			client = f.oldClient
		}
		kept, fresh := client(t), client(t)
		fresh.Transport.(*http.Transport).DisableKeepAlives = true
		for name, c := range map[string]*http.Client{way + " kept": kept, way + " new": fresh} {
			clients.Go(func() { requests.Add(int64(f.requests(ctx, name, url, c))) })
		}
		clients.Go(func() { f.requests(ctx, way+" slow", url+"slow", kept) })
	}
	for n := range 4 {
		clients.Go(func() { cut.Add(int64(f.sockets(ctx, fmt.Sprint("socket ", n), f.oldClient(t), versions))) })
	}
	for n := 1; n <= swaps; n++ {
		old := versions[n-1]
		<-old.busy
		d := f.swapIn(versions[n])
		old.since = time.Now() // the grace is counted from Wait, a little later
		close(old.replaced)
		drains.Go(func() { f.stop(old, d) })
	}
	end()
	close(versions[swaps].replaced) // for the slow ones
	clients.Wait()
	drains.Wait()
	f.stop(versions[swaps], f.Remove("shop"))
	if n := requests.Load(); n < swaps*share || cut.Load() == 0 {
		t.Errorf("%d requests were made and %d sockets cut, too few to tell anything", n, cut.Load())
	}
	t.Logf("%d requests, %d sockets cut; last numbers %v", requests.Load(), cut.Load(), slices.Sorted(maps.Values(f.last)))
}

// The moment between reading the table and claiming is too short to be met by
// load; this is what it comes to.
func TestClaim_OfADrainingBackendIsRefused(t *testing.T) {
	b := newBackend(backendAt("1", ""), Config{}.withDefaults())
	early, late := new(exchange), new(exchange)
	if !b.claim(early) {
		t.Fatal("a backend that serves cannot be claimed")
	}
	b.drain()
	if b.claim(late) {
		t.Error("a draining backend was claimed")
	}
	select {
	case <-b.empty:
		t.Error("a backend with a request is drained")
	default:
	}
	b.release(early)
	<-b.empty
}
