package store_test

import (
	"errors"
	"testing"

	"github.com/berthd/berth/store"
)

func TestCronRuns_LastIsTheNewestRunOfEachJob(t *testing.T) {
	s := open(t, t.TempDir())
	create(t, s, "shop")
	create(t, s, "blog")
	err := s.Update(func(tx *store.Tx) (err error) {
		for _, run := range []store.CronRun{{App: "shop", Job: "a"}, {App: "shop", Job: "b"}, {App: "shop", Job: "a"}, {App: "shop", Job: "gone"}, {App: "blog", Job: "never"}} {
			_, failed := tx.CronRuns.Put(run)
			err = errors.Join(err, failed)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	err = s.View(func(tx *store.Tx) error {
		last, err := tx.CronRuns.Last("shop", []string{"a", "b", "never"})
		if len(last) != 2 || last["a"].Number != 3 || last["b"].Number != 2 || last["a"].App != "shop" {
			t.Errorf("got %+v", last)
		}
		none, failed := tx.CronRuns.Last("shop", nil)
		if len(none) != 0 {
			t.Errorf("of no jobs: %+v", none)
		}
		return errors.Join(err, failed)
	})
	if err != nil {
		t.Fatal(err)
	}
}
