package fleet

import "testing"

func TestStandby_FitsTheReleaseThatTheBuildGets(t *testing.T) {
	s := &Standby{base: "b", release: 4, limits: Limits{Memory: 1}}
	for _, test := range []struct {
		release int
		limits  Limits
		want    bool
	}{{4, s.limits, true}, {5, s.limits, false}, {4, Limits{}, false}} {
		if got := s.Fits(Release{Base: "b", Number: test.release, Limits: test.limits}); got != test.want {
			t.Errorf("v%d with %+v: got %t", test.release, test.limits, got)
		}
	}
	if !(*Standby)(nil).Fits(Release{Base: "b", Number: 4, Limits: s.limits}) {
		t.Error("no containers are not fit")
	}
}
