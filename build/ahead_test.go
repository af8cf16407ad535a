package build

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berthd/berth/build/progress"
	"github.com/berthd/berth/buildpacks"
	"github.com/berthd/berth/buildpacks/plan"
	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
)

// What is made at the start is what the first push of the bundled example needs.
func TestUsualPlan_IsTheDemosToolchain(t *testing.T) {
	const stack = "stack-x"
	made, err := usualPlan(stack)
	if err != nil {
		t.Fatal(err)
	}
	demo, err := buildpacks.Detect(plan.Request{FS: os.DirFS("../packaging/demo"), Digest: "demo", Stack: stack, Owner: "20000"})
	if err != nil {
		t.Fatal(err)
	}
	keys := func(layers []plan.Layer) (keys []string) {
		for _, l := range shared(layers) {
			keys = append(keys, l.Key)
		}
		return keys
	}
	got, want := keys(made.Layers), keys(demo.Layers)
	if len(got) == 0 || strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("got the layers %q, want the demo's %q", got, want)
	}
	// Each stands on the stack or on one that is made before it.
	there := map[string]bool{stack: true, "": true}
	for _, l := range shared(made.Layers) {
		if !there[l.Parent] || !there[l.Builder] {
			t.Errorf("%s stands on %s and is built with %s, which are not made before it", l.Name, l.Parent, l.Builder)
		}
		if l.Source || len(l.Inputs) > 0 {
			t.Errorf("%s needs a repository", l.Name)
		}
		there[l.Key] = true
	}
}

// The chatter of berth's own tools is kept with the build, and is not the pusher's.
func TestReport_RecordOnlyIsNotPrinted(t *testing.T) {
	var pusher, record bytes.Buffer
	out := progress.New(&pusher, &record)
	out.Record = &record
	out.Conceal(map[string]string{"TOKEN": "s3cret"})
	out.Step("Base", "Debian 13")
	w := out.RecordOnly()
	if _, err := w.Write([]byte("I: chroot architecture amd64\nW: \x1b[31ms3cret\n")); err != nil {
		t.Fatal(err)
	}
	if got, want := pusher.String(), "-----> Base     Debian 13\n"; got != want {
		t.Errorf("the pusher reads %q, want %q", got, want)
	}
	for _, want := range []string{"-----> Base     Debian 13\n", "       I: chroot architecture amd64\n", "[secret]"} {
		if !strings.Contains(record.String(), want) {
			t.Errorf("the record lacks %q:\n%s", want, &record)
		}
	}
	if strings.ContainsAny(record.String(), "\x1b") || strings.Contains(record.String(), "s3cret") {
		t.Errorf("the record has a terminal code or a secret: %q", &record)
	}
	if _, err := progress.New(&pusher).RecordOnly().Write([]byte("x\n")); err != nil {
		t.Error(err)
	}
}

func TestBaseFault_SaysWhyInTheToolsWords(t *testing.T) {
	f := fault.From(baseFault(&runtime.CommandError{Args: []string{"mmdebstrap"}, Exit: runtime.Exit{Code: 1}, Tail: []string{"E: cannot resolve"}}))
	if f == nil || f.Code != "E502" || len(f.Hints) == 0 || !strings.Contains(strings.Join(f.Evidence, "\n"), "cannot resolve") {
		t.Errorf("got %+v", f)
	}
	if _, ok := errors.AsType[*runtime.CommandError](baseFault(&runtime.CommandError{})); !ok {
		t.Error("the cause is lost")
	}
}

