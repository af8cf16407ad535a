package build

import (
	"strings"
	"testing"

	"github.com/berthd/berth/buildpacks/mirror"
	"github.com/berthd/berth/buildpacks/plan"
	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store/fault"
)

func TestMountArchive_WhatIsGoneIsNamed(t *testing.T) {
	d := newBuilder(t)
	record := shop(t, d)
	d.cfg.Mirror = mirror.Open(t.TempDir())
	spec := runtime.LayerSpec{}
	if err := d.mountArchive(&spec, plan.Layer{}); err != nil || len(spec.Mounts) > 0 {
		t.Errorf("a layer of no archive: got %v, %v", spec.Mounts, err)
	}
	layer := plan.Layer{Archive: &mirror.Archive{Tool: "go", Version: "1.99.0", Name: "go1.99.0.linux-amd64.tar.gz", Sum: "1"}}
	f := fault.From(d.addressedProblem(record.Name, d.mountArchive(&spec, layer)))
	if f == nil || f.Code != "E213" || !strings.Contains(f.Message, "go/go1.99.0.linux-amd64.tar.gz") {
		t.Fatalf("got %v", f)
	}
	if hints := strings.Join(f.Hints, "\n"); !strings.Contains(hints, "builder:set shop versions latest") {
		t.Errorf("the hints are for no app:\n%s", hints)
	}
}
