package store_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
)

// filled makes a state with records of every kind, and returns the file's content.
func filled(t *testing.T, dir string) []byte {
	t.Helper()
	s := open(t, dir)
	for _, name := range []string{"shop", "blog"} {
		create(t, s, name)
	}
	err := s.Update(func(tx *store.Tx) error {
		errs := []error{
			tx.PutSettings(store.Settings{Domain: "example.com", Secrets: map[string]string{"A": "b"}}),
			tx.PutConfig("shop", map[string]string{"A": "1"}),
			tx.PutDomain(store.Domain{App: "shop", Host: "www.example.com"}),
			tx.HostKeys.Put("ed25519", []byte("pem")),
			tx.Pages.Put("shop", "500", []byte("<h1>broken</h1>")),
			tx.PutRouting("shop", store.Routing{}),
			tx.Keys.Put(store.Key{Name: "alice", Fingerprint: "SHA256:x"}),
			tx.Logins.Put(store.Login{Hash: "abc"}),
		}
		for i := range 60 {
			errs = append(errs,
				tx.AddEvent(store.Event{App: "shop", Kind: "push", Text: strings.Repeat("x", 200), Time: time.Now()}),
				tx.Builds.Put(store.Build{App: "shop", Number: i + 1}),
				tx.PutRelease(store.Release{App: "blog", Number: i + 1, Config: map[string]string{"A": "0"}}))
		}
		return errors.Join(errs...)
	})
	if err == nil {
		err = s.Certificates().Store(t.Context(), "example.com/example.com.key", bytes.Repeat([]byte("k"), 6000))
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(dir, "berth.db"))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// use opens the state, reads all that it can and changes something. It returns
// why it was refused. It fails the test when there is no end to it.
func use(t *testing.T, dir, what string) (refused error) {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		s, err := store.Open(dir)
		if err != nil {
			done <- err
			return
		}
		defer s.Close()
		s.View(func(tx *store.Tx) error {
			apps, _ := tx.Apps()
			for _, app := range append(apps, store.App{Name: "shop"}, store.App{Name: "blog"}) {
				tx.Releases(app.Name, 0)
				tx.Builds.Of(app.Name, 0)
				tx.Domains(app.Name)
				tx.Config(app.Name)
				tx.Routing(app.Name)
			}
			tx.Settings()
			tx.HostKeys.All()
			tx.Keys.All()
			return nil
		})
		s.Certificates().List(t.Context(), "", true)
		s.Update(func(tx *store.Tx) error { return tx.AddEvent(store.Event{Text: "on it goes"}) })
		done <- nil
	}()
	select {
	case err := <-done:
		return err
	case <-time.After(20 * time.Second):
		t.Fatalf("%s: the state is still being opened after 20 s", what)
		return nil
	}
}

func TestOpen_EndsWhateverByteIsWrong(t *testing.T) {
	dir := t.TempDir()
	raw := filled(t, dir)
	path := filepath.Join(dir, "berth.db")
	page := os.Getpagesize()
	random := rand.New(rand.NewPCG(1, 2))
	refused := 0
	try := func(what string, damage func(data []byte)) {
		data := bytes.Clone(raw)
		damage(data)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		err := use(t, dir, what)
		if err == nil {
			return
		}
		refused++
		if f := fault.From(err); f == nil || f.Code != "E121" && f.Code != "E123" {
			t.Errorf("%s: got %v, want it opened or a fault E121", what, err)
		}
	}
	pages := len(raw) / page
	for range 600 {
		// Most of what can go wrong is in the first bytes of a page.
		at := random.IntN(pages)*page + random.IntN(16+random.IntN(page-16))
		bit := byte(1) << random.IntN(8)
		try(fmt.Sprintf("byte %d, bit %#x", at, bit), func(data []byte) { data[at] ^= bit })
	}
	for range 60 {
		a, b := random.IntN(pages), random.IntN(pages)
		try(fmt.Sprintf("page %d in the place of %d", a, b), func(data []byte) { copy(data[b*page:][:page], data[a*page:]) })
		try(fmt.Sprintf("page %d of random bytes", a), func(data []byte) {
			for i := range page {
				data[a*page+i] = byte(random.Uint32())
			}
		})
		try(fmt.Sprintf("another number in page %d", a), func(data []byte) {
			binary.LittleEndian.PutUint64(data[a*page+8*random.IntN(page/8):], uint64(random.IntN(pages)))
		})
	}
	if refused < 40 {
		t.Errorf("only %d damaged files were refused", refused)
	}
}

func TestOpen_RefusesAPageThatLeadsToItself(t *testing.T) {
	dir := t.TempDir()
	raw := filled(t, dir)
	page := os.Getpagesize()
	found := false
	for id := uint64(2); int(id) < len(raw)/page; id++ {
		at := int(id) * page
		if binary.LittleEndian.Uint64(raw[at:]) == id && binary.LittleEndian.Uint16(raw[at+8:]) == 1 { // a branch
			binary.LittleEndian.PutUint64(raw[at+16+8:], id)
			found = true
		}
	}
	if !found {
		t.Fatal("the state has no page that leads to others: this test shows nothing")
	}
	os.WriteFile(filepath.Join(dir, "berth.db"), raw, 0o600)
	wantCode(t, use(t, dir, "a cycle"), "E121")
}

