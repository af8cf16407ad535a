package deploy

import (
	"slices"
	"testing"
	"time"

	"github.com/berthd/berth/store"
)

func names(instances []*instance) (list []string) {
	for _, i := range instances {
		list = append(list, i.name())
	}
	return list
}

func TestCompare_KeepsTheOrderOfTheFormation(t *testing.T) {
	a := &app{name: "shop"}
	c := change{
		record:  store.App{Formation: map[string]int{"web": 3, "worker": 1}},
		release: store.Release{Number: 4, Processes: []store.Process{{Type: "web"}, {Type: "worker"}, {Type: "release"}}},
	}
	a.live, _ = a.compare(c)
	c.fresh, c.process = true, "web.2"
	set, missing := a.compare(c)
	if got, want := names(set), []string{"web.1", "web.2", "web.3", "worker.1"}; !slices.Equal(got, want) {
		t.Errorf("the set: got %v, want %v", got, want)
	}
	if got := names(missing); !slices.Equal(got, []string{"web.2"}) || missing[0] == a.live[1] {
		t.Errorf("the missing: got %v, want a new web.2", got)
	}
}

func TestFallBack_IsOfTheReleaseOnTrialAlone(t *testing.T) {
	d := newDeployer(t)
	_, a := shop(t, d)
	onTrial := &trial{release: 2, before: 1, since: time.Now()}
	a.trial = onTrial
	// An instance of the old set crashes on its way out.
	d.fallBack(&instance{app: a, release: store.Release{Number: 1}, process: store.Process{Type: "web"}, number: 1}, "exit code 1")
	if a.trial != onTrial {
		t.Error("the new release is no longer watched")
	}
	d.fallBack(&instance{app: a, release: store.Release{Number: 2}, process: store.Process{Type: "web"}, number: 1}, "exit code 1")
	if a.trial != nil {
		t.Error("a release could fall back twice")
	}
}

func TestRetire_TakesAnInstanceThatNeverCameUp(t *testing.T) {
	d := newDeployer(t)
	i := &instance{app: &app{name: "shop"}, process: store.Process{Type: "worker"}, number: 1, retire: func() {}}
	d.retire(t.Context(), []*instance{i}, nil)
	if got := i.look(t.Context()); got.State != InstanceStopping {
		t.Errorf("got %s", got.State)
	}
}
