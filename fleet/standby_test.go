package fleet

import "testing"

func TestStandby_FitsTheReleaseThatTheBuildGets(t *testing.T) {
	of := func(number int, l Limits) Release {
		return Release{Base: "b", Number: number, Processes: []Process{{Type: "web", Limits: l}, {Type: "worker"}}}
	}
	made := Limits{Memory: 1}
	s := &Standby{base: "b", release: 4, limits: map[string]Limits{"web": made}}
	for _, test := range []struct {
		release int
		limits  Limits
		want    bool
	}{{4, made, true}, {5, made, false}, {4, Limits{}, false}} {
		if got := s.Fits(of(test.release, test.limits)); got != test.want {
			t.Errorf("v%d with %+v: got %t", test.release, test.limits, got)
		}
	}
	if !(*Standby)(nil).Fits(of(4, made)) {
		t.Error("no containers are not fit")
	}
}
