package deploy

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berthd/berth/build/progress"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/storetest"
)

func TestCollectLogs_TakesReleasesAndBuildsThatAreForgotten(t *testing.T) {
	d := newDeployer(t)
	record, _ := shop(t, d)
	d.cfg.KeepReleases = 2
	rebuild(d)
	record.Release, record.LastRelease = 11, 13
	update(t, d, func(tx *store.Tx) error {
		for n, status := range map[int]store.ReleaseStatus{
			8: store.ReleaseRetired, 9: store.ReleaseRetired, 11: store.ReleaseLive, 13: store.ReleaseFailed, // 10 and 12 are forgotten
		} {
			if err := tx.PutRelease(store.Release{App: "shop", Number: n, Status: status}); err != nil {
				return err
			}
		}
		return errors.Join(tx.PutApp(record), tx.Builds.Put(store.Build{App: "shop", Number: 20}), tx.Builds.Put(store.Build{App: "shop", Number: 21}))
	})
	for _, dir := range []string{"v8", "v9", "v10", "v11", "v12", "v13", "v14", "builds"} { // v14: a build that goes on
		if err := os.MkdirAll(filepath.Join(d.cfg.Logs, shopID, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, build := range []string{"19.log", "20.log", "22.log"} {
		if err := os.WriteFile(filepath.Join(d.cfg.Logs, shopID, "builds", build), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d.collectLogs("shop")
	for pattern, want := range map[string]string{"builds/*": "20.log 22.log", "v*": "v11 v13 v14 v9"} {
		paths, err := filepath.Glob(filepath.Join(d.cfg.Logs, shopID, pattern))
		for i := range paths {
			paths[i] = filepath.Base(paths[i])
		}
		if got := strings.Join(paths, " "); err != nil || got != want {
			t.Errorf("%s: got %s, %v; want %s", pattern, got, err, want)
		}
	}
}

func TestRecord_ForgetsWhatIsTooOldAndNothingThatIsNeeded(t *testing.T) {
	d := newDeployer(t)
	storetest.History(t, d.db, 450)
	d.cfg.KeepReleases = 200 // half of them failed, so that this reaches back beyond what is remembered
	rebuild(d)
	record, a, err := d.find("shop")
	if err != nil {
		t.Fatal(err)
	}
	for range 4 {
		release := store.Release{App: "shop", Number: record.LastRelease + 1, Status: store.ReleasePending}
		if _, err := d.roll(t.Context(), a, record, release, rollout{}, progress.New()); err != nil {
			t.Fatal(err)
		}
		record.LastRelease++
	}
	err = d.db.View(func(tx *store.Tx) error {
		releases, err := tx.Releases("shop", 0)
		if err != nil {
			return err
		}
		served := 0
		for _, r := range releases {
			if r.Status == store.ReleaseRetired {
				served++
			}
			if r.Status == store.ReleaseFailed && r.Number <= 254 {
				t.Errorf("v%d, which failed, is remembered beyond the last 200", r.Number)
			}
		}
		if served < 199 {
			t.Errorf("%d releases that served are left, and 199 can be rolled back to", served)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
