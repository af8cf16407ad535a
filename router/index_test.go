package router

import (
	"fmt"
	"maps"
	"testing"
)

func TestIndex_ACopyChangesNothingOfTheOneBefore(t *testing.T) {
	before := newIndex[int]()
	for n := range 1000 {
		before.set(fmt.Sprint(n), n)
	}
	after := before.clone()
	for n := range 1000 {
		switch n % 3 {
		case 0:
			after.delete(fmt.Sprint(n))
		case 1:
			after.set(fmt.Sprint(n), -n)
		}
	}
	after.set("new", 1)
	for n := range 1000 {
		want := [3]int{0, -n, n}[n%3]
		if got := after.get(fmt.Sprint(n)); got != want {
			t.Errorf("after the change %d stands for %d, want %d", n, got, want)
		}
		if got := before.get(fmt.Sprint(n)); got != n {
			t.Errorf("before the change %d stands for %d", n, got)
		}
	}
	if got := len(maps.Collect(before.all())); got != 1000 || before.get("new") != 0 {
		t.Errorf("the one before has %d names, want 1000", got)
	}
	if got := len(maps.Collect(after.all())); got != 1000-334+1 {
		t.Errorf("the copy has %d names, want %d", got, 1000-334+1)
	}
}
