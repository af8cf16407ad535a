package deploy

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/berthd/berth/store/fault"
)

func TestLine_OneAtATimeInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l line
		leave, err := l.enter(t.Context(), &ticket{what: "first"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		order := make(chan string, 3)
		for _, name := range []string{"second", "third"} {
			go func() {
				var waitedFor string
				leave, err := l.enter(t.Context(), &ticket{what: name}, func(holder string) { waitedFor = holder })
				if err != nil {
					t.Errorf("%s: %v", name, err)
					return
				}
				if waitedFor != "first" {
					t.Errorf("%s was told that it waits for %q, want first", name, waitedFor)
				}
				order <- name
				leave()
			}()
			synctest.Wait()
		}
		if len(order) != 0 {
			t.Fatal("someone entered while the first was in")
		}
		leave()
		if a, b := <-order, <-order; a != "second" || b != "third" {
			t.Errorf("got %s, then %s", a, b)
		}
	})
}

func TestLine_NewestOfTheWaitingPushesWins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l line
		leave, _ := l.enter(t.Context(), &ticket{what: "a build", push: true}, nil)
		results := map[string]chan error{}
		for _, name := range []string{"old", "scale", "new"} {
			results[name] = make(chan error, 1)
			go func() {
				leave, err := l.enter(t.Context(), &ticket{what: name, push: name != "scale"}, nil)
				if err == nil && name != "scale" {
					l.supersede()
				}
				if err == nil {
					leave()
				}
				results[name] <- err
			}()
			synctest.Wait()
		}
		if _, waiting := l.state(); waiting != "new" {
			t.Errorf("waiting: got %q, want new", waiting)
		}
		leave()
		if err := <-results["new"]; err != nil {
			t.Errorf("new: %v", err)
		}
		f := fault.From(<-results["old"])
		if f == nil || f.Code != "E401" {
			t.Errorf("the older push: got %v, want E401", f)
		}
		if err := <-results["scale"]; err != nil {
			t.Errorf("scale: %v", err)
		}
		if holder, _ := l.state(); holder != "" {
			t.Errorf("the line is still held by %q", holder)
		}
	})
}

func TestLine_WhoGivesUpWaitingLeavesNoGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l line
		leave, _ := l.enter(t.Context(), &ticket{what: "first"}, nil)
		ctx, cancel := context.WithCancel(t.Context())
		gaveUp := make(chan error)
		go func() {
			_, err := l.enter(ctx, &ticket{what: "impatient"}, nil)
			gaveUp <- err
		}()
		synctest.Wait()
		entered := make(chan error)
		go func() {
			leave, err := l.enter(t.Context(), &ticket{what: "patient"}, nil)
			if err == nil {
				leave()
			}
			entered <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-gaveUp; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want the context's error", err)
		}
		leave()
		if err := <-entered; err != nil {
			t.Errorf("the one behind: %v", err)
		}
	})
}
