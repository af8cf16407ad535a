package deploy

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/berthd/berth/store"
)

func TestSetConfig_RollsOutWhatWasStoredWithoutARestart(t *testing.T) {
	d := newDeployer(t)
	shop(t, d)
	by, set := store.User{Name: "alice"}, map[string]string{"COLOR": "blue"}
	if r, err := d.SetConfig(t.Context(), "shop", set, nil, true, by, io.Discard); err != nil || r.Number != 1 {
		t.Fatalf("stored only: got v%d, %v; want v1", r.Number, err)
	}
	r, err := d.SetConfig(t.Context(), "shop", set, nil, false, by, io.Discard)
	if err != nil || r.Number != 2 || r.Config["COLOR"] != "blue" {
		t.Errorf("the same with a restart: got v%d with %v, %v; want v2", r.Number, r.Config, err)
	}
	r, err = d.SetConfig(t.Context(), "shop", set, nil, false, by, io.Discard)
	if err != nil || r.Number != 2 {
		t.Errorf("once more: got v%d, %v; want v2 to stay", r.Number, err)
	}
}

func TestConfigText_NamesNotThousands(t *testing.T) {
	set := map[string]string{}
	for n := range 2700 {
		set[fmt.Sprintf("NAME_%04d", n)] = "x"
	}
	got := configText(set, []string{"A", "B"})
	if !strings.HasPrefix(got, "Set NAME_0000, NAME_0001") || !strings.HasSuffix(got, "NAME_0019 and 2680 more; Unset A, B") {
		t.Errorf("got %s", got)
	}
}
