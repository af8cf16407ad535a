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
	limit := func() store.Resource {
		record, _, err := d.find("shop")
		if err != nil {
			t.Fatal(err)
		}
		return record.Limit(store.AnyType)
	}
	for _, tt := range []struct {
		name, value string
		want        store.Resource
	}{
		{"memory", "256MB", store.Resource{Memory: 256 << 20}},
		{"memory", "1gb", store.Resource{Memory: 1 << 30}},
		{"memory", "600m", store.Resource{Memory: 600 << 20}},
		{"memory", "", store.Resource{}},
		{"processes", "2048", store.Resource{Pids: 2048}},
		{"processes", "", store.Resource{}},
	} {
		if err := d.SetLimit(t.Context(), "shop", tt.name, tt.value, by, io.Discard); err != nil || limit() != tt.want {
			t.Errorf("%s %q: got %+v, %v; want %+v", tt.name, tt.value, limit(), err, tt.want)
		}
	}
	for _, bad := range [][2]string{
		{"memory", "1"}, {"memory", "0"}, {"memory", "-1GB"}, {"memory", "15MB"}, {"memory", "100000GB"}, {"memory", "99999999999999999999GB"},
		{"memory", "9999999999GB"}, {"memory", "999TB"}, {"memory", "GB"}, {"memory", "lots"}, {"memory", "256"},
		{"processes", "0"}, {"processes", "7"}, {"processes", "-1"}, {"processes", "999999999"}, {"processes", "many"}, {"cpus", "1"}, {"", "1"},
	} {
		err := d.SetLimit(t.Context(), "shop", bad[0], bad[1], by, io.Discard)
		if f := fault.From(err); f == nil || f.Code != "E188" || limit() != (store.Resource{}) {
			t.Errorf("%s %q: got %v, limits %+v; want E188", bad[0], bad[1], err, limit())
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

func TestSetLimit_OfAnEarlierBerthGivesWay(t *testing.T) {
	d := newDeployer(t)
	shop(t, d)
	update(t, d, func(tx *store.Tx) error {
		record, err := tx.App("shop")
		if err != nil {
			return err
		}
		record.Limits = store.Limits{Memory: 1 << 30, Pids: 100}
		return tx.PutApp(record)
	})
	bound := store.User{Name: "ci", Role: store.RoleDeploy, Apps: []string{"shop"}}
	alice := store.User{Name: "alice", Role: store.RoleDeploy}
	for n, step := range []struct {
		by     store.User
		values map[string]string
		code   string
		want   store.Resource
	}{
		{bound, map[string]string{"memory": "1g"}, "", store.Resource{Memory: 1 << 30, Pids: 100}}, // what somebody with access to all apps gave
		{bound, map[string]string{"memory": "1025m"}, "E111", store.Resource{Memory: 1 << 30, Pids: 100}},
		{bound, map[string]string{"memory": "clear", "pids": "clear"}, "", store.Resource{Memory: 1 << 30}},
		{alice, map[string]string{"memory": "300"}, "", store.Resource{Memory: 300 << 20}},
		{alice, map[string]string{"memory": "clear"}, "", store.Resource{}},
	} {
		_, err := d.Resources().Allot(t.Context(), "shop", Allotting{Limit: step.values}, step.by, io.Discard)
		record, _, _ := d.find("shop")
		if fault.CodeOf(err) != step.code || record.Limit("web") != step.want {
			t.Errorf("step %d: got %+v, %v; want %+v, %q", n, record.Limit("web"), err, step.want, step.code)
		}
	}
}
