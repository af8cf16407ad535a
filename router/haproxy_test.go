package router

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/berthd/berth/router/peer"
)

// TestServe_BehindHAProxy: a real proxy says who its clients are, by PROXY
// headers of both versions, and by HTTP headers.
func TestServe_BehindHAProxy(t *testing.T) {
	program, err := exec.LookPath("haproxy")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("haproxy is not installed")
		}
		t.Skip("haproxy is not installed")
	}
	s := start(t, Config{})
	set(t, s, Route{Name: "shop", Hosts: []string{"shop.localhost"}, Options: Options{Plain: true}, Backends: []Backend{app(t, "1", reports)}})
	ways := []struct{ name, section, scheme, want string }{
		{"version 1", "mode tcp\n server berth " + s.secure + " send-proxy", "https", "127.0.0.9 127.0.0.9 https shop.localhost 443 "},
		{"version 2", "mode tcp\n server berth " + s.secure + " send-proxy-v2", "https", "127.0.0.9 127.0.0.9 https shop.localhost 443 "},
		{"version 2 with fields", "mode tcp\n server berth " + s.plain + " send-proxy-v2 proxy-v2-options ssl,unique-id,crc32c", "http", "127.0.0.9 127.0.0.9 http shop.localhost 80 "},
		{"headers", "mode http\n option forwardfor\n http-request set-header X-Forwarded-Proto https\n server berth " + s.plain, "http", "127.0.0.9 127.0.0.9 https shop.localhost 443 "},
	}
	config := "defaults\n timeout connect 5s\n timeout client 20s\n timeout server 20s\n"
	var sockets []*os.File
	addresses := make([]string, len(ways))
	for i, way := range ways {
		l := listen(t)
		f, err := l.(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
		defer f.Close()
		sockets, addresses[i] = append(sockets, f), l.Addr().String()
		config += fmt.Sprintf("listen way%d\n bind fd@%d\n %s\n", i, 3+i, way.section)
	}
	file := filepath.Join(t.TempDir(), "haproxy.cfg")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	cmd := exec.Command(program, "-db", "-f", file)
	cmd.ExtraFiles, cmd.Stderr, cmd.Stdout = sockets, &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("HAProxy said: %s", &said)
		}
	}()
	for i, way := range ways {
		p := peer.Policy{Header: peer.HeaderRequired}
		if way.name == "headers" {
			p.Header = peer.HeaderNone
		}
		trusting(t, s, "127.0.0.1", p) // and its client, which is another address, not
		transport := &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: s.roots(), ServerName: "shop.localhost"},
			Dial: func(string, string) (net.Conn, error) {
				from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 9)}}
				return from.Dial("tcp", addresses[i]) // waits in the backlog until HAProxy runs
			},
		}
		c := &http.Client{Transport: transport}
		for range 2 {
			if _, got := get(t, c, way.scheme+"://shop.localhost/", "X-Forwarded-For", "6.6.6.6"); got != way.want {
				t.Errorf("%s: the app is told %q, want %q", way.name, got, way.want)
			}
		}
		transport.CloseIdleConnections()
	}
}
