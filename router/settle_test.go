package router

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// A client's word that it is gRPC must not lead bytes of its choice to an app of
// HTTP/1.1.
func TestGRPC_AppOfHTTP1GetsNothingOfTheClients(t *testing.T) {
	const hidden = "GET /admin HTTP/1.1\r\nHost: shop\r\nX-Real-Ip: 127.0.0.1\r\n\r\n"
	for name, answer := range map[string]string{
		"one that waits for more": "",
		"one that refuses":        "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, Config{DialTimeout: 500 * time.Millisecond})
			l := listen(t)
			got := make(chan string, 8)
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					io.WriteString(c, answer)
					text, _ := io.ReadAll(c)
					c.Close()
					got <- string(text)
				}
			}()
			s.swap(t, "shop", []string{"shop.localhost"}, backendAt("1", l.Addr().String()))
			for range 2 {
				req, err := http.NewRequest("POST", "https://shop.localhost/x", strings.NewReader("\x00\x00\x00\x00\x44\r\n\r\n"+hidden))
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Content-Type", "application/grpc")
				res, err := s.client(t).Do(req)
				if err != nil {
					t.Fatal(err)
				}
				res.Body.Close()
				if status := res.Header.Get("Grpc-Status"); status != "14" {
					t.Errorf("got the status %q, want 14, unavailable", status)
				}
			}
			l.Close()
			text := <-got
			if !strings.HasPrefix(text, "PRI * HTTP/2.0") || strings.Contains(text, "GET /admin") || strings.Contains(text, "shop.localhost") {
				t.Errorf("the app got %q", text)
			}
		})
	}
}
