package router

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/chromedp/chromedp"
	"github.com/coder/websocket"
)

// A browser that has the page by HTTP/2 gets its WebSocket by HTTP/1.1.
func TestWebSocket_OfABrowserThatSpeaksHTTP2(t *testing.T) {
	t.Parallel()
	path := debianTool(t, "chromium")
	s := start(t, Config{})
	s.swap(t, "shop", []string{"shop.localhost"}, app(t, "1", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/socket" {
			echo(t)(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, "<title>shop</title>")
	}))
	ctx, cancel := chromedp.NewExecAllocator(t.Context(),
		chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()), chromedp.Flag("headless", "new"),
		chromedp.NoSandbox, chromedp.IgnoreCertErrors, chromedp.Flag("disable-gpu", true), chromedp.Flag("no-first-run", true),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true), chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.Flag("no-proxy-server", true), chromedp.Flag("host-resolver-rules", "MAP * 127.0.0.1"),
	)
	defer cancel()
	ctx, cancel = chromedp.NewContext(ctx)
	defer cancel()
	_, port, _ := net.SplitHostPort(s.secure)
	if err := chromedp.Do(ctx, chromedp.Navigate("https://shop.localhost:"+port+"/")); err != nil {
		t.Fatal(err)
	}
	protocol, err := chromedp.Run(ctx, chromedp.Evaluate[string](`performance.getEntriesByType("navigation")[0].nextHopProtocol`))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := chromedp.Run(ctx, chromedp.Evaluate[string](`new Promise((done) => {
		const socket = new WebSocket("wss://" + location.host + "/socket");
		socket.onopen = () => socket.send("hello");
		socket.onmessage = (event) => done("echo " + event.data);
		socket.onclose = (event) => done("closed " + event.code);
	})`, chromedp.EvalAwaitPromise))
	if err != nil || protocol != "h2" || answer != "echo hello" {
		t.Errorf("the page came by %q, the socket says %q, %v", protocol, answer, err)
	}
}

// frame is one of RFC 6455, as clients send it.
func frame(first byte, payload string) string {
	b := []byte{first}
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	key := []byte{1, 2, 3, 4}
	b = append(b, key...)
	for i := range len(payload) {
		b = append(b, payload[i]^key[i%4])
	}
	return string(b)
}

// The first bytes of frames.
const (
	fin, text, binaryFrame, closing, ping, pong = 0x80, 0x81, 0x82, 0x88, 0x89, 0x8a
)

// socketEnd is how a client ends a socket.
var socketEnd = frame(closing, "\x03\xe8bye")

// socketCases are of the kinds that Autobahn's suite has: framing, pings,
// reserved bits and opcodes, fragments, UTF-8, closing. Each ends the socket.
func socketCases() map[string]string {
	end := socketEnd
	cases := map[string]string{
		"ping":                            frame(ping, "") + frame(ping, "\x00\xff\xfe") + frame(ping, strings.Repeat("p", 125)) + end,
		"long ping":                       frame(ping, strings.Repeat("p", 126)),
		"pong unasked":                    frame(pong, "hello") + frame(text, "after") + end,
		"fragments":                       frame(0x01, "one ") + frame(0x00, "") + frame(fin, "two") + end,
		"ping between fragments":          frame(0x01, "one ") + frame(ping, "p") + frame(fin, "two") + end,
		"fragment of nothing":             frame(fin, "two"),
		"message within a message":        frame(0x01, "one") + frame(text, "two"),
		"fragmented ping":                 frame(0x09, "p"),
		"UTF-8":                           frame(text, "κόσμε \U0001F600") + end,
		"UTF-8 over fragments":            frame(0x01, "\xce") + frame(fin, "\xba") + end,
		"no UTF-8":                        frame(text, "\xce\xba\xed\xa0\x80"),
		"unmasked":                        "\x81\x02hi",
		"length with its highest bit set": "\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x02\x03\x04",
		"close without a code":            frame(closing, ""),
		"close with half a code":          frame(closing, "\x03"),
		"close with a long reason":        frame(closing, "\x03\xe8"+strings.Repeat("x", 124)),
		"data after close":                end + frame(text, "late"),
	}
	for _, n := range []int{0, 1, 125, 126, 127, 128, 65535, 65536, 200_000} {
		cases[fmt.Sprintf("text of %d", n)] = frame(text, strings.Repeat("*", n)) + end
		cases[fmt.Sprintf("bytes of %d", n)] = frame(binaryFrame, strings.Repeat("\xfe", n)) + end
	}
	for _, bits := range []byte{0x10, 0x20, 0x40, 0x70} {
		cases[fmt.Sprintf("reserved bits %#x", bits)] = frame(text, "one") + frame(text|bits, "two")
	}
	for _, opcode := range []byte{3, 4, 5, 6, 7, 11, 12, 13, 14, 15} {
		cases[fmt.Sprintf("reserved opcode %d", opcode)] = frame(text, "one") + frame(fin|opcode, "two")
	}
	for _, code := range []uint16{0, 999, 1000, 1001, 1003, 1004, 1005, 1006, 1007, 1011, 1015, 1016, 2999, 3000, 4999, 5000, 65535} {
		cases[fmt.Sprintf("close with %d", code)] = frame(closing, string(binary.BigEndian.AppendUint16(nil, code)))
	}
	return cases
}

