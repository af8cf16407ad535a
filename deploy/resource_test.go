package deploy

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
)

var (
	operator = store.User{Name: "alice", Role: store.RoleDeploy}
	tenant   = store.User{Name: "ci", Role: store.RoleDeploy, Apps: []string{"shop"}}
)

// types gives the live release of an app process types.
func types(t *testing.T, d *Deployer, app string, names ...string) {
	t.Helper()
	update(t, d, func(tx *store.Tx) error {
		r, err := tx.Release(app, 1)
		if err != nil {
			return err
		}
		for _, name := range names {
			r.Processes = append(r.Processes, store.Process{Type: name, Command: "./" + name})
		}
		return tx.PutRelease(r)
	})
}

func TestAllot_ByTypeAndByWho(t *testing.T) {
	d := newDeployer(t)
	shop(t, d)
	types(t, d, "shop", "web", "worker", "release")
	limit := func(values ...string) map[string]string {
		m := map[string]string{}
		for i := 0; i < len(values); i += 2 {
			m[values[i]] = values[i+1]
		}
		return m
	}
	for n, step := range []struct {
		by   store.User
		a    Allotting
		code string
		want string // memory, cpu and files of web and worker
	}{
		{operator, Allotting{Limit: limit("memory", "256")}, "", "256 0 0, 256 0 0"},
		{operator, Allotting{Process: "web", Limit: limit("memory", "1g", "cpu", "1.5")}, "", "1024 1500 0, 256 0 0"},
		{tenant, Allotting{Process: "web", Limit: limit("memory", "512m", "cpu", "0.5")}, "", "512 500 0, 256 0 0"},
		{tenant, Allotting{Process: "web", Limit: limit("memory", "1025m")}, "E111", "512 500 0, 256 0 0"},
		{tenant, Allotting{Process: "web", Limit: limit("cpu", "1.6")}, "E111", "512 500 0, 256 0 0"},
		{tenant, Allotting{Process: "worker", Limit: limit("memory", "257")}, "E111", "512 500 0, 256 0 0"},
		{tenant, Allotting{Process: "worker", Limit: limit("cpu", "2")}, "", "512 500 0, 256 2000 0"},
		{tenant, Allotting{Process: "web", Limit: limit("memory", "1g", "cpu", "clear")}, "", "1024 1500 0, 256 2000 0"},
		{operator, Allotting{Process: "web", Limit: limit("memory", "700")}, "", "700 1500 0, 256 2000 0"}, // what was the tenant's gives way
		{tenant, Allotting{Process: "web", ClearLimits: true}, "", "700 1500 0, 256 2000 0"},
		{operator, Allotting{Process: "web", ClearLimits: true}, "", "256 0 0, 256 2000 0"},
		{tenant, Allotting{Limit: limit("files", "65537")}, "E", ""}, // more than the machine has, or than is usual
		{tenant, Allotting{Limit: limit("files", "64")}, "", "256 0 64, 256 2000 64"},
		{tenant, Allotting{Reserve: limit("memory", "16")}, "E111", "256 0 64, 256 2000 64"},
		{operator, Allotting{Reserve: limit("memory", "257")}, "E628", "256 0 64, 256 2000 64"},
		{operator, Allotting{Reserve: limit("memory", "64", "cpu", "0.1")}, "", "256 0 64, 256 2000 64"},
		{tenant, Allotting{Reserve: limit("memory", "32")}, "", "256 0 64, 256 2000 64"},
		{tenant, Allotting{Reserve: limit("memory", "33")}, "E111", "256 0 64, 256 2000 64"},
		{operator, Allotting{Reserve: limit("pids", "33")}, "E625", "256 0 64, 256 2000 64"},
		{operator, Allotting{Process: "clock", Limit: limit("memory", "256")}, "E115", "256 0 64, 256 2000 64"},
		{operator, Allotting{Process: "release", Limit: limit("memory", "256")}, "E115", "256 0 64, 256 2000 64"},
		{operator, Allotting{Limit: limit("memory", "300", "memory-swap", "299")}, "E625", "256 0 64, 256 2000 64"},
		{tenant, Allotting{Limit: limit("memory-swap", "300")}, "E", ""},
		{operator, Allotting{ClearLimits: true}, "", "0 0 0, 0 0 0"},
	} {
		_, err := d.Resources().Allot(t.Context(), "shop", step.a, step.by, io.Discard)
		if got := fault.CodeOf(err); got != step.code && (step.code != "E" || got == "") {
			t.Errorf("step %d: got %v, want %q", n, err, step.code)
		}
		record, _, _ := d.find("shop")
		show := func(process string) string {
			r := record.Limit(process)
			return fmt.Sprint(r.Memory>>20, r.CPU, r.Files)
		}
		if got := show("web") + ", " + show("worker"); step.want != "" && got != step.want {
			t.Errorf("step %d: the limits are %s, want %s", n, got, step.want)
		}
	}
}

func TestAllot_RefusesWhatIsNoValue(t *testing.T) {
	d := newDeployer(t)
	shop(t, d)
	for _, bad := range [][2]string{
		{"memory", ""}, {"memory", "15"}, {"memory", "-1"}, {"memory", "1e9"}, {"memory", "999t"}, {"memory", "9999999999g"}, {"memory", "١m"},
		{"cpu", "0"}, {"cpu", "NaN"}, {"cpu", "Inf"}, {"cpu", "-1"}, {"cpu", "1e3"}, {"cpu", "0x1"}, {"cpu", "100000"}, {"cpu", "0.001"}, {"cpu", "."},
		{"pids", "1"}, {"files", "1"}, {"files", "99999999999999"}, {"shm", "1k"}, {"disk", "1"[:0]}, {"network", "1"}, {"nvidia-gpu", "1"},
	} {
		_, err := d.Resources().Allot(t.Context(), "shop", Allotting{Limit: map[string]string{bad[0]: bad[1]}}, operator, io.Discard)
		if fault.CodeOf(err) != "E625" {
			t.Errorf("%s %q: got %v, want E625", bad[0], bad[1], err)
		}
	}
	if record, _, _ := d.find("shop"); len(record.Resources) > 0 {
		t.Errorf("something was stored: %+v", record.Resources)
	}
}

