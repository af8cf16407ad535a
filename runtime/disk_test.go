package runtime_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/berthd/berth/runtime"
)

func TestDiskUsed_CountsWhatWasWrittenSinceAndNothingElse(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	write := func(name string, size int) {
		os.MkdirAll(filepath.Dir(name), 0o700)
		if err := os.WriteFile(name, make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(dir, "old"), 1<<20)
	time.Sleep(20 * time.Millisecond) // files are stamped by the tick
	since := time.Now().Add(-10 * time.Millisecond)
	write(filepath.Join(dir, "deep", "new"), 2<<20)
	write(filepath.Join(outside, "elsewhere"), 8<<20)
	os.Link(filepath.Join(dir, "deep", "new"), filepath.Join(dir, "again"))
	os.Symlink(outside, filepath.Join(dir, "link"))
	for _, c := range []struct {
		since time.Time
		want  int64 // MiB
	}{{time.Time{}, 3}, {since, 2}} {
		got, err := runtime.DiskUsed(t.Context(), dir, c.since)
		if err != nil || got>>20 != c.want {
			t.Errorf("since %v: got %d bytes, %v; want %d MiB", c.since, got, err, c.want)
		}
	}
	if _, err := runtime.DiskUsed(t.Context(), filepath.Join(dir, "nothing"), time.Time{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no directory: got %v", err)
	}
}

// stopped builds a layer that has to be stopped for what it writes, and returns why.
func stopped(t *testing.T, spec runtime.LayerSpec) *runtime.DiskError {
	t.Helper()
	began := time.Now()
	out, err := build(t, spec)
	short, ok := errors.AsType[*runtime.DiskError](err)
	if !ok {
		t.Fatalf("error %v, want a DiskError\n%s", err, out)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
	if has, _ := shared.Engine.HasLayer(context.Background(), spec.Key); has {
		t.Error("the layer is there")
	}
	nothingLeft(t)
	return short
}

// The bytes are random where they have to lie on the disk: some filesystems
// make holes of zeros.
const writeMuch = "head -c 60M /dev/urandom > %s; sleep 100"

func TestDisk_StopsWhoWritesMoreThanTheBudget(t *testing.T) {
	open(t)
	cache := t.TempDir()
	os.Chown(cache, 20001, 20001)
	if err := os.WriteFile(filepath.Join(cache, "from before"), make([]byte, 50<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	time.Sleep(20 * time.Millisecond)
	for _, c := range []struct {
		name, target, place string
		uid                 int
	}{
		{"the layer", "/app/big", "/app", 20001},
		{"what is thrown away", "/tmp/big", "outside /app", 20001},
		{"a cache", "/cache/big", "/cache", 20001},
		{"a root layer", "/usr/big", "/", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			short := stopped(t, runtime.LayerSpec{Key: key(t), UID: c.uid, Disk: &runtime.Disk{Budget: 40 << 20},
				Mounts:   []runtime.Mount{{Source: cache, Target: "/cache", Writable: true}},
				Commands: []runtime.Command{sh(strings.Replace(writeMuch, "%s", c.target, 1))}})
			if short.Full || short.Written < 40<<20 || len(short.Uses) == 0 || short.Uses[0].Place != c.place {
				t.Errorf("got %+v, want %s to be too large", short, c.place)
			}
		})
	}
}

func TestDisk_TheLayersOfABuildShareTheBudget(t *testing.T) {
	open(t)
	disk := &runtime.Disk{Budget: 40 << 20}
	first := key(t)
	write := sh("head -c 25M /dev/urandom > /app/some")
	if out, err := build(t, runtime.LayerSpec{Key: first, UID: 20001, Disk: disk, Commands: []runtime.Command{write}}); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	stopped(t, runtime.LayerSpec{Key: key(t), UID: 20001, Disk: disk, Commands: []runtime.Command{write}})
}

// smallDisk returns a directory on a filesystem of its own, of 100 MiB.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=100m,mode=0777"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, 0) })
	return dir
}

func TestDisk_StopsABuildBeforeTheDiskIsFull(t *testing.T) {
	open(t)
	dir := smallDisk(t)
	short := stopped(t, runtime.LayerSpec{Key: key(t), UID: 20001, Disk: &runtime.Disk{Reserve: 1 << 30},
		Mounts:   []runtime.Mount{{Source: dir, Target: "/cache", Writable: true}},
		Commands: []runtime.Command{sh("head -c 90M /dev/zero > /cache/much; for i in $(seq 10); do head -c 1M /dev/zero > /cache/$i; sleep 0.3; done; sleep 100")}})
	if !short.Full || short.Free > 5<<20 || short.Free == 0 || short.Uses[0].Place != "/cache" {
		t.Errorf("got %+v, want it to be stopped with a little less than a twentieth left", short)
	}
}

func TestDisk_AProgramThatDiedOfAFullDiskIsToldSo(t *testing.T) {
	open(t)
	dir := smallDisk(t)
	short := stopped(t, runtime.LayerSpec{Key: key(t), UID: 20001, Disk: &runtime.Disk{Reserve: 1 << 30},
		Mounts:   []runtime.Mount{{Source: dir, Target: "/cache", Writable: true}},
		Commands: []runtime.Command{sh("fallocate -l 99M /cache/big; exit 3")}})
	if !short.Full {
		t.Errorf("got %+v, want a full disk", short)
	}
}

// A file with holes takes no room until it is copied.
func TestDisk_WhatIsKeptCountsAsItIsCopied(t *testing.T) {
	open(t)
	stopped(t, runtime.LayerSpec{Key: key(t), UID: 20001, Keep: []string{"dist"}, Disk: &runtime.Disk{Budget: 40 << 20},
		Commands: []runtime.Command{inApp("mkdir dist && truncate -s 4G dist/hole")}})
}
