package runtime

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// knobsIn returns the control files of a container in a directory, with what
// they hold.
func knobsIn(t *testing.T, unified bool, files map[string]string) (knobs, func() map[string]string) {
	t.Helper()
	dir := t.TempDir()
	for name, value := range files {
		os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(value), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	read := func() map[string]string {
		now := map[string]string{}
		for name := range files {
			value, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			now[name] = strings.TrimSpace(string(value))
		}
		return now
	}
	return knobs{unified, func(controller string) string { return filepath.Join(dir, controller) }}, read
}

func TestSetLimits_WritesWhatTheKernelReads(t *testing.T) {
	v1 := map[string]string{
		"memory/memory.limit_in_bytes": "536870912", "memory/memory.memsw.limit_in_bytes": "536870912",
		"cpu/cpu.cfs_period_us": "100000", "cpu/cpu.cfs_quota_us": "-1", "pids/pids.max": "1024",
	}
	v2 := map[string]string{
		"memory.max": "536870912", "memory.swap.max": "0", "memory.current": "300000000", "memory.stat": "inactive_file 250000000",
		"cpu.max": "max 100000", "pids.max": "1024",
	}
	for name, tt := range map[string]struct {
		unified bool
		limits  Limits
		want    map[string]string // what differs
	}{
		"v1 lower":   {false, Limits{Memory: 100 << 20, CPUs: .5, Pids: 40}, map[string]string{"memory/memory.limit_in_bytes": "104857600", "memory/memory.memsw.limit_in_bytes": "104857600", "cpu/cpu.cfs_quota_us": "50000", "pids/pids.max": "40"}},
		"v1 raise":   {false, Limits{Memory: 1 << 30, Swap: 2 << 30}, map[string]string{"memory/memory.limit_in_bytes": "1073741824", "memory/memory.memsw.limit_in_bytes": "2147483648"}},
		"v1 usual":   {false, Limits{}, nil},
		"v2 lower":   {true, Limits{Memory: 100 << 20, CPUs: 1.5, Pids: 40}, map[string]string{"memory.max": "104857600", "cpu.max": "150000 100000", "pids.max": "40"}},
		"v2 raise":   {true, Limits{Memory: 1 << 30, Swap: 2 << 30}, map[string]string{"memory.max": "1073741824", "memory.swap.max": "1073741824"}},
		"v2 usual":   {true, Limits{}, nil},
		"v2 no less": {true, Limits{CPUs: .001}, map[string]string{"cpu.max": "1000 100000"}},
	} {
		t.Run(name, func(t *testing.T) {
			files := v1
			if tt.unified {
				files = v2
			}
			k, read := knobsIn(t, tt.unified, files)
			want := maps.Clone(files)
			maps.Copy(want, tt.want)
			if err := k.set(tt.limits); err != nil || !maps.Equal(read(), want) {
				t.Errorf("got %v, %v; want %v", read(), err, want)
			}
		})
	}
}

func TestSetLimits_WhatIsInUseIsNotTaken(t *testing.T) {
	files := map[string]string{"memory.max": "536870912", "memory.current": "300000000", "memory.stat": "inactive_file 100", "cpu.max": "max 100000", "pids.max": "1024"}
	k, read := knobsIn(t, true, files)
	if err := k.set(Limits{Memory: 100 << 20, Pids: 5}); !errors.Is(err, ErrInUse) || !maps.Equal(read(), files) {
		t.Errorf("got %v and %v, want nothing changed", err, read())
	}
}

func TestLimits_SizeOfShm(t *testing.T) {
	mounts := []specs.Mount{{Destination: "/proc"}, {Destination: "/dev/shm", Options: []string{"nosuid", "size=65536k"}}}
	Limits{Shm: 1 << 30}.sizeShm(mounts)
	if want := []string{"nosuid", "size=1073741824"}; !slices.Equal(mounts[1].Options, want) || mounts[0].Options != nil {
		t.Errorf("got %q, want %q", mounts[1].Options, want)
	}
}
