package sshd

import (
	"context"
	"io"
	"sync"
	"testing"
	"testing/synctest"
)

func TestTurns_TidyingYieldsToAPush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ts turns
		var group sync.WaitGroup
		working, ended := false, 0
		tidy := func() {
			ts.tidy(t.Context(), "70001", &group, func(ctx context.Context) {
				working = true
				<-ctx.Done() // as git does when it is killed
				working = false
				ended++
			})
			synctest.Wait()
		}
		take := func() *turn {
			turn, err := ts.take(t.Context(), "70001", "shop", "alice", io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			return turn
		}
		tidy()
		if !working {
			t.Fatal("nothing is tidied while nobody pushes")
		}
		tidy() // once at a time
		turn := take()
		if working || ended != 1 {
			t.Errorf("the push runs beside the tidying (working %v, ended %d)", working, ended)
		}
		tidy()
		if working {
			t.Error("tidying has begun beside a push")
		}
		turn.done()
		tidy()
		if !working {
			t.Error("nothing is tidied after the push")
		}
		take().done()
		group.Wait()
	})
}
