package deploy

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/berthd/berth/build"
	"github.com/berthd/berth/store"
)

// collectLogs removes the logs of releases before the first that is kept, and
// of releases and builds that are no longer remembered. One of the releases may
// have failed: its log has had its use.
func (d *Deployer) collectLogs(app string) {
	var old []string
	err := d.db.View(func(tx *store.Tx) error {
		record, err := tx.App(app)
		if err != nil {
			return err
		}
		dir := filepath.Join(d.cfg.Logs, record.ID())
		releases := numbered(dir, "v", "")
		builds := numbered(filepath.Join(dir, "builds"), "", ".log")
		kept, err := build.Keep(record, tx.EachRelease(app), d.build.KeptReleases())
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
			if n < tx.Builds.First(app) {
				old = append(old, path)
			}
		}
		return nil
	})
	for _, path := range old {
		err = errors.Join(err, os.RemoveAll(path))
	}
	d.warn("old logs were not removed", err, "app", app)
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
