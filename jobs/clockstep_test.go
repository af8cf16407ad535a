package jobs

import (
	"testing"
	"time"
)

func TestClockStep_IsWhatTheClockMovedBeyondTheTimeThatWentBy(t *testing.T) {
	noon := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		after   time.Time
		elapsed time.Duration
		want    time.Duration
	}{
		{noon.Add(10 * time.Second), 10 * time.Second, 0},
		{noon.Add(10*time.Second + 300*time.Millisecond), 10 * time.Second, 0},
		{noon.Add(10*time.Second - time.Hour), 10 * time.Second, -time.Hour},
		{noon.Add(2 * time.Hour), 10 * time.Second, 2*time.Hour - 10*time.Second},
	} {
		if got := clockStep(noon, tt.after, tt.elapsed); got != tt.want {
			t.Errorf("%s later by the clock, %s in truth: got %s, want %s", tt.after.Sub(noon), tt.elapsed, got, tt.want)
		}
	}
}
