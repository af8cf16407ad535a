package deploy

import (
	"io"
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
