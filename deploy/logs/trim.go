package logs

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/berthd/berth/fleet"
	"github.com/berthd/berth/jobs"
	"github.com/berthd/berth/store"
)

const (
	keptRunLogs    = store.KeptCronRuns // of a release's jobs; the store remembers as many runs
	keptOneOffLogs = store.KeptOneOffs  // of a release's detached one-offs, likewise
	keptSlotLogs   = 20                 // of one slot in the formation: a crash begins a new one

	// keptBytes bounds the logs of a release's jobs, and those of its one-offs: a
	// job that floods its log would fill the disk of all. The newest log stays
	// whatever it takes; it is bounded itself.
	keptBytes = 512 << 20
)

// Trim removes all but the newest logs of a source ("web.1", "cron") of a
// release: each container has its own, and a release may live for years.
func (b *Book) Trim(app fleet.Ref, release int, source string) {
	keep := keptSlotLogs
	switch source {
	case jobs.Source:
		keep = keptRunLogs
	case jobs.OneOffSource:
		keep = keptOneOffLogs
	}
	b.trim(strconv.Itoa(app.UID), release, source, keep)
}

func (b *Book) trim(id string, release int, source string, keep int) {
	dir := b.Dir(id, release)
	names, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		b.warn("old logs cannot be listed", err, "id", id)
	}
	files := map[string][]string{} // log → it and its rotated elders
	written, sizes := map[string]time.Time{}, map[string]int64{}
	for _, name := range names {
		log, _, isLog := strings.Cut(name.Name(), ".log")
		if !isLog || !strings.HasPrefix(log, source+".") || strings.HasSuffix(log, "."+noticeLog) {
			continue // notices go with the last log of their source
		}
		files[log] = append(files[log], name.Name())
		info, err := name.Info()
		if err != nil {
			continue
		}
		sizes[log] += info.Size()
		if info.ModTime().After(written[log]) {
			written[log] = info.ModTime()
		}
	}
	logs := slices.SortedFunc(maps.Keys(files), func(a, b string) int { return written[b].Compare(written[a]) })
	runs := source == jobs.Source || source == jobs.OneOffSource
	if runs { // each of them is a source of its own
		var bytes int64
		for n, log := range logs {
			if bytes += sizes[log]; n > 0 && bytes > keptBytes {
				keep = min(keep, n)
				break
			}
		}
	}
	for _, log := range logs[min(keep, len(logs)):] {
		for _, name := range files[log] {
			b.warn("an old log was not removed", os.Remove(filepath.Join(dir, name)), "id", id)
		}
		if !runs {
			continue
		}
		run := log[:strings.LastIndexByte(log, '.')]
		for _, elder := range []string{"", ".1"} {
			os.Remove(filepath.Join(dir, run+"."+noticeLog+".log"+elder))
		}
	}
}
