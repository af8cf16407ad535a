package fleet

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berthd/berth/store"
)

func TestWatch_LivenessEndsAfterItsAttemptsInARow(t *testing.T) {
	bad := errors.New("status 503")
	for name, row := range map[string]struct {
		check store.HealthCheck
		goes  []error // try by try, the last for ever
		tries int     // when it returned; 0 is not at all
		after time.Duration
	}{
		"it stays well":          {store.HealthCheck{Type: "liveness", Wait: 5}, []error{nil}, 0, 0},
		"it fails for good":      {store.HealthCheck{Type: "liveness", Wait: 5}, []error{nil, bad}, 4, 20 * time.Second},
		"it recovers":            {store.HealthCheck{Type: "liveness", Wait: 5}, []error{bad, bad, nil, bad, bad, nil}, 0, 0},
		"attempts are set":       {store.HealthCheck{Type: "liveness", Wait: 2, Attempts: 1}, []error{nil, bad}, 2, 4 * time.Second},
		"it is given time":       {store.HealthCheck{Type: "liveness", InitialDelay: 60, Attempts: 2}, []error{bad}, 2, 61 * time.Second},
		"readiness stops nobody": {store.HealthCheck{Type: "readiness", Wait: 5}, []error{bad}, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour+time.Second/2)
				defer cancel()
				tries, told, began := 0, []error(nil), time.Now()
				w := watch{check: row.check, try: func(context.Context) error {
					tries++
					return row.goes[min(tries, len(row.goes))-1]
				}}
				err := w.run(ctx, func(err error) { told = append(told, err) })
				if row.tries == 0 {
					if err != nil || ctx.Err() == nil {
						t.Errorf("returned %v after %v", err, time.Since(began))
					}
				} else if err != bad || tries != row.tries || time.Since(began) != row.after {
					t.Errorf("returned %v after %d tries and %v, want %d and %v", err, tries, time.Since(began), row.tries, row.after)
				}
				if len(told) != tries || told[0] != row.goes[0] {
					t.Errorf("%d of %d tries were told of", len(told), tries)
				}
			})
		})
	}
}

func TestFailing_IsOverWhenTheLastCheckPasses(t *testing.T) {
	var told []string
	f := newFailing(func(why string) { told = append(told, why) })
	f.set(0, errors.New("a"))
	f.set(1, errors.New("b"))
	f.set(0, nil)
	f.set(1, nil)
	if want := []string{"a", "a, b", "b", ""}; !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
}
