package router

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"golang.org/x/crypto/bcrypt"
)

// Whatever changes, those who are in go on as they began, and the backends are
// the same ones.
func TestSwap_ChangedOptionsTouchNoRequestUnderWay(t *testing.T) {
	s := start(t, Config{})
	rt := Route{Name: "shop", Hosts: []string{"shop.localhost"}, Backends: []Backend{app(t, "1", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			echo(t)(w, r)
			return
		}
		io.Copy(w, r.Body)
	})}}
	set(t, s, rt)
	before := s.table.Load().routes.get("shop").backends[0]
	ws := dialWebSocket(t, s, "shop.localhost")
	body, client := io.Pipe()
	answer := make(chan string, 1)
	c := s.client(t)
	go func() {
		res, err := c.Post("https://shop.localhost/", "text/plain", body)
		if err != nil {
			answer <- err.Error()
			return
		}
		defer res.Body.Close()
		text, _ := io.ReadAll(res.Body)
		answer <- string(text)
	}()
	io.WriteString(client, "first ")
	eventually(t, "the upload is with the app", func() bool { return before.load() == 2 })
	hash, err := bcrypt.GenerateFromPassword([]byte("x"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	rt.Options = Options{
		Balance: Sticky, Maintenance: true, MaxBody: 1, Rate: 0.001, InFlight: 1, HSTS: "max-age=1",
		Headers: []Header{{"X-A", "b"}}, Users: []User{{"alice", hash}}, Uncompressed: true,
	}
	for range 20 {
		if left := set(t, s, rt).Wait(t.Context(), 0, 0); left != 0 {
			t.Errorf("%d requests were cut", left)
		}
	}
	if s.table.Load().routes.get("shop").backends[0] != before {
		t.Error("the backend is another one")
	}
	if res, _ := get(t, c, "https://shop.localhost/"); res.StatusCode != 503 {
		t.Errorf("the next request gets %d, want the page of maintenance", res.StatusCode)
	}
	if err := echoes(t, ws, "still here"); err != nil {
		t.Errorf("the WebSocket: %v", err)
	}
	io.WriteString(client, "second")
	client.Close()
	if got := <-answer; got != "first second" {
		t.Errorf("the upload got %q", got)
	}
}

func TestServe_WebSocketsStickTooAndPassTheOptions(t *testing.T) {
	s := start(t, Config{})
	hash, err := bcrypt.GenerateFromPassword([]byte("x"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	set(t, s, Route{Name: "shop", Hosts: []string{"shop.localhost"}, Backends: []Backend{app(t, "1", echo(t)), app(t, "2", echo(t))}, Options: Options{
		Balance: Sticky, InFlight: 1, Users: []User{{"alice", hash}}, MaxBody: 1, HSTS: "max-age=1",
	}})
	c := s.client(t)
	c.Transport.(*http.Transport).ForceAttemptHTTP2 = false
	dial := func(user string) (*websocket.Conn, *http.Response, error) {
		req, _ := http.NewRequest("GET", "/", nil)
		req.SetBasicAuth(user, "x")
		ws, res, err := websocket.Dial(t.Context(), "wss://shop.localhost/", &websocket.DialOptions{HTTPClient: c, HTTPHeader: req.Header})
		if err == nil {
			t.Cleanup(func() { ws.CloseNow() })
		}
		return ws, res, err
	}
	if _, res, err := dial("bob"); err == nil || res.StatusCode != 401 {
		t.Errorf("a stranger's socket: got %v, %v", res, err)
	}
	eventually(t, "the stranger is counted out", func() bool {
		v := &s.table.Load().routes.get("shop").visitors
		v.mu.Lock()
		defer v.mu.Unlock()
		return len(v.inside) == 0
	})
	ws, res, err := dial("alice")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(res.Header.Get("Set-Cookie"), stickyCookie+"=") {
		t.Errorf("the handshake sets %q, want the cookie", res.Header.Get("Set-Cookie"))
	}
	if err := echoes(t, ws, "longer than a body may be"); err != nil {
		t.Error(err)
	}
	if _, res, err := dial("alice"); err == nil || res.StatusCode != 429 {
		t.Errorf("a second socket of the address: got %v, %v", res, err)
	}
}
