package store_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
)

// smallDisk mounts a filesystem of its own on a directory.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("mount: %v", err)
		}
		t.Skipf("needs root to mount a small filesystem: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

// fill fills the disk to its last byte and returns the file that does.
func fill(t *testing.T, dir string) string {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "ballast"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for buf := make([]byte, 1<<20); len(buf) > 0; {
		if _, err := f.Write(buf); err != nil {
			if !errors.Is(err, unix.ENOSPC) {
				t.Fatal(err)
			}
			buf = buf[:len(buf)/2]
		}
	}
	return f.Name()
}

func addEvent(s *store.Store, text string) error {
	return s.Update(func(tx *store.Tx) error { return tx.AddEvent(store.Event{App: "shop", Text: text}) })
}

func TestOpen_OnAFullDiskReadsRefusesChangesAndRecovers(t *testing.T) {
	dir := smallDisk(t, "4m")
	s := open(t, dir)
	create(t, s, "shop")
	s.Close()
	ballast := fill(t, dir)

	s = open(t, dir)
	var refused error
	for i := 0; refused == nil && i < 100; i++ { // the file's last free pages
		refused = addEvent(s, strings.Repeat("x", 10_000))
	}
	wantCode(t, refused, "E501")
	if !errors.Is(refused, unix.ENOSPC) {
		t.Errorf("got %v, which has lost its cause", refused)
	}
	wantCode(t, s.Unwritable(), "E501")
	if err := s.View(func(tx *store.Tx) error { _, err := tx.App("shop"); return err }); err != nil {
		t.Errorf("reading on a full disk: %v", err)
	}
	if err := s.Snapshot(io.Discard); err != nil {
		t.Errorf("a snapshot of a full disk: %v", err)
	}
	s.Close()

	s = open(t, dir) // a second start finds it full already
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	run(t, s, func() bool { return s.Unwritable() == nil })
	if err := addEvent(s, strings.Repeat("x", 10_000)); err != nil {
		t.Errorf("a change once there is space: %v", err)
	}
}

func TestRun_AReserveLetsChangesThroughOnAFullDisk(t *testing.T) {
	dir := smallDisk(t, "8m")
	s := open(t, dir)
	create(t, s, "shop")
	good := filepath.Join(dir, "berth.db.good")
	run(t, s, func() bool { _, err := os.Stat(good); return err == nil })
	fill(t, dir)
	for i := range 100 {
		if err := addEvent(s, fmt.Sprint(i)); err != nil {
			t.Fatalf("change %d on a full disk: %v", i, err)
		}
	}
	s.Close()
	s = open(t, dir)
	if err := addEvent(s, "after a start"); err != nil {
		t.Errorf("a change after a start on a full disk: %v", err)
	}
}

func TestOpen_OnAReadOnlyFilesystemReadsAndRefusesChanges(t *testing.T) {
	dir := smallDisk(t, "4m")
	s := open(t, dir)
	create(t, s, "shop")
	s.Close()
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	if err := s.View(func(tx *store.Tx) error { _, err := tx.App("shop"); return err }); err != nil {
		t.Errorf("reading: %v", err)
	}
	err := addEvent(s, "x")
	wantCode(t, err, "E510")
	if f := fault.From(err); f == nil || !strings.Contains(strings.Join(f.Hints, " "), "writable") {
		t.Errorf("got %+v, want a hint to mount it writable", f)
	}
}

func TestRun_AFilesystemThatIsWritableAgainNeedsNoRestart(t *testing.T) {
	dir := smallDisk(t, "8m")
	s := open(t, dir)
	create(t, s, "shop")
	s.Close()
	remount := func(flags uintptr) {
		if err := unix.Mount("", dir, "", unix.MS_REMOUNT|flags, ""); err != nil {
			t.Fatal(err)
		}
	}
	remount(unix.MS_RDONLY)
	s = open(t, dir)
	wantCode(t, s.Unwritable(), "E510") // before anybody tries a change
	remount(0)
	reading, read := make(chan struct{}), make(chan error, 1)
	end := make(chan struct{})
	go func() {
		read <- s.View(func(tx *store.Tx) error { // a view that has begun sees what it began with
			close(reading)
			<-end
			_, err := tx.App("shop")
			return err
		})
	}()
	<-reading
	views := make(chan error, 1)
	go func() { // others go on all the time
		var err error
		for err == nil {
			select {
			case <-end:
				views <- nil
				return
			default:
				err = s.View(func(tx *store.Tx) error { _, err := tx.App("shop"); return err })
			}
		}
		views <- err
	}()
	time.AfterFunc(50*time.Millisecond, func() { close(end) })
	run(t, s, func() bool { return s.Unwritable() == nil })
	if err := errors.Join(<-read, <-views); err != nil {
		t.Errorf("reading meanwhile: %v", err)
	}
	if err := addEvent(s, "x"); err != nil {
		t.Errorf("a change: %v", err)
	}
	if _, err := store.Open(dir); err == nil {
		t.Error("a second berth opened the file")
	}
	s.Close()
	s = open(t, dir)
	events := 0
	if err := s.View(func(tx *store.Tx) error {
		list, err := tx.Events("shop", 10)
		events = len(list)
		return err
	}); err != nil || events != 1 {
		t.Errorf("%d events are stored, %v; want 1", events, err)
	}
}
