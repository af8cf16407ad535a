package store_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/berthd/berth/store"
)

func events(t *testing.T, s *store.Store, app string, limit int) (events []store.Event) {
	t.Helper()
	err := s.View(func(tx *store.Tx) (err error) {
		events, err = tx.Events(app, limit)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return events
}

func TestEvents_OfOneAppAmongMany(t *testing.T) {
	s := open(t, t.TempDir())
	create(t, s, "shop")
	create(t, s, "other")
	update(t, s, func(tx *store.Tx) error {
		for n := range 300 {
			e := store.Event{App: "other", By: "berth", Kind: "deploy", Text: `v1: "app":"shop"`} // of which the text says so
			if n%100 == 0 {
				e = store.Event{App: "shop", By: "alice", Kind: "deploy", Text: fmt.Sprint(n)}
			}
			if err := tx.AddEvent(e); err != nil {
				return err
			}
		}
		return nil
	})
	got := events(t, s, "shop", 2)
	if len(got) != 2 || got[0].Text != "200" || got[1].Text != "100" {
		t.Errorf("got %+v", got)
	}
}

func TestEvents_ACrashLoopPushesOutNothingThatSomebodyDid(t *testing.T) {
	s := open(t, t.TempDir())
	create(t, s, "shop")
	create(t, s, "quiet")
	const did, crashed = 300, 20_000
	update(t, s, func(tx *store.Tx) error {
		for n := range did {
			if err := tx.AddEvent(store.Event{App: "shop", By: "alice", Kind: "config", Text: fmt.Sprint(n)}); err != nil {
				return err
			}
		}
		return errors.Join(
			tx.AddEvent(store.Event{App: "quiet", By: "berth", Kind: "oom", Text: "once"}),
			tx.AddEvent(store.Event{By: "root", Kind: "settings", Text: "changed the settings"}))
	})
	for range crashed / 2000 {
		update(t, s, func(tx *store.Tx) error {
			for range 2000 {
				if err := tx.AddEvent(store.Event{App: "shop", By: "berth", Kind: "crash", Text: "web.1 of v1 crashed: exit code 1"}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	update(t, s, func(tx *store.Tx) error {
		return tx.AddEvent(store.Event{App: "shop", By: "alice", Kind: "config", Text: fmt.Sprint(did)})
	})

	var audit, crashes, others int
	last := uint64(1 << 62)
	for _, e := range events(t, s, "", 0) {
		if e.ID >= last {
			t.Fatalf("event %d comes after %d: they are not in their order", e.ID, last)
		}
		last = e.ID
		switch {
		case e.Kind == "config":
			audit++
		case e.Kind == "crash":
			crashes++
		default:
			others++
		}
	}
	if audit != did+1 || others != 2 || crashes != 1000 {
		t.Errorf("%d of %d that somebody did are left, %d of 2 others, %d crashes; want all of the first and the last 1000 crashes", audit, did+1, others, crashes)
	}
	if got := events(t, s, "quiet", 0); len(got) != 1 {
		t.Errorf("the other app has %+v, want its own event", got)
	}
	if got := events(t, s, "shop", 2); len(got) != 2 || got[0].Text != fmt.Sprint(did) || got[1].Kind != "crash" {
		t.Errorf("the newest are %+v", got)
	}
}

func TestEvents_ManyAppsInACrashLoopAreBoundedTogether(t *testing.T) {
	s := open(t, t.TempDir())
	for n := range 12 {
		name := fmt.Sprintf("app-%d", n)
		create(t, s, name)
		update(t, s, func(tx *store.Tx) error {
			for range 1100 {
				if err := tx.AddEvent(store.Event{App: name, By: "berth", Kind: "crash"}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	got := events(t, s, "", 0)
	if len(got) != 10_000 {
		t.Errorf("%d are remembered, want 10,000", len(got))
	}
	if n := len(events(t, s, "app-0", 0)); n != 0 {
		t.Errorf("%d of the oldest app are left", n)
	}
	if n := len(events(t, s, "app-11", 0)); n != 1000 {
		t.Errorf("the newest app has %d, want its share of 1000", n)
	}
}

func TestEvents_OfAnAppThatIsGoneAreNotTheNextOnes(t *testing.T) {
	s := open(t, t.TempDir())
	first := create(t, s, "shop")
	update(t, s, func(tx *store.Tx) error {
		return errors.Join(
			tx.AddEvent(store.Event{App: "shop", By: "alice", Kind: "destroy", Text: "destroyed"}),
			tx.DeleteApp("shop"))
	})
	if got := events(t, s, "shop", 0); len(got) != 1 || got[0].AppID != first.UID || got[0].Time.IsZero() {
		t.Errorf("of the app that is gone: got %+v, want its end", got)
	}
	create(t, s, "shop")
	if got := events(t, s, "shop", 0); len(got) != 0 {
		t.Errorf("the next app of the name has %+v", got)
	}
	all := events(t, s, "", 0)
	if len(all) != 1 || all[0].App != "shop" || !strings.Contains(all[0].Text, "destroyed") {
		t.Errorf("of all: got %+v", all)
	}
}
