package runtime

import "testing"

func TestPace_AStarvedBuildIsLetInUntilItGetsOn(t *testing.T) {
	idle := true
	for _, step := range []struct {
		cores float64
		want  bool
	}{
		{1.9, true},   // all that is left over
		{0.2, true},   // little is left over
		{0.01, false}, // nothing is: by weight
		{0.2, false},  // that is its weight, and no more
		{1.2, true},   // there is something left over again
	} {
		if idle = pace(idle, step.cores); idle != step.want {
			t.Errorf("after %.2f cores: idle %v, want %v", step.cores, idle, step.want)
		}
	}
}
