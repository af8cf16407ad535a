package build

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/berthd/berth/build/progress"
)

// entrant is a build in the line of a test.
type entrant struct {
	told  []int
	leave chan func()
	err   chan error
}

func join(ctx context.Context, q *queue) *entrant {
	e := &entrant{leave: make(chan func(), 1), err: make(chan error, 1)}
	go func() {
		leave, err := q.enter(ctx, func(builds int) { e.told = append(e.told, builds) })
		e.leave <- leave
		e.err <- err
	}()
	synctest.Wait()
	return e
}

func TestQueue_FirstComeFirstServedAndToldWhereTheyStand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(2)
		first, _ := q.try()
		second, ok := q.try()
		if _, third := q.try(); !ok || third {
			t.Fatal("of two places, not two were given")
		}
		a, b, c := join(t.Context(), q), join(t.Context(), q), join(t.Context(), q)
		first()
		synctest.Wait()
		if len(a.leave) != 1 || len(b.leave) != 0 || len(c.leave) != 0 {
			t.Fatal("the place did not go to the one who came first, alone")
		}
		second()
		second() // giving it back twice gives no second one
		synctest.Wait()
		if len(b.leave) != 1 || len(c.leave) != 0 {
			t.Fatal("the second place did not go to the second, alone")
		}
		if got := c.told; len(got) != 3 || got[0] != 3 || got[2] != 1 {
			t.Errorf("the last was told %v, want 3, 2, 1", got)
		}
		if _, ok := q.try(); ok {
			t.Error("someone overtook the one who waits")
		}
		(<-a.leave)()
		(<-b.leave)()
		(<-c.leave)()
		if q.places != 2 {
			t.Errorf("%d places are free in the end, want 2", q.places)
		}
	})
}

func TestQueue_WhoIsCancelledLeavesNoGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(1)
		leave, _ := q.try()
		ctx, cancel := context.WithCancelCause(t.Context())
		impatient, patient := join(ctx, q), join(t.Context(), q)
		why := errors.New("enough")
		cancel(why)
		synctest.Wait()
		if err := <-impatient.err; err != why {
			t.Errorf("got %v, want the cause", err)
		}
		if got := patient.told; got[len(got)-1] != 1 {
			t.Errorf("the one behind was told %v, want 1 in the end", got)
		}
		leave()
		synctest.Wait()
		if len(patient.leave) != 1 {
			t.Error("the one behind did not get the place")
		}
	})
}

func TestQueue_APlaceThatComesTooLateIsPassedOn(t *testing.T) {
	q := newQueue(1)
	leave, _ := q.try()
	w := &waiter{turn: make(chan struct{}), ahead: make(chan int, 1)}
	q.waiting = append(q.waiting, w)
	leave()
	<-w.turn
	q.forget(w)
	if _, ok := q.try(); !ok {
		t.Error("the place is lost")
	}
}

func TestAwaitPlace_TellsThePusher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &Builder{queue: newQueue(1)}
		var text strings.Builder
		out := progress.New(&text)
		first, err := d.awaitPlace(t.Context(), out)
		if err != nil || text.Len() != 0 || len(out.Steps()) != 0 {
			t.Fatalf("who need not wait: %v, told %q", err, &text)
		}
		for range 2 {
			go func() {
				leave, err := d.awaitPlace(t.Context(), out)
				if err != nil {
					t.Error(err)
					return
				}
				leave()
			}()
			synctest.Wait()
		}
		first()
		synctest.Wait()
		want := "-----> Build    waiting for 1 build before this one\n-----> Build    waiting for 2 builds before this one\n"
		if !strings.HasPrefix(text.String(), want) {
			t.Errorf("got\n%swant\n%s", &text, want)
		}
		if len(out.Steps()) != 2 || out.Steps()[0].Name != "queue" {
			t.Errorf("the steps are %v, want the waiting in it", out.Steps())
		}
	})
}
