package fleet

import (
	"testing"
	"time"
)

func TestRestartDelay_GrowsAndIsBounded(t *testing.T) {
	want := map[int]time.Duration{0: 0, 1: 0, 2: time.Second, 3: 2 * time.Second, 4: 4 * time.Second, 10: 256 * time.Second, 11: slowestRestart, 1000: slowestRestart}
	for n, delay := range want {
		if got := restartDelay(n); got != delay {
			t.Errorf("restart %d: got %s, want %s", n, got, delay)
		}
	}
}
