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
)

const (
	keptRunLogs  = 500 // of a release's jobs; the store remembers as many runs
	keptSlotLogs = 20  // of one slot in the formation: a crash begins a new one
)

// Trim removes all but the newest logs of a source ("web.1", "cron") of a
// release: each container has its own, and a release may live for years.
func (b *Book) Trim(app fleet.Ref, release int, source string) {
	keep := keptSlotLogs
	if source == jobs.Source {
		keep = keptRunLogs
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
	written := map[string]time.Time{}
	for _, name := range names {
		log, _, isLog := strings.Cut(name.Name(), ".log")
		if !isLog || !strings.HasPrefix(log, source+".") || strings.HasSuffix(log, "."+noticeLog) {
			continue // notices go with the last log of their source
		}
		files[log] = append(files[log], name.Name())
		if info, err := name.Info(); err == nil && info.ModTime().After(written[log]) {
			written[log] = info.ModTime()
		}
	}
	logs := slices.SortedFunc(maps.Keys(files), func(a, b string) int { return written[b].Compare(written[a]) })
	for _, log := range logs[min(keep, len(logs)):] {
		for _, name := range files[log] {
			b.warn("an old log was not removed", os.Remove(filepath.Join(dir, name)), "id", id)
		}
		if source != jobs.Source {
			continue
		}
		run := log[:strings.LastIndexByte(log, '.')] // each run of a job is a source of its own
		for _, elder := range []string{"", ".1"} {
			os.Remove(filepath.Join(dir, run+"."+noticeLog+".log"+elder))
		}
	}
}
