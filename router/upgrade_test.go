package router

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
)

// upgraded returns an upgraded connection, and the app at its other end.
func upgraded(t *testing.T) (b *upgradedBackend, app net.Conn) {
	t.Helper()
	l := listen(t)
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if app, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	b = &upgradedBackend{ReadWriteCloser: c.(*net.TCPConn)}
	t.Cleanup(func() { b.Close() })
	return b, app
}

func TestUpgrade_LastWordsOfAnAppThatLeftAreRead(t *testing.T) {
	t.Parallel()
	b, app := upgraded(t)
	if _, err := b.Write([]byte("unread")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(app, make([]byte, 1)); err != nil { // so that the rest has come
		t.Fatal(err)
	}
	io.WriteString(app, "goodbye")
	app.Close() // with a reset
	eventually(t, "a write meets the reset", func() bool {
		if n, err := b.Write([]byte("more")); n != 4 || err != nil {
			t.Fatalf("wrote %d, %v", n, err)
		}
		return b.deaf.Load()
	})
	said, err := io.ReadAll(b)
	if string(said) != "goodbye" || err == nil {
		t.Errorf("read %q, %v; want goodbye and an error", said, err)
	}
	if _, err := b.Write([]byte("more")); err == nil {
		t.Error("after all has been said a write still succeeds")
	}
}

// An end that came before the reset is an end, and a write then tells the reset.
func TestUpgrade_OfAnAppThatLeftAfterItsEndTakesNothing(t *testing.T) {
	t.Parallel()
	b, app := upgraded(t)
	app.Close()
	if said, err := io.ReadAll(b); len(said) > 0 || err != nil {
		t.Errorf("read %q, %v", said, err)
	}
	eventually(t, "a write fails", func() bool {
		_, err := b.Write([]byte("more"))
		return err != nil
	})
}

// Whoever still sends to an app that leaves gets what the app said before.
func TestUpgrade_LastWordsReachAClientThatStillSends(t *testing.T) {
	t.Parallel()
	s := start(t, Config{})
	b := app(t, "1", func(w http.ResponseWriter, r *http.Request) {
		c, in, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Errorf("hijack: %v", err)
			return
		}
		defer c.Close() // with a reset, for much is unread
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: talk\r\n\r\n")
		if _, err := in.ReadByte(); err != nil {
			t.Errorf("the client's word: %v", err)
		}
		io.WriteString(c, "goodbye")
	})
	s.route(t, Options{Plain: true}, b)
	const rounds = 100
	lost := 0
	for range rounds {
		c, err := net.Dial("tcp", s.plain)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: shop.localhost\r\nConnection: Upgrade\r\nUpgrade: talk\r\n\r\n")
		in := bufio.NewReader(c)
		if res, err := http.ReadResponse(in, nil); err != nil || res.StatusCode != http.StatusSwitchingProtocols {
			t.Fatalf("no upgrade: %v, %v", res, err)
		}
		var sending sync.WaitGroup
		sending.Go(func() {
			for {
				if _, err := io.WriteString(c, "word"); err != nil {
					return
				}
			}
		})
		if said, _ := io.ReadAll(in); string(said) != "goodbye" {
			lost++
		}
		c.Close()
		sending.Wait()
	}
	if lost > 0 {
		t.Errorf("%d of %d clients lost the app's last words", lost, rounds)
	}
}
