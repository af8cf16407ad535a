package store_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
)

// format1 puts the state of the last berth that wrote format 1 into a directory.
// It returns the file as it was.
func format1(t *testing.T, dir string) []byte { return inFormat(t, dir, 1) }

// inFormat is format1 for another format.
func inFormat(t *testing.T, dir string, format int) []byte {
	t.Helper()
	fixture := fmt.Sprintf("testdata/format%d/", format)
	packed, err := os.Open(fixture + "berth.db.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer packed.Close()
	unpacked, err := gzip.NewReader(packed)
	if err != nil {
		t.Fatal(err)
	}
	state, err := io.ReadAll(unpacked)
	if err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile(fixture + "secret.key")
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(
		os.WriteFile(filepath.Join(dir, "berth.db"), state, 0o600),
		os.WriteFile(filepath.Join(dir, "berth.db.made"), nil, 0o600),
		os.WriteFile(filepath.Join(dir, "secret.key"), key, 0o600),
	)
	if err != nil {
		t.Fatal(err)
	}
	return state
}

// wantNouns is what the berth of a format read in its file, but for what is meant
// to have changed: since format 2, events go by what their app is called now.
func wantNouns(t *testing.T, format int) string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("testdata/format%d/nouns.txt", format))
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "event ") {
			line = strings.Replace(line, `\"store\"`, `\"shop\"`, 1)
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "")
}

func compareNouns(t *testing.T, s *store.Store, format int) {
	t.Helper()
	got, want := strings.Split(nouns(t, s), "\n"), strings.Split(wantNouns(t, format), "\n")
	for i := range max(len(got), len(want)) {
		var g, w string
		if i < len(got) {
			g = got[i]
		}
		if i < len(want) {
			w = want[i]
		}
		if g != w {
			t.Errorf("line %d: got  %s\n want %s", i+1, g, w)
		}
	}
}

func dump(t *testing.T, s *store.Store) map[string]string {
	t.Helper()
	var all map[string]string
	if err := s.View(func(tx *store.Tx) error { all = tx.Dump(); return nil }); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestMigrate_EveryNounOfFormat1ReadsBackEqual(t *testing.T) {
	dir := t.TempDir()
	before := format1(t, dir)
	s := open(t, dir)
	compareNouns(t, s, 1)

	kept, err := os.ReadFile(filepath.Join(dir, "berth.db.format1"))
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, "berth.db.format1"))
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("the copy has the mode %v (%v), want it readable for its owner alone", info.Mode(), err)
	}
	// bbolt writes the pages of its heads anew, leaves out what is behind its
	// last page, and copies the rest.
	if head := 2 * os.Getpagesize(); len(kept) <= head || !bytes.HasPrefix(before[head:], kept[head:]) {
		t.Error("the copy is not the file as it was")
	}

	// Once more, nothing happens.
	once := dump(t, s)
	s.Close()
	first, err := os.ReadFile(filepath.Join(dir, "berth.db"))
	if err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	if again := dump(t, s); !mapsEqual(once, again) {
		t.Error("a second start changed records")
	}
	s.Close()
	second, err := os.ReadFile(filepath.Join(dir, "berth.db"))
	if err != nil || !bytes.Equal(first, second) {
		t.Errorf("a second start wrote to the file (%v)", err)
	}
}

func TestMigrate_EveryNounOfFormat2ReadsBackEqual(t *testing.T) {
	dir := t.TempDir()
	inFormat(t, dir, 2)
	compareNouns(t, open(t, dir), 2)
	if _, err := os.Stat(filepath.Join(dir, "berth.db.format2")); err != nil {
		t.Error(err)
	}
}

func mapsEqual(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		if b[k] != v {
			return false
		}
	}
	return true
}

