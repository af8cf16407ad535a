package deploy

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

	"github.com/berthd/berth/build"
	"github.com/berthd/berth/store"
)

// collectLogs removes the logs of releases before the first that is kept, and
// of releases and builds that are no longer remembered. One of the releases may
// have failed: its log has had its use.
func (b *LogBook) collectLogs(app string) {
	var old []string
	err := b.db.View(func(tx *store.Tx) error {
		record, err := tx.App(app)
		if err != nil {
			return err
		}
		dir := filepath.Join(b.dir, record.ID())
		releases := numbered(dir, "v", "")
		builds := numbered(filepath.Join(dir, "builds"), "", ".log")
		kept, err := build.Keep(record, tx.EachRelease(app), b.kept())
		if err != nil {
			return err
		}
		first := 0
		if len(kept) > 0 {
			first = kept[len(kept)-1].Number
		}
		for n, path := range releases {
			if n < first || n <= record.LastRelease && !tx.HasRelease(app, n) {
				old = append(old, path)
			}
		}
		for n, path := range builds {
			if n < tx.FirstBuild(app) {
				old = append(old, path)
			}
		}
		return nil
	})
	for _, path := range old {
		err = errors.Join(err, os.RemoveAll(path))
	}
	b.warn("old logs were not removed", err, "app", app)
}

// numbered returns the paths of what a directory holds, by the number between
// prefix and suffix of its names.
func numbered(dir, prefix, suffix string) map[int]string {
	entries, _ := os.ReadDir(dir) // one that is not there holds nothing
	paths := map[int]string{}
	for _, entry := range entries {
		text, is := strings.CutPrefix(entry.Name(), prefix)
		text, ends := strings.CutSuffix(text, suffix)
		if n, err := strconv.Atoi(text); err == nil && is && ends {
			paths[n] = filepath.Join(dir, entry.Name())
		}
	}
	return paths
}

const (
	keptRunLogs  = 500 // of a release's jobs; the store remembers as many runs
	keptSlotLogs = 20  // of one slot in the formation: a crash begins a new one
)

// trimLogs removes all but the newest logs of a source ("web.1", "cron") of a
// release: each container has its own, and a release may live for years.
func (b *LogBook) trimLogs(id string, release int, source string, keep int) {
	dir := b.releaseLogs(id, release)
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
		if source != cronSource {
			continue
		}
		run := log[:strings.LastIndexByte(log, '.')] // each run of a job is a source of its own
		for _, elder := range []string{"", ".1"} {
			os.Remove(filepath.Join(dir, run+"."+noticeLog+".log"+elder))
		}
	}
}
