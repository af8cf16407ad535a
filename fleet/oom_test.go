package fleet

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestOOMWatch_ReportsTheFirstKillAtOnceAndTheRestAtAPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var kills atomic.Int64
		kills.Store(2) // before berth looked
		began := time.Now()
		var told []string
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			oomWatch{
				kills: func() (int64, int64) { return kills.Load(), 512 << 20 },
				tell: func(n, limit int64) {
					told = append(told, fmt.Sprintf("%d of %d at %s", n, limit>>20, time.Since(began)))
				},
			}.run(ctx)
		}()
		time.Sleep(12 * time.Second)
		kills.Store(3)
		time.Sleep(10 * time.Second)
		for range 60 { // a worker after the other, for ten minutes
			kills.Add(1)
			time.Sleep(10 * time.Second)
		}
		cancel()
		<-done
		if want := []string{"1 of 512 at 15s", "30 of 512 at 5m15s", "30 of 512 at 10m15s"}; !slices.Equal(told, want) {
			t.Errorf("got %q, want %q", told, want)
		}
	})
}
