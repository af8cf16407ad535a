package store_test

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/certmagic"
)

// certmagic documents what it asks of a storage; this holds ours against it.
func TestCertificates_KeepsCertmagicsContract(t *testing.T) {
	ctx := t.Context()
	certs := open(t, t.TempDir()).Certificates()
	for _, key := range []string{"acme/a/a.crt", "acme/a/a.key", "acme/b/b.crt", "acmex"} {
		if err := certs.Store(ctx, key, []byte(key)); err != nil {
			t.Fatal(err)
		}
	}
	if value, err := certs.Load(ctx, "acme/a/a.key"); err != nil || string(value) != "acme/a/a.key" {
		t.Errorf("load: got %q, %v", value, err)
	}
	if _, err := certs.Load(ctx, "acme/a"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("load of what is missing: got %v, want fs.ErrNotExist", err)
	}
	list := func(path string, recursive bool, want ...string) {
		t.Helper()
		got, err := certs.List(ctx, path, recursive)
		slices.Sort(got)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("list %q (recursive %v): got %v, %v; want %v", path, recursive, got, err, want)
		}
	}
	list("acme", false, "acme/a", "acme/b")
	list("acme/a", false, "acme/a/a.crt", "acme/a/a.key")
	list("acme", true, "acme/a/a.crt", "acme/a/a.key", "acme/b/b.crt")
	list("", false, "acme", "acmex")
	info, err := certs.Stat(ctx, "acme/a/a.crt")
	if err != nil || !info.IsTerminal || info.Size != int64(len("acme/a/a.crt")) || time.Since(info.Modified) > time.Minute {
		t.Errorf("stat of a file: got %+v, %v", info, err)
	}
	if info, err = certs.Stat(ctx, "acme/a"); err != nil || info.IsTerminal {
		t.Errorf("stat of a directory: got %+v, %v", info, err)
	}
	if err := certs.Delete(ctx, "acme/a"); err != nil {
		t.Fatal(err)
	}
	list("acme", true, "acme/b/b.crt")
	if certs.Exists(ctx, "acme/a/a.crt") || !certs.Exists(ctx, "acmex") {
		t.Error("delete of a directory removed too little or too much")
	}
}

func TestCertificates_LockIsHeldByOne(t *testing.T) {
	certs := open(t, t.TempDir()).Certificates()
	synctest.Test(t, func(t *testing.T) {
		if err := certs.Lock(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := certs.Lock(ctx, "a"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a second lock: got %v, want it to wait for its context's end", err)
		}
		got := make(chan error)
		go func() { got <- certs.Lock(t.Context(), "a") }()
		synctest.Wait()
		if err := certs.Unlock(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		if err := <-got; err != nil {
			t.Errorf("the one who waited: %v", err)
		}
		if err := certs.Unlock(t.Context(), "b"); err == nil {
			t.Error("unlocking what is not held: got no error")
		}
	})
	_ = certmagic.Storage(certs)
}
