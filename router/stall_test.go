package router

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// Clients that ask and never read the answer. Whoever sends it must be let go.
func TestStall_ClientThatDoesNotReadIsLeft(t *testing.T) {
	long := func(w http.ResponseWriter) {
		part := make([]byte, 32<<10)
		for {
			if _, err := w.Write(part); err != nil {
				return
			}
		}
	}
	plain := func(t *testing.T, s *service, request string) net.Conn {
		c, err := net.Dial("tcp", s.plain)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(c, request)
		return c
	}
	for name, ask := range map[string]func(*testing.T, *service) io.Closer{
		"HTTP/1.1": func(t *testing.T, s *service) io.Closer {
			return plain(t, s, "GET / HTTP/1.1\r\nHost: shop.localhost\r\n\r\n")
		},
		"HTTP/1.1 by net/http": func(t *testing.T, s *service) io.Closer {
			return plain(t, s, "POST / HTTP/1.1\r\nHost: shop.localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
		},
		"HTTP/1.1 TLS": func(t *testing.T, s *service) io.Closer {
			c, err := tls.Dial("tcp", s.secure, &tls.Config{RootCAs: s.roots(), ServerName: "shop.localhost"})
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: shop.localhost\r\n\r\n")
			return c
		},
		"HTTP/2": func(t *testing.T, s *service) io.Closer {
			c, framer := h2Client(t, s)
			go drainFrames(framer)
			return c
		},
		"HTTP/3": func(t *testing.T, s *service) io.Closer {
			res, err := s.quicClient(t).Get("https://shop.localhost/")
			if err != nil {
				t.Fatal(err)
			}
			return res.Body
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, Config{SendTimeout: time.Second})
			ended := make(chan struct{})
			_, err := s.Swap(Route{
				Name: "shop", Hosts: []string{"shop.localhost"}, Options: Options{Plain: true},
				Backends: []Backend{app(t, "1", func(w http.ResponseWriter, r *http.Request) {
					defer close(ended)
					long(w)
				})},
			})
			if err != nil {
				t.Fatal(err)
			}
			c := ask(t, s)
			defer c.Close()
			<-ended
		})
	}
}

// A small answer fits into the server's buffer, and is written when nobody
// waits for it any more.
func TestStall_StreamWithoutAWindowIsReset(t *testing.T) {
	s := start(t, Config{SendTimeout: time.Second})
	s.swap(t, "shop", []string{"shop.localhost"}, app(t, "1", says("shop")))
	c, framer := h2Client(t, s)
	defer c.Close()
	for {
		f, err := framer.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		switch f := f.(type) {
		case *http2.RSTStreamFrame:
			return
		case *http2.DataFrame:
			if len(f.Data()) > 0 {
				t.Fatalf("got %q beyond the window", f.Data())
			}
		}
	}
}

// A client that takes its time, but takes, is served to the end.
func TestStall_SlowClientGetsAll(t *testing.T) {
	s := start(t, Config{SendTimeout: time.Second})
	want := bytes.Repeat([]byte("slow "), 1<<20)
	_, err := s.Swap(Route{
		Name: "shop", Hosts: []string{"shop.localhost"}, Options: Options{Plain: true},
		Backends: []Backend{app(t, "1", func(w http.ResponseWriter, r *http.Request) { w.Write(want) })},
	})
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", s.plain)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: shop.localhost\r\nConnection: close\r\n\r\n")
	got, part := 0, make([]byte, 512<<10)
	for err == nil {
		var n int
		n, err = io.ReadFull(c, part)
		got += n
		time.Sleep(200 * time.Millisecond) // the whole takes twice the timeout
	}
	if got < len(want) {
		t.Errorf("got %d bytes, want more than %d", got, len(want))
	}
}

// h2Client asks for / in HTTP/2, and lets nothing of the answer be sent.
func h2Client(t *testing.T, s *service) (*tls.Conn, *http2.Framer) {
	t.Helper()
	c, err := tls.Dial("tcp", s.secure, &tls.Config{RootCAs: s.roots(), ServerName: "shop.localhost", NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(c, http2.ClientPreface)
	framer := http2.NewFramer(c, c)
	framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
	var head bytes.Buffer
	encoder := hpack.NewEncoder(&head)
	for _, f := range [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", "shop.localhost"}, {":path", "/"}} {
		encoder.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
	}
	framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: head.Bytes(), EndStream: true, EndHeaders: true})
	return c, framer
}

func drainFrames(framer *http2.Framer) {
	for {
		if _, err := framer.ReadFrame(); err != nil {
			return
		}
	}
}
