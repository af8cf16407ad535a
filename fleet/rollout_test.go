package fleet

import (
	"slices"
	"testing"
)

func names(instances []*instance) (list []string) {
	for _, i := range instances {
		list = append(list, i.name())
	}
	return list
}

func TestCompare_KeepsTheOrderOfTheFormation(t *testing.T) {
	a := new(Fleet).NewApp(70000, "shop")
	c := Change{Release: Release{Number: 4, Processes: []Process{{Type: "web", Count: 3}, {Type: "worker", Count: 1}, {Type: "clock"}}}}
	a.live, _ = a.compare(c)
	c.Fresh, c.Process = true, "web.2"
	set, missing := a.compare(c)
	if got, want := names(set), []string{"web.1", "web.2", "web.3", "worker.1"}; !slices.Equal(got, want) {
		t.Errorf("the set: got %v, want %v", got, want)
	}
	if got := names(missing); !slices.Equal(got, []string{"web.2"}) || missing[0] == a.live[1] {
		t.Errorf("the missing: got %v, want a new web.2", got)
	}
}