func TestOpen_RefusesWhatIsNoStateFile(t *testing.T) {
	rows := []struct {
		name   string
		damage func(t *testing.T, path string)
		code   string
	}{
		{"one page", func(t *testing.T, path string) { os.Truncate(path, int64(os.Getpagesize())) }, "E121"},
		{"less than a page", func(t *testing.T, path string) { os.Truncate(path, 100) }, "E121"},
		{"a directory", func(t *testing.T, path string) { os.Remove(path); os.Mkdir(path, 0o700) }, "E138"},
		{"a pipe", func(t *testing.T, path string) {
			os.Remove(path)
			if out, err := exec.Command("mkfifo", path).CombinedOutput(); err != nil {
				t.Skipf("mkfifo: %s", out)
			}
		}, "E138"},
		{"immutable", func(t *testing.T, path string) {
			if out, err := exec.Command("chattr", "+i", path).CombinedOutput(); err != nil {
				t.Skipf("chattr: %s", out)
			}
			t.Cleanup(func() { exec.Command("chattr", "-i", path).Run() })
		}, "E138"},
		{"another machine's key", func(t *testing.T, path string) {
			os.WriteFile(filepath.Join(filepath.Dir(path), "secret.key"), bytes.Repeat([]byte("k"), 32), 0o600)
		}, "E123"},
		{"no key", func(t *testing.T, path string) { os.Remove(filepath.Join(filepath.Dir(path), "secret.key")) }, "E123"},
		{"no key and no mark", func(t *testing.T, path string) {
			os.Remove(filepath.Join(filepath.Dir(path), "secret.key"))
			os.Remove(path + ".made")
		}, "E123"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			dir := t.TempDir()
			filled(t, dir)
			path := filepath.Join(dir, "berth.db")
			row.damage(t, path)
			before := content(t, dir)
			wantCode(t, use(t, dir, row.name), row.code)
			if after := content(t, dir); after != before {
				t.Errorf("the refused start wrote: got\n%s\nwant\n%s", after, before)
			}
		})
	}
}

// content lists a directory's files with what is in them.
func content(t *testing.T, dir string) string {
	t.Helper()
	var list strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			data, _ := os.ReadFile(path)
			fmt.Fprintf(&list, "%s %x\n", path, data)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list.String()
}

// run looks after a state until done is true.
func run(t *testing.T, s *store.Store, done func() bool) {
	t.Helper()
	ended := make(chan error, 1)
	ctx, end := context.WithCancel(t.Context())
	go func() { ended <- s.Run(ctx, slog.New(slog.DiscardHandler)) }()
	deadline := time.Now().Add(30 * time.Second)
	for !done() && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond) // what is waited for is a file
	}
	end()
	if err := <-ended; err != nil {
		t.Fatalf("Run: %v", err)
	}
	if !done() {
		t.Fatal("Run did not do it")
	}
}

func TestOpen_DamagedStateIsRestoredAsTheHintSays(t *testing.T) {
	for _, damage := range []struct {
		name string
		do   func(path string)
		code string
	}{
		{"damaged", func(path string) { os.Truncate(path, 8192) }, "E121"},
		{"gone", func(path string) { os.Remove(path); os.Remove(path + ".made") }, "E120"},
	} {
		t.Run(damage.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "berth.db")
			s := open(t, dir)
			create(t, s, "shop")
			run(t, s, func() bool { _, err := os.Stat(path + ".good"); return err == nil })
			s.Close()
			if info, err := os.Stat(path + ".good"); err != nil || info.Mode() != 0o600 {
				t.Errorf("the copy has the mode %v (%v), want it readable for its owner alone", info.Mode(), err)
			}
			damage.do(path)
			_, err := store.Open(dir)
			wantCode(t, err, damage.code)
			f := fault.From(err)
			command := ""
			for _, hint := range f.Hints {
				if after, found := strings.CutPrefix(hint, "sudo "); found {
					command = after
				}
			}
			if out, err := exec.Command("sh", "-c", command).CombinedOutput(); command == "" || err != nil {
				t.Fatalf("the hints are %q, and the command says %v: %s", f.Hints, err, out)
			}
			s = open(t, dir)
			if err := s.View(func(tx *store.Tx) error { _, err := tx.App("shop"); return err }); err != nil {
				t.Errorf("after the hint was obeyed: %v", err)
			}
		})
	}
}

func TestConfig_OfADamagedRecordIsAFault(t *testing.T) {
	dir := t.TempDir()
	raw := filled(t, dir)
	s := open(t, dir)
	var sealed []byte
	s.View(func(tx *store.Tx) error {
		app, err := tx.App("shop")
		sealed = tx.Sealed("config", app.ID())
		return err
	})
	s.Close()
	if sealed == nil {
		t.Fatal("the app has no config")
	}
	at := bytes.Index(raw, sealed)
	if at < 0 {
		t.Fatal("the record is not in the file")
	}
	for i := at; i >= 0; { // older pages hold it too
		raw[i+len(sealed)/2] ^= 1
		next := bytes.Index(raw, sealed)
		i = next
	}
	os.WriteFile(filepath.Join(dir, "berth.db"), raw, 0o600)
	s = open(t, dir)
	wantCode(t, s.View(func(tx *store.Tx) error { _, err := tx.Config("shop"); return err }), "E121")
	if err := s.View(func(tx *store.Tx) error { _, err := tx.Config("blog"); return err }); err != nil {
		t.Errorf("another app's config: %v", err)
	}
}
