package fault_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/berthd/berth/store/fault"
)

func TestLines_BreaksBetweenWordsAndObeysNothing(t *testing.T) {
	f := fault.New(fault.Failed, "E301", "web.1 did not become healthy in \x1b[31mthirty\x1b[0m seconds").
		With("| \x1b]0;title\x07evidence stands as it was seen, however long it is, \x00and whole").
		Hint("add flask to requirements.txt").Hint("https://example.com/a-word-that-is-longer-than-a-line-stands-alone and more")
	want := []string{
		"error: web.1 did not become healthy in",
		"       thirty seconds [E301]",
		"       | evidence stands as it was seen, however long it is, and whole",
		"hint:  add flask to requirements.txt",
		"       https://example.com/a-word-that-is-longer-than-a-line-stands-alone",
		"       and more",
	}
	if got := f.Lines(40); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

type detailed struct{}

func (detailed) Error() string           { return "it is broken" }
func (detailed) FaultCode() string       { return "E999" }
func (detailed) FaultEvidence() []string { return []string{"seen"} }
func (detailed) FaultHints() []string    { return []string{"mend it"} }

func TestFrom_FindsTheFaultInTheChain(t *testing.T) {
	own := fault.New(fault.NotFound, "E101", "no app")
	if got := fault.From(fmt.Errorf("more: %w", own)); got != own {
		t.Errorf("a wrapped fault: got %v", got)
	}
	got := fault.From(fmt.Errorf("more: %w", detailed{}))
	if got == nil || got.Code != "E999" || got.Message != "it is broken" || len(got.Evidence) != 1 || len(got.Hints) != 1 {
		t.Errorf("another room's error: got %+v", got)
	}
	if got := fault.From(errors.New("internal")); got != nil {
		t.Errorf("an internal error: got %v, want nil", got)
	}
}

func TestNearest(t *testing.T) {
	names := []string{"blog", "shop", "shop-staging"}
	for word, want := range map[string]string{"blgo": "blog", "shp": "shop", "shop-": "shop", "shop-st": "shop-staging", "zebra": "", "": "", "x": ""} {
		if got := fault.Nearest(word, names); got != want {
			t.Errorf("%q: got %q, want %q", word, got, want)
		}
	}
}
