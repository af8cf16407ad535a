package build

import (
	"strings"
	"testing"

	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
)

func TestSetBuilder_ValuesAreCheckedAndTakenBack(t *testing.T) {
	d := newBuilder(t)
	record := shop(t, d)
	record.Versions = map[string]string{"node": "24.11.1"}
	update(t, d, func(tx *store.Tx) error { return tx.PutApp(record) })
	for _, step := range []struct {
		property, value string
		want            store.Builder
		fails           string
	}{
		{"selected", "python", store.Builder{Selected: "python"}, ""},
		{"selected", "pyhton", store.Builder{Selected: "python"}, `did you mean "python"`},
		{"build-dir", "apps/api/", store.Builder{Selected: "python", BuildDir: "apps/api"}, ""},
		{"build-dir", "../x", store.Builder{Selected: "python", BuildDir: "apps/api"}, "leaves the repository"},
		{"build-dir", "a/../../x", store.Builder{Selected: "python", BuildDir: "apps/api"}, "leaves the repository"},
		{"build-dir", "/x", store.Builder{Selected: "python", BuildDir: "apps/api"}, "begins with /"},
		{"build-dir", "./x", store.Builder{Selected: "python", BuildDir: "apps/api"}, "could be written as x"},
		{"build-dir", "a//b", store.Builder{Selected: "python", BuildDir: "apps/api"}, "could be written as a/b"},
		{"build-dir", "a\x1b", store.Builder{Selected: "python", BuildDir: "apps/api"}, "control character"},
		{"build-dir", strings.Repeat("a", 1001), store.Builder{Selected: "python", BuildDir: "apps/api"}, "too long"},
		{"test", "on", store.Builder{Selected: "python", BuildDir: "apps/api", Test: true}, ""},
		{"test", "yes", store.Builder{Selected: "python", BuildDir: "apps/api", Test: true}, "on or off"},
		{"test", "", store.Builder{Selected: "python", BuildDir: "apps/api"}, ""},
		{"selected", "", store.Builder{BuildDir: "apps/api"}, ""},
		{"build-dir", ".", store.Builder{BuildDir: "."}, ""},
		{"build-dir", "", store.Builder{}, ""},
		{"versions", "24", store.Builder{}, "only takes the value latest"},
		{"colour", "", store.Builder{}, "the properties are selected, build-dir, test, versions"},
	} {
		r, err := d.SetBuilder(t.Context(), "shop", step.property, step.value, store.User{Name: "alice"})
		if step.fails != "" {
			if f := fault.From(err); f == nil || f.Kind != fault.Usage || !strings.Contains(strings.Join(f.Lines(0), "\n"), step.fails) {
				t.Errorf("%s=%q: got %v, want %q", step.property, step.value, err, step.fails)
			}
			continue
		}
		if got := (store.Builder{Selected: r.Selected, BuildDir: r.BuildDir, Test: r.Test}); err != nil || got != step.want {
			t.Errorf("%s=%q: got %+v, %v, want %+v", step.property, step.value, got, err, step.want)
		}
		if r.Versions["node"] != "24.11.1" {
			t.Errorf("%s=%q: the versions are %v", step.property, step.value, r.Versions)
		}
	}
	if r, err := d.SetBuilder(t.Context(), "shop", "versions", "latest", store.User{}); err != nil || len(r.Versions) != 0 {
		t.Errorf("versions latest: got %v, %v", r.Versions, err)
	}
	if _, err := d.SetBuilder(t.Context(), "nope", "test", "on", store.User{}); fault.From(err) == nil || fault.From(err).Kind != fault.NotFound {
		t.Errorf("an app that is not there: got %v", err)
	}
}

func TestAddressed_NamesTheAppAndTheWayToIt(t *testing.T) {
	d := newBuilder(t)
	got := d.addressed("shop", []string{"to choose: builder:set APP selected NAME", "other"})
	if got[0] != "to choose: ssh -p 2222 berth@example.com builder:set shop selected NAME" || got[1] != "other" {
		t.Errorf("got %q", got)
	}
}