// A restart of the same program has nothing to look for in the repositories.
func TestForeseenPlans_AppsOnlyForAnotherProgram(t *testing.T) {
	d := newBuilder(t)
	shop(t, d)
	looked := func(program string) bool {
		t.Helper()
		os.RemoveAll(d.cfg.Git.Dir)
		plans, err := d.foreseenPlans(t.Context(), "stack-x", program)
		if err != nil || len(plans) == 0 {
			t.Fatalf("got %v, %v; want the usual app's at least", plans, err)
		}
		_, err = os.Stat(d.cfg.Git.Dir) // opening a repository makes it
		return err == nil
	}
	if !looked("1.0") {
		t.Error("a first start does not look at the apps")
	}
	if err := os.MkdirAll(d.cfg.Caches, 0o700); err != nil {
		t.Fatal(err)
	}
	former := filepath.Join(d.cfg.Caches, ".made-ahead")
	if err := os.WriteFile(former, []byte("0.9"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := d.markMadeAhead("1.0"); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(d.cfg.Caches); err != nil || len(left) > 0 {
		t.Errorf("among the caches are %v, %v", left, err)
	}
	if looked("1.0") {
		t.Error("a restart looks at the apps")
	}
	if !looked("1.1") {
		t.Error("an upgrade does not look at the apps")
	}
}

// aheadPushed makes the base filesystem and the layers of the usual app, as its
// first push does.
func aheadPushed(t *testing.T, d *Builder) (out *bytes.Buffer, done chan error) {
	t.Helper()
	out, done = new(bytes.Buffer), make(chan error, 1)
	made, err := usualPlan(runtime.StackKey())
	if err != nil {
		t.Fatal(err)
	}
	layers := shared(made.Layers)
	report := progress.New(out)
	go func() {
		_, err := d.stack(t.Context(), report)
		if err == nil {
			err = d.makeLayers(t.Context(), store.App{Name: "shop"}, &plan.Plan{Layers: layers}, &source{}, nil, report)
		}
		done <- err
	}()
	return out, done
}

// usualLayers is a machine on which the base filesystem takes 40 s and the usual
// toolchain a minute.
func usualLayers(t *testing.T) *slowLayers {
	t.Helper()
	made, err := usualPlan(runtime.StackKey())
	if err != nil {
		t.Fatal(err)
	}
	takes := map[string]time.Duration{runtime.StackKey(): 40 * time.Second}
	for _, layer := range shared(made.Layers) {
		takes[layer.Key] = time.Minute / time.Duration(len(shared(made.Layers)))
	}
	return &slowLayers{takes: takes}
}

func TestMakeAhead_LogsWhatItMadeAndHowLongItTook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newBuilder(t)
		var log bytes.Buffer
		d.log = slog.New(slog.NewTextHandler(&log, nil))
		layers := usualLayers(t)
		d.engine = madeBy{layerMaker: layers}
		d.MakeAhead(t.Context())
		want := fmt.Sprintf(`msg="the layers that pushes need were built ahead" layers=%d took=1m40s`, len(layers.takes))
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log has no %s:\n%s", want, &log)
		}
		log.Reset()
		d.MakeAhead(t.Context())
		if log.Len() > 0 || len(layers.begun) != len(layers.takes) {
			t.Errorf("the second time: made %v, logged %s", layers.begun, &log)
		}
		out, done := aheadPushed(t, d)
		if err := <-done; err != nil || strings.Contains(out.String(), "ready after") {
			t.Errorf("a push after it: %v\n%s", err, out)
		}
	})
}

func TestMakeAhead_AFailureIsLoggedAndTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newBuilder(t)
		var log bytes.Buffer
		d.log = slog.New(slog.NewTextHandler(&log, nil))
		layers := usualLayers(t)
		layers.fails = map[string]error{runtime.StackKey(): errors.New("no route to host")}
		d.engine = madeBy{layerMaker: layers}
		d.MakeAhead(t.Context())
		if text := log.String(); !strings.Contains(text, "level=WARN") || !strings.Contains(text, "no route to host") || strings.Contains(text, "were built ahead\"") {
			t.Errorf("logged %s", text)
		}
		layers.fails = nil
		d.MakeAhead(t.Context())
		if !strings.Contains(log.String(), "were built ahead\" layers=") {
			t.Errorf("the second time it logged %s", &log)
		}
	})
}

// Whoever pushes while it is made ahead reads what is waited for, since when it
// is being made, and how long the push itself waited.
func TestMakeAhead_APushMeanwhileSaysWhatItWaitsFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newBuilder(t)
		layers := usualLayers(t)
		d.engine = madeBy{layerMaker: layers}
		d.deploys.Background(d.MakeAhead)
		time.Sleep(12 * time.Second)
		out, done := aheadPushed(t, d)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if got := len(layers.begun); got != len(layers.takes) {
			t.Errorf("%d layers were begun, want %d: each once", got, len(layers.takes))
		}
		want := []string{"-----> Base     " + runtime.StackTitle, "in progress for 12s already; this push waits for it", "... 15s", "ready after 28.0s",
			"-----> Build    ", "ready after "}
		rest := out.String()
		for _, line := range want {
			_, after, found := strings.Cut(rest, line)
			if !found {
				t.Fatalf("no %q in what is left of the push's output:\n%s", line, out)
			}
			rest = after
		}
	})
}
