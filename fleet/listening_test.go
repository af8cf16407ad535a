package fleet

import "testing"

func TestForRequests_PrefersWhatNoPortLeadsTo(t *testing.T) {
	for _, row := range []struct {
		listens []string
		want    string
		raw     bool
	}{
		{[]string{"0.0.0.0:1883", "0.0.0.0:8080"}, "0.0.0.0:8080", false},
		{[]string{"0.0.0.0:1883"}, "0.0.0.0:1883", true},
		{[]string{"0.0.0.0:8080"}, "0.0.0.0:8080", false},
	} {
		if got, raw := forRequests(row.listens, []string{"1883"}); got != row.want || raw != row.raw {
			t.Errorf("%v: got %s, %v; want %s, %v", row.listens, got, raw, row.want, row.raw)
		}
	}
}