// reserving makes an app that holds so many MB for each of two web instances.
func reserving(t *testing.T, d *Deployer, name string, mb int64) store.App {
	t.Helper()
	var record store.App
	update(t, d, func(tx *store.Tx) (err error) {
		record, err = tx.CreateApp(store.App{Name: name, Release: 1, LastRelease: 1, Formation: map[string]int{"web": 2}})
		if err != nil {
			return err
		}
		record.Resources = store.Resources{store.AnyType: {Reserve: store.Resource{Memory: mb << 20, CPU: 250}}}
		if err := tx.Resources.Put(record); err != nil {
			return err
		}
		return tx.PutRelease(store.Release{App: name, Number: 1, Status: store.ReleaseLive, Config: map[string]string{}, Processes: []store.Process{{Type: "web"}}})
	})
	return record
}

func TestPromise_WhatDoesNotFitIsRefusedWithWhoHoldsWhat(t *testing.T) {
	d := newDeployer(t)
	d.machine = func() (int64, int64) { return 2256 << 20, 4000 } // 2000 MB can be promised
	reserving(t, d, "blog", 300)
	reserving(t, d, "secret", 200)
	shop := reserving(t, d, "shop", 100)
	release := store.Release{Processes: []store.Process{{Type: "web"}}}
	try := func(by store.User, web int, mb int64) error {
		record := shop
		record.Formation = map[string]int{"web": web}
		record.Resources = store.Resources{"web": {Reserve: store.Resource{Memory: mb << 20, CPU: 250}}}
		done, err := d.promise(record, release, by)
		if err == nil {
			done()
		}
		return err
	}
	if err := try(operator, 10, 100); err != nil {
		t.Errorf("what fits is refused: %v", err)
	}
	if err := try(operator, 9, 100); err != nil {
		t.Errorf("it did not give back what it held: %v", err)
	}
	sees := store.User{Name: "bob", Role: store.RoleDeploy, Apps: []string{"shop", "blog"}}
	f := fault.From(try(operator, 10, 101))
	if f == nil || f.Code != "E626" || !strings.Contains(strings.Join(f.Evidence, "\n"), "secret") {
		t.Errorf("got %v", f)
	}
	if f := fault.From(try(operator, 13, 1)); f == nil || f.Code != "E626" || !strings.Contains(f.Message, "CPU") {
		t.Errorf("got %v", f)
	}
	// A key that is bound to apps starts no more than its app was given.
	if err := try(sees, 2, 100); err != nil {
		t.Errorf("got %v", err)
	}
	if f := fault.From(try(sees, 3, 100)); f == nil || f.Code != "E111" {
		t.Errorf("got %v, want E111", f)
	}
	d.machine = func() (int64, int64) { return 1256 << 20, 4000 } // it has shrunk
	if err := try(operator, 2, 100); err != nil {
		t.Errorf("what it holds already is refused: %v", err)
	}
	table := strings.Join(heldTable(room(1<<30, 1000), holder{"shop", store.Resource{Memory: 1 << 30}}, []holder{
		{"blog", store.Resource{Memory: 600 << 20}}, {"secret", store.Resource{Memory: 100 << 20}}, {"hidden", store.Resource{Memory: 300 << 20}},
	}, sees), "\n")
	if strings.Contains(table, "secret") || strings.Contains(table, "hidden") || !strings.Contains(table, "other apps") || !strings.Contains(table, "400 MiB") || !strings.Contains(table, "blog") {
		t.Errorf("it says to one who sees shop and blog:\n%s", table)
	}
}

func TestPromise_TwoAtOnceDoNotGetTheSame(t *testing.T) {
	d := newDeployer(t)
	d.machine = func() (int64, int64) { return 1256 << 20, 4000 } // 1000 MB
	one, two := reserving(t, d, "one", 10), reserving(t, d, "two", 10)
	release := store.Release{Processes: []store.Process{{Type: "web"}}}
	for _, record := range []*store.App{&one, &two} {
		record.Resources = store.Resources{"web": {Reserve: store.Resource{Memory: 300 << 20}}}
	}
	done, err := d.promise(one, release, operator)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.promise(two, release, operator); fault.CodeOf(err) != "E626" {
		t.Errorf("both got the same memory: %v", err)
	}
	done()
	if _, err := d.promise(two, release, operator); err != nil {
		t.Errorf("what was given up is still kept: %v", err)
	}
}

func TestPlanFormation_AKeyOfOneAppKeepsNoMoreForItLater(t *testing.T) {
	d := newDeployer(t)
	reserving(t, d, "shop", 100)
	plan := func(by store.User, web int) error {
		return d.db.Update(func(tx *store.Tx) error { return PlanFormation(tx, "shop", map[string]int{"web": web}, by) })
	}
	if err := plan(tenant, 3); fault.CodeOf(err) != "E111" {
		t.Errorf("got %v, want E111", err)
	}
	if err := plan(tenant, 1); err != nil {
		t.Error(err)
	}
	if err := plan(operator, 3); err != nil {
		t.Error(err)
	}
}