// The router changes nothing of a socket: whatever a client sends, it gets what
// it would have got of the app itself.
func TestWebSocket_FramesPassAsTheyAre(t *testing.T) {
	t.Parallel()
	s := start(t, Config{})
	b := app(t, "1", func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			t.Errorf("accept: %v", err)
			return
		}
		defer c.CloseNow()
		c.SetReadLimit(1 << 20)
		for {
			kind, msg, err := c.Read(r.Context())
			if err == nil && kind == websocket.MessageText && !utf8.Valid(msg) {
				c.Close(websocket.StatusInvalidFramePayloadData, "")
				return
			}
			if err != nil || c.Write(r.Context(), kind, msg) != nil {
				return
			}
		}
	})
	s.route(t, Options{Plain: true}, b)
	dials := map[string]func() (net.Conn, error){
		"direct": func() (net.Conn, error) { return b.Dial(context.Background()) },
		"plain":  func() (net.Conn, error) { return net.Dial("tcp", s.plain) },
		"TLS":    func() (net.Conn, error) { return dialTLS(t, s, "shop.localhost"), nil },
	}
	for name, sent := range socketCases() {
		answers := map[string][]byte{}
		for way, dial := range dials {
			for _, step := range []int{len(sent), 7} {
				if step < len(sent) && (len(sent) > 1000 || !strings.HasSuffix(sent, socketEnd)) {
					continue // what is sent to one who has left may reset what he said
				}
				c, err := dial()
				if err != nil {
					t.Fatal(err)
				}
				got, err := converseRaw(c, sent, step)
				if err != nil {
					t.Errorf("%s, %s: %v", name, way, err)
				}
				if before := answers[way]; before != nil && !bytes.Equal(got, before) {
					t.Errorf("%s, %s, in steps of %d: got %.100q, want %.100q", name, way, step, got, before)
				}
				answers[way] = got
			}
		}
		for way, got := range answers {
			if !bytes.Equal(got, answers["direct"]) {
				t.Errorf("%s, %s: got %.100q, directly %.100q", name, way, got, answers["direct"])
			}
		}
		if len(answers["direct"]) == 0 {
			t.Errorf("%s: the app says nothing", name)
		}
	}
}

// converseRaw opens a socket, sends bytes in steps and returns what comes back
// up to the frame that closes it, or "end" where there is none.
func converseRaw(c net.Conn, sent string, step int) ([]byte, error) {
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: shop.localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	in := bufio.NewReader(c)
	res, err := http.ReadResponse(in, nil)
	if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		return nil, fmt.Errorf("no socket: %v, %v", res, err)
	}
	go func() {
		for rest := sent; len(rest) > 0; {
			n := min(step, len(rest))
			if _, err := io.WriteString(c, rest[:n]); err != nil {
				return
			}
			rest = rest[n:]
		}
	}()
	var got []byte
	for {
		head := make([]byte, 2)
		switch _, err := io.ReadFull(in, head); {
		case isTimeout(err):
			return got, err
		case err != nil:
			return append(got, "end"...), nil
		}
		n := int64(head[1] & 0x7f)
		if more := map[int64]int{126: 2, 127: 8}[n]; more > 0 {
			long := make([]byte, 8)
			if _, err := io.ReadFull(in, long[8-more:]); err != nil {
				return got, err
			}
			head, n = append(head, long[8-more:]...), int64(binary.BigEndian.Uint64(long))
		}
		payload := make([]byte, n)
		if _, err := io.ReadFull(in, payload); err != nil {
			return got, err
		}
		got = append(append(got, head...), payload...)
		if head[0] == closing {
			return got, nil
		}
	}
}
