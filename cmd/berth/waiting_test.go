package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berthd/berth/client"
	"github.com/berthd/berth/router"
	"github.com/berthd/berth/router/accesslog"
	"github.com/berthd/berth/router/certificates"
	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
)

func TestAwaitEngine_GoesOnOnceContainerdIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		back := time.Now().Add(3 * time.Minute)
		open := func(context.Context) (string, error) {
			if time.Now().Before(back) {
				return "", fmt.Errorf("open engine: %w at /sock", runtime.ErrNoContainerd)
			}
			return "engine", nil
		}
		answering := false
		meanwhile := func(ctx context.Context) error {
			answering = true
			<-ctx.Done()
			answering = false
			return nil
		}
		engine, err := awaitEngine(t.Context(), open, meanwhile, slog.New(slog.NewTextHandler(&log, nil)))
		if engine != "engine" || err != nil {
			t.Fatalf("got %q, %v", engine, err)
		}
		if answering {
			t.Error("the doors are answered by two")
		}
		if got := strings.Count(log.String(), "waiting for containerd"); got != 3 {
			t.Errorf("%d lines about it in three minutes, want 3:\n%s", got, &log)
		}
	})
}

func TestAwaitEngine_EndsWhenAskedAndAtOtherFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := slog.New(slog.DiscardHandler)
		wait := func(ctx context.Context) error { <-ctx.Done(); return nil }
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		_, err := awaitEngine(ctx, func(context.Context) (int, error) { return 0, runtime.ErrNoContainerd }, wait, log)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("asked to stop: got %v", err)
		}
		broken := errors.New("no CNI plugin")
		tries := 0
		_, err = awaitEngine(t.Context(), func(context.Context) (int, error) {
			if tries++; tries < 3 {
				return 0, runtime.ErrNoContainerd
			}
			return 0, broken
		}, func(context.Context) error { return errors.New("no socket") }, log)
		if !errors.Is(err, broken) || tries != 3 {
			t.Errorf("another failure: got %v after %d tries", err, tries)
		}
	})
}

// While containerd is away, visitors and commands are told, each host by its own
// certificate, and the doors are there for who comes after.
func TestClosedDoors_AnswerAndStayOpen(t *testing.T) {
	dir := t.TempDir()
	log := slog.New(slog.DiscardHandler)
	db, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	s := &serve{domain: "localhost", state: dir, http: "127.0.0.1:0", https: "127.0.0.1:0", ssh: "127.0.0.1:0", http3: http3Off}
	if err := s.nameMachine(db, log); err != nil {
		t.Fatal(err)
	}
	if err := db.Update(func(tx *store.Tx) error { _, err := tx.CreateApp(store.App{Name: "shop"}); return err }); err != nil {
		t.Fatal(err)
	}
	doors, err := s.openDoors(passed{}, log)
	if err != nil {
		t.Fatal(err)
	}
	defer doors.close()
	keeper, err := s.certificates(t.Context(), db, doors, log)
	if err != nil {
		t.Fatal(err)
	}
	defer keeper.Close()
	closed := &closedDoors{doors: doors, db: db, certificates: keeper, log: log, requests: accesslog.New(dir, log),
		survivors: func() ([]*runtime.Container, func() error, error) { return nil, nil, errors.New("none") },
		routes:    router.Config{HTTPPort: port(doors.http), HTTPSPort: port(doors.https), Certificates: keeper}}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- closed.serve(ctx) }()

	roots := x509.NewCertPool()
	root, err := keeper.Root(certificates.Trust{Domain: "localhost"})
	if err != nil {
		t.Fatal(err)
	}
	roots.AppendCertsFromPEM(root)
	asker := &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots},
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			to := doors.https[0]
			if strings.HasSuffix(addr, ":80") {
				to = doors.http[0]
			}
			return (&net.Dialer{}).DialContext(ctx, network, to.Addr().String())
		},
	}}
	for _, url := range []string{"http://shop.localhost/", "https://shop.localhost/", "https://berth.localhost/", "http://unknown.example/"} {
		res, err := asker.Get(url)
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" {
			t.Errorf("%s: got %s, Retry-After %q: %.200s; want 503", url, res.Status, res.Header.Get("Retry-After"), body)
		}
	}
	err = client.Dial(filepath.Join(dir, "berth.sock")).Call(t.Context(), "apps:list", nil, nil, nil)
	if f := fault.From(err); f == nil || f.Code != "E137" || len(f.Hints) == 0 {
		t.Errorf("a command: got %v, want E137 with hints", err)
	}

	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	closed.close()
	for _, l := range []net.Listener{doors.http[0], doors.https[0], doors.local} {
		conn, err := net.Dial(l.Addr().Network(), l.Addr().String())
		if err != nil {
			t.Errorf("%s is closed: %v", l.Addr(), err)
			continue
		}
		conn.Close()
		if taken, err := l.Accept(); err != nil {
			t.Errorf("%s: %v", l.Addr(), err)
		} else {
			taken.Close()
		}
	}
}
