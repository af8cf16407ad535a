package deploy

import (
	"io"
	"strings"
	"testing"

	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
)

func TestSetLimit_WithinTheMachine(t *testing.T) {
	d := newDeployer(t)
	shop(t, d)
	by := store.User{Name: "alice", Role: store.RoleDeploy}
	limits := func() (l store.Limits) {
		record, _, err := d.find("shop")
		if err != nil {
			t.Fatal(err)
		}
		return record.Limits
	}
	for _, tt := range []struct {
		name, value string
		want        store.Limits
	}{
		{"memory", "256MB", store.Limits{Memory: 256 << 20}},
		{"memory", "1gb", store.Limits{Memory: 1 << 30}},
		{"memory", "600m", store.Limits{Memory: 600 << 20}},
		{"memory", "1.5GB", store.Limits{Memory: 1536 << 20}},
		{"memory", "512 MiB", store.Limits{Memory: 512 << 20}},
		{"memory", "", store.Limits{}},
		{"processes", "2048", store.Limits{Pids: 2048}},
		{"processes", "", store.Limits{}},
	} {
		if err := d.SetLimit(t.Context(), "shop", tt.name, tt.value, by, io.Discard); err != nil || limits() != tt.want {
			t.Errorf("%s %q: got %+v, %v; want %+v", tt.name, tt.value, limits(), err, tt.want)
		}
	}
	for _, bad := range [][2]string{
		{"memory", "1"}, {"memory", "0"}, {"memory", "-1GB"}, {"memory", "15MB"}, {"memory", "100000GB"}, {"memory", "99999999999999999999GB"},
		{"memory", "9999999999GB"}, {"memory", "1TB"}, {"memory", "GB"}, {"memory", "lots"},
		{"processes", "0"}, {"processes", "7"}, {"processes", "-1"}, {"processes", "999999999"}, {"processes", "many"}, {"cpus", "1"}, {"", "1"},
	} {
		err := d.SetLimit(t.Context(), "shop", bad[0], bad[1], by, io.Discard)
		if f := fault.From(err); f == nil || f.Code != "E188" || limits() != (store.Limits{}) {
			t.Errorf("%s %q: got %v, limits %+v; want E188", bad[0], bad[1], err, limits())
		}
	}
}

func TestSetLimit_AKeyOfOneAppTakesNothingFromOthers(t *testing.T) {
	d := newDeployer(t)
	shop(t, d)
	bound := store.User{Name: "ci", Role: store.RoleDeploy, Apps: []string{"shop"}}
	for value, code := range map[string]string{"513MB": "E111", "1GB": "E111", "512MB": "", "64MB": "", "": ""} {
		err := d.SetLimit(t.Context(), "shop", "memory", value, bound, io.Discard)
		if f := fault.From(err); (f == nil) != (code == "") || f != nil && (f.Code != code || !strings.Contains(f.Hints[0], "512 MiB")) {
			t.Errorf("%q: got %v, want %q", value, err, code)
		}
	}
}
