package deploy

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/berthd/berth/fleet/formation"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
)

func TestSetProcesses_WithinTheMachine(t *testing.T) {
	d := newDeployer(t)
	shop(t, d)
	by := store.User{Name: "alice", Role: store.RoleDeploy}
	limits := func() (l store.Resource) {
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
		{"memory", "1.5GB", store.Resource{Memory: 1536 << 20}},
		{"memory", "512 MiB", store.Resource{Memory: 512 << 20}},
		{"memory", "", store.Resource{}},
		{"processes", "2048", store.Resource{Pids: 2048}},
		{"processes", "", store.Resource{}},
	} {
		if err := d.SetProcesses(t.Context(), "shop", tt.name, tt.value, by, io.Discard); err != nil || limits() != tt.want {
			t.Errorf("%s %q: got %+v, %v; want %+v", tt.name, tt.value, limits(), err, tt.want)
		}
	}
	for _, bad := range [][2]string{
		{"memory", "1"}, {"memory", "0"}, {"memory", "-1GB"}, {"memory", "15MB"}, {"memory", "100000GB"}, {"memory", "99999999999999999999GB"},
		{"memory", "9999999999GB"}, {"memory", "1TB"}, {"memory", "GB"}, {"memory", "lots"},
		{"processes", "0"}, {"processes", "7"}, {"processes", "-1"}, {"processes", "999999999"}, {"processes", "many"}, {"cpus", "1"}, {"", "1"}, {"rollout", "sideways"},
	} {
		err := d.SetProcesses(t.Context(), "shop", bad[0], bad[1], by, io.Discard)
		if f := fault.From(err); f == nil || f.Code != "E188" || limits() != (store.Resource{}) {
			t.Errorf("%s %q: got %v, limits %+v; want E188", bad[0], bad[1], err, limits())
		}
	}
}

func TestSetProcesses_AKeyOfOneAppTakesNothingFromOthers(t *testing.T) {
	d := newDeployer(t)
	shop(t, d)
	bound := store.User{Name: "ci", Role: store.RoleDeploy, Apps: []string{"shop"}}
	for _, usual := range []struct {
		all, shown string // what is set for all apps, and what an app has by it
		codes      map[string]string
	}{
		{"", "512 MiB", map[string]string{"513MB": "E111", "1GB": "E111", "512MB": "", "64MB": "", "": ""}},
		{"256MB", "256 MiB", map[string]string{"257MB": "E111", "512MB": "E111", "256MB": "", "": ""}},
		{"600MB", "600 MiB", map[string]string{"601MB": "E111", "600MB": "", "513MB": ""}},
	} {
		if err := d.SetProcesses(t.Context(), "", "memory", usual.all, store.Root, io.Discard); err != nil {
			t.Fatal(err)
		}
		for value, code := range usual.codes {
			err := d.SetProcesses(t.Context(), "shop", "memory", value, bound, io.Discard)
			if f := fault.From(err); (f == nil) != (code == "") || f != nil && (f.Code != code || !strings.Contains(f.Hints[0], usual.shown)) {
				t.Errorf("%q with %q for all apps: got %v, want %q", value, usual.all, err, code)
			}
		}
	}
}

// What is set for all apps counts for what runs of those that have no value of
// their own, and no record has it.
func TestSetProcesses_ForAllApps(t *testing.T) {
	d := newDeployer(t)
	shop(t, d)
	set := func(app, name, value string) {
		t.Helper()
		if err := d.SetProcesses(t.Context(), app, name, value, store.Root, io.Discard); err != nil {
			t.Fatal(err)
		}
	}
	check := func(rollout store.Rollout, limits store.Limits) {
		t.Helper()
		record, _, err := d.find("shop")
		if err != nil {
			t.Fatal(err)
		}
		if got := d.counts(record); got.Rollout != rollout || got.Limits != limits {
			t.Errorf("got %s, %+v; want %s, %+v", got.Rollout, got.Limits, rollout, limits)
		}
	}
	check(store.StartFirst, store.Limits{})
	set("", "memory", "256MB")
	set("", "processes", "100")
	set("", "rollout", "stop-first")
	check(store.StopFirst, store.Limits{Memory: 256 << 20, Pids: 100})
	if record, _, _ := d.find("shop"); record.Limits != (store.Limits{}) || record.Rollout != "" {
		t.Errorf("the record has what is set for all apps: %+v", record)
	}
	set("shop", "memory", "64MB")
	set("shop", "rollout", "start-first")
	check(store.StartFirst, store.Limits{Memory: 64 << 20, Pids: 100})
	set("shop", "memory", "")
	set("shop", "rollout", "")
	set("", "memory", "")
	set("", "rollout", "")
	check(store.StartFirst, store.Limits{Pids: 100})
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

func TestSetProcesses_HowItStopsAndIsWatched(t *testing.T) {
	d := newDeployer(t)
	shop(t, d)
	for n, step := range []struct {
		app, name, value string
		code             string
		want             string
	}{
		{"shop", "watch-seconds", "", "", " 0 60"},
		{"", "watch-seconds", "120", "", " 0 120"},
		{"shop", "watch-seconds", "0", "", " 0 0"},
		{"shop", "stop-signal", "int", "", "SIGINT 0 0"},
		{"shop", "stop-signal", "KILL", "E188", "SIGINT 0 0"},
		{"shop", "stop-timeout-seconds", "90", "", "SIGINT 90 0"},
		{"shop", "stop-timeout-seconds", "601", "E188", "SIGINT 90 0"},
		{"shop", "stop-timeout-seconds", "-1", "E188", "SIGINT 90 0"},
		{"shop", "watch-seconds", "", "", "SIGINT 90 120"},
	} {
		err := d.SetProcesses(t.Context(), step.app, step.name, step.value, operator, io.Discard)
		record, _, _ := d.find("shop")
		c := d.counts(record)
		if got := fmt.Sprint(c.StopSignal, " ", c.StopSeconds, " ", c.WatchSeconds); got != step.want || fault.CodeOf(err) != step.code {
			t.Errorf("step %d: got %q, %v; want %q, %q", n, got, err, step.want, step.code)
		}
		release := formation.Of(c, store.Release{})
		if release.StopSignal != c.StopSignal || release.Grace != time.Duration(c.StopSeconds)*time.Second {
			t.Errorf("step %d: what runs has %s, %v", n, release.StopSignal, release.Grace)
		}
	}
}