func TestMigrate_WhatHadTheNameBeforeIsNotTheNextApps(t *testing.T) {
	dir := t.TempDir()
	format1(t, dir)
	s := open(t, dir)
	err := s.View(func(tx *store.Tx) error {
		for app, want := range map[string][]uint64{"shop": {11, 10, 6, 5, 4}, "blog": {9, 8, 7}, "store": nil} {
			events, err := tx.Events(app, 0)
			if err != nil {
				return err
			}
			var got []uint64
			for _, e := range events {
				got = append(got, e.ID)
			}
			if !slices.Equal(got, want) {
				t.Errorf("the events of %s: got %v, want %v", app, got, want)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	// Counters go on.
	err = s.Update(func(tx *store.Tx) error {
		run, err := tx.CronRuns.Put(store.CronRun{App: "shop", Job: "1a2b3c4d"})
		if err != nil || run.Number != 3 {
			t.Errorf("the next run is number %d (%v), want 3", run.Number, err)
		}
		app, err := tx.CreateApp(store.App{Name: "new"})
		if err != nil || app.UID != 70003 {
			t.Errorf("the next app has the id %d (%v), want 70003", app.UID, err)
		}
		if err := tx.AddEvent(store.Event{App: "shop", By: "alice"}); err != nil {
			return err
		}
		events, err := tx.Events("shop", 1)
		if err != nil || len(events) != 1 || events[0].ID != 13 {
			t.Errorf("the next event is %+v (%v), want number 13", events, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// The steps at which a migration is ended by kill -9, and what a start then finds.
var migrationSteps = []string{"copy", "copied", "to 2", "to 3", "commit", "done"}

func TestMigrate_KilledAtAnyStepGoesOnAtTheNextStart(t *testing.T) {
	if dir := os.Getenv("BERTH_MIGRATE"); dir != "" {
		store.OnStep(func(name string) {
			if name == os.Getenv("BERTH_DIE_AT") {
				unix.Kill(os.Getpid(), unix.SIGKILL)
				select {}
			}
		})
		if _, err := store.Open(dir); err != nil {
			t.Fatal(err)
		}
		return
	}
	var seen []string
	store.OnStep(func(name string) { seen = append(seen, name) })
	t.Cleanup(func() { store.OnStep(func(string) {}) })
	dir := t.TempDir()
	format1(t, dir)
	open(t, dir)
	if !slices.Equal(seen, migrationSteps) {
		t.Fatalf("got the steps %q, want %q", seen, migrationSteps)
	}
	for _, step := range migrationSteps {
		t.Run(step, func(t *testing.T) {
			dir := t.TempDir()
			format1(t, dir)
			cmd := exec.Command(os.Args[0], "-test.run", "TestMigrate_KilledAtAnyStepGoesOnAtTheNextStart$")
			cmd.Env = append(os.Environ(), "BERTH_MIGRATE="+dir, "BERTH_DIE_AT="+step)
			out, err := cmd.CombinedOutput()
			if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != -1 {
				t.Fatalf("it was not killed: %v\n%s", err, out)
			}
			s := open(t, dir)
			compareNouns(t, s, 1)
			copies, _ := filepath.Glob(filepath.Join(dir, "berth.db.*"))
			want := []string{filepath.Join(dir, "berth.db.format1"), filepath.Join(dir, "berth.db.made")}
			if !slices.Equal(copies, want) {
				t.Errorf("beside the file there are %q, want %q", copies, want)
			}
		})
	}
}

func TestMigrate_KeepsTheCopyOfEachStateThatItChanged(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "berth.db")
	format1(t, dir)
	open(t, dir).Close()
	first, err := os.ReadFile(path + ".format1")
	if err != nil {
		t.Fatal(err)
	}
	// The operator goes back, and forward again.
	if err := os.WriteFile(path, first, 0o600); err != nil {
		t.Fatal(err)
	}
	open(t, dir).Close()
	if _, err := os.Stat(path + ".format1.2"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the same state was kept twice: %v", err)
	}
	// Had the older berth changed something, its state would be another.
	if err := os.WriteFile(path, first, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".format1", []byte("an older state"), 0o600); err != nil {
		t.Fatal(err)
	}
	open(t, dir).Close()
	if got, _ := os.ReadFile(path + ".format1"); string(got) != "an older state" {
		t.Error("the first copy was overwritten")
	}
	if got, _ := os.ReadFile(path + ".format1.2"); !bytes.Equal(got, first) {
		t.Error("the second state was not kept")
	}
}

func TestMigrate_RefusesAnotherMachinesKeyAndWritesNothing(t *testing.T) {
	dir := t.TempDir()
	format1(t, dir)
	if err := os.WriteFile(filepath.Join(dir, "secret.key"), bytes.Repeat([]byte("k"), 32), 0o600); err != nil {
		t.Fatal(err)
	}
	before := content(t, dir)
	_, err := store.Open(dir)
	wantCode(t, err, "E123")
	if content(t, dir) != before {
		t.Error("the refused start wrote")
	}
}

func TestOpen_RefusesANewerFormatAndSaysHowToGoBack(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	create(t, s, "shop")
	if err := s.Update(func(tx *store.Tx) error { return tx.PutFormat(99) }); err != nil {
		t.Fatal(err)
	}
	s.Close()
	path := filepath.Join(dir, "berth.db")
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = store.Open(dir)
	wantCode(t, err, "E128")
	if f := fault.From(err); strings.Contains(fmt.Sprint(f.Hints), "sudo cp") {
		t.Errorf("there is no copy to put in place, but the hints are %q", f.Hints)
	}
	kept := fmt.Sprintf("%s.format%d", path, store.FormatVersion())
	if err := os.WriteFile(kept, before, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = store.Open(dir)
	wantCode(t, err, "E128")
	if f := fault.From(err); !strings.Contains(fmt.Sprint(f.Hints), "sudo cp -p "+kept+" "+path) {
		t.Errorf("the hints are %q", f.Hints)
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
		t.Error("a refused start wrote to the file")
	}
}

func TestMigrate_OnADiskThatTakesNothingServesFromMemory(t *testing.T) {
	for _, row := range []struct {
		name  string
		spoil func(t *testing.T, dir string) (mend func())
	}{
		{"full", func(t *testing.T, dir string) func() {
			ballast := fill(t, dir)
			return func() { os.Remove(ballast) }
		}},
		{"read-only", func(t *testing.T, dir string) func() {
			mount := func(flags uintptr) {
				if err := unix.Mount("", dir, "", unix.MS_REMOUNT|flags, ""); err != nil {
					t.Fatal(err)
				}
			}
			mount(unix.MS_RDONLY)
			return func() { mount(0) }
		}},
	} {
		for format := 1; format < store.FormatVersion(); format++ {
			t.Run(fmt.Sprintf("%s, format %d", row.name, format), func(t *testing.T) {
				dir := smallDisk(t, "4m")
				before := inFormat(t, dir, format)
				mend := row.spoil(t, dir)
				s := open(t, dir)
				compareNouns(t, s, format)
				for range 2 {
					err := addEvent(s, "x")
					wantCode(t, err, "E316")
					if f := fault.From(err); f == nil || !strings.Contains(strings.Join(f.Hints, " "), "restart berth") {
						t.Errorf("the hints are %+v", f)
					}
				}
				wantCode(t, s.Unwritable(), "E316")
				if row.name == "full" { // a file that is only read has room for two
					_, err := store.Open(dir)
					wantCode(t, err, "E122")
				}
				if after, err := os.ReadFile(filepath.Join(dir, "berth.db")); err != nil || !bytes.Equal(before, after) {
					t.Errorf("the file was changed (%v)", err)
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				mend()
				s = open(t, dir)
				compareNouns(t, s, format)
				if err := addEvent(s, "x"); err != nil {
					t.Errorf("a change once the disk takes it: %v", err)
				}
			})
		}
	}
}

func TestMigrate_OfADamagedFileEndsAndChangesNothing(t *testing.T) {
	dir := t.TempDir()
	whole := format1(t, dir)
	path := filepath.Join(dir, "berth.db")
	random := rand.New(rand.NewPCG(3, 4))
	refused := 0
	for range 300 {
		data := bytes.Clone(whole)
		for range 3 {
			data[random.IntN(len(data))] ^= 1 << random.IntN(8)
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		err := use(t, dir, "a damaged file of format 1")
		os.Remove(path + ".format1") // there would be one for each
		if err == nil {
			continue
		}
		refused++
		if f := fault.From(err); f == nil || f.Code != "E121" && f.Code != "E123" {
			t.Errorf("got %v, want it opened or a fault E121", err)
		}
		if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, data) {
			t.Fatalf("a refused start changed the file (%v)", err)
		}
	}
	if refused < 20 {
		t.Errorf("only %d damaged files were refused", refused)
	}
}
