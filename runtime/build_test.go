package runtime_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berthd/berth/runtime"
)

// key returns a layer key of this test run.
func key(t testing.TB) string {
	k := strings.ReplaceAll(t.Name(), "/", "-") + "-" + runtime.NewID()[:6]
	t.Cleanup(func() {
		if err := shared.Engine.RemoveLayer(context.Background(), k); err != nil {
			t.Error(err)
		}
	})
	return k
}

func build(t testing.TB, spec runtime.LayerSpec) (string, error) {
	t.Helper()
	e, stack := open(t)
	if spec.Parent == "" {
		spec.Parent = stack
	}
	var out bytes.Buffer
	err := e.BuildLayer(t.Context(), spec, &out)
	return out.String(), err
}

func TestBuildLayer_RootLayerIsTheWholeFilesystem(t *testing.T) {
	k := key(t)
	out, err := build(t, runtime.LayerSpec{Key: k, Commands: []runtime.Command{
		sh("id -u; echo one; echo two >&2; echo three; echo tool > /usr/local/bin/tool; chown 33:33 /usr/local/bin/tool"),
		sh("cat /usr/local/bin/tool"),
	}})
	if err != nil {
		t.Fatal(err)
	}
	if out != "0\none\ntwo\nthree\ntool\n" {
		t.Errorf("output %q", out)
	}
	if got, _ := output(t, runtime.Spec{Layer: k}, "stat -c %u /usr/local/bin/tool; ls /run; ls -A /.berth"); !strings.HasPrefix(got, "33\n") {
		t.Errorf("in the layer: %q", got)
	}
}

func TestBuildLayer_OnlyAppIsCaptured(t *testing.T) {
	tools, app := key(t), key(t) // removed in the opposite order
	if _, err := build(t, runtime.LayerSpec{Key: tools, Commands: []runtime.Command{sh("echo '#!/bin/sh' > /usr/bin/cc; chmod 755 /usr/bin/cc")}}); err != nil {
		t.Fatal(err)
	}
	src := t.TempDir()
	os.Chmod(src, 0o755)
	os.WriteFile(filepath.Join(src, "lock"), []byte("v1"), 0o644)
	out, err := build(t, runtime.LayerSpec{Key: app, Builder: tools, UID: 20001, Mounts: []runtime.Mount{{Source: src, Target: "/src"}},
		Labels:   map[string]string{"app": "shop"},
		Commands: []runtime.Command{{Args: []string{"bash", "-c", `pwd; cc && cp /src/lock "$WHERE" && echo x > /tmp/outside; touch /usr/bin/x; id -un`}, Env: []string{"WHERE=/app/my lock"}}}})
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if !strings.Contains(out, "/app\n") || !strings.Contains(out, "Permission denied") || !strings.HasSuffix(out, "app\n") {
		t.Errorf("output %q", out)
	}
	got, _ := output(t, runtime.Spec{Layer: app}, `cat "/app/my lock"; stat -c " %u" "/app/my lock" /app; ls /tmp /src; command -v cc || echo no compiler`)
	if got != "v1 20001\n 20001\nls: cannot access '/src': No such file or directory\n/tmp:\nno compiler" && !strings.Contains(got, "no compiler") || strings.Contains(got, "outside") {
		t.Errorf("in the layer: %q", got)
	}
	layers, err := shared.Engine.Layers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range layers {
		if l.Key == app && (l.Parent != shared.Stack || l.Labels["app"] != "shop" || l.Bytes == 0 || l.Created.IsZero()) {
			t.Errorf("listed as %+v", l)
		}
	}
}

func TestBuildLayer_SameKeyIsBuiltOnce(t *testing.T) {
	e, stack := open(t)
	count := t.TempDir()
	spec := runtime.LayerSpec{Key: key(t), Parent: stack, Mounts: []runtime.Mount{{Source: count, Target: "/count", Writable: true}},
		Commands: []runtime.Command{sh("echo . >> /count/runs; sleep 0.2")}}
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			if err := e.BuildLayer(t.Context(), spec, nil); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if data, _ := os.ReadFile(filepath.Join(count, "runs")); string(data) != ".\n" {
		t.Errorf("the commands ran %d times", strings.Count(string(data), "."))
	}
}

func TestBuildLayer_FailureLeavesNothing(t *testing.T) {
	e, _ := open(t)
	for name, spec := range map[string]runtime.LayerSpec{
		"root":     {UID: 0},
		"app":      {UID: 20001},
		"an image": {UID: 20001, Foreign: true},
	} {
		t.Run(name, func(t *testing.T) {
			k := key(t)
			spec.Key, spec.Commands = k, []runtime.Command{sh("for i in $(seq 30); do echo line $i; echo error $i >&2; done; echo why >&2; exit 9")}
			_, err := build(t, spec)
			failed, ok := errors.AsType[*runtime.CommandError](err)
			if !ok {
				t.Fatalf("error %v, want a CommandError", err)
			}
			if failed.Exit.Code != 9 || len(failed.Tail) < 15 || !strings.HasSuffix(strings.Join(failed.Tail, "\n"), "line 29\nerror 29\nline 30\nerror 30\nwhy") {
				t.Errorf("error %+v", failed)
			}
			if has, _ := e.HasLayer(t.Context(), k); has {
				t.Error("the layer is there")
			}
			nothingLeft(t)
		})
	}
}

func TestBuildLayer_CancelKillsTheCommand(t *testing.T) {
	e, stack := open(t)
	ctx, cancel := context.WithCancel(t.Context())
	started := make(chan struct{})
	var once sync.Once
	out := writerFunc(func(p []byte) (int, error) { once.Do(func() { close(started) }); return len(p), nil })
	go func() {
		<-started
		cancel()
	}()
	began := time.Now()
	err := e.BuildLayer(ctx, runtime.LayerSpec{Key: key(t), Parent: stack, UID: 20001, Commands: []runtime.Command{sh("echo go; exec sleep 1000")}}, out)
	if !errors.Is(err, context.Canceled) || time.Since(began) > 20*time.Second {
		t.Errorf("after %v: %v", time.Since(began), err)
	}
	nothingLeft(t)
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestBuildLayer_ReachesPackages(t *testing.T) {
	k := key(t)
	out, err := build(t, runtime.LayerSpec{Key: k, Limits: runtime.Limits{Memory: 1 << 30}, Commands: []runtime.Command{
		{Args: []string{"apt-get", "-q", "update"}},
		{Args: []string{"apt-get", "-qy", "install", "--no-install-recommends", "python3-minimal"}, Env: []string{"DEBIAN_FRONTEND=noninteractive"}},
	}})
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if got, _ := output(t, runtime.Spec{Layer: k}, "python3 -c 'print(6*7)'"); got != "42" {
		t.Errorf("python says %q", got)
	}
}

func TestAddTree_IsALayerOwnedByTheUser(t *testing.T) {
	e, stack := open(t)
	k := key(t)
	for range 2 {
		tree, err := e.Scratch()
		if err != nil {
			t.Fatal(err)
		}
		os.WriteFile(filepath.Join(tree, "web.py"), []byte("print(1)"), 0o644)
		os.Symlink("/etc/passwd", filepath.Join(tree, "link"))
		if err := e.AddTree(t.Context(), k, stack, tree, "/app", 20001, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(tree); err == nil {
			t.Error("the tree is still there")
		}
	}
	if got, _ := output(t, runtime.Spec{Layer: k}, "cd /app; cat web.py; stat -c ' %u' . web.py link"); got != "print(1) 20001\n 20001\n 20001" {
		t.Errorf("in the layer: %q", got)
	}
	if info, err := os.Stat("/etc/passwd"); err != nil || info.Sys() == nil {
		t.Fatal(err)
	}
}

func TestRemoveLayer_RefusesWhileContainersStandOnIt(t *testing.T) {
	e, stack := open(t)
	k := key(t)
	tree, _ := e.Scratch()
	if err := e.AddTree(t.Context(), k, stack, tree, "/app", 20001, nil); err != nil {
		t.Fatal(err)
	}
	c := create(t, runtime.Spec{Layer: k})
	if err := e.RemoveLayer(t.Context(), k); err == nil {
		t.Error("removed a layer under a container")
	}
	launch(t, c, sh("exit 0"))
	if exit := ended(t, c); exit.Code != 0 {
		t.Errorf("the container was harmed: %+v", exit)
	}
}

// inApp is a shell line in /app.
func inApp(line string) runtime.Command {
	return runtime.Command{Args: []string{"bash", "-c", line}, Dir: "/app"}
}

// sourceTree returns a directory with two files and a link out of it.
func sourceTree(t *testing.T) string {
	src := t.TempDir()
	os.Chmod(src, 0o755)
	os.WriteFile(filepath.Join(src, ".env"), []byte("hidden"), 0o644)
	os.WriteFile(filepath.Join(src, "page"), []byte("hello"), 0o644)
	os.Symlink("/etc/passwd", filepath.Join(src, "link"))
	return src
}

func TestBuildLayer_SourceIsBuiltInPlaceAndStays(t *testing.T) {
	k := key(t)
	if out, err := build(t, runtime.LayerSpec{Key: k, UID: 20001, Source: sourceTree(t), Commands: []runtime.Command{
		inApp("mkdir dist && tr a-z A-Z <page >dist/page"),
	}}); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	got, _ := output(t, runtime.Spec{Layer: k}, `cd /app; cat .env page dist/page; readlink link; stat -c %u page dist/page .`)
	if want := "hiddenhelloHELLO/etc/passwd\n20001\n20001\n20001"; got != want {
		t.Errorf("in the layer: got %q, want %q", got, want)
	}
}

func TestBuildLayer_RootPicksWhatIsToBeKeptOfTheBuilder(t *testing.T) {
	tools, top := key(t), key(t)
	if out, err := build(t, runtime.LayerSpec{Key: tools, Commands: []runtime.Command{
		{Args: []string{"sh", "-c", "mkdir -p /opt/tool/bin /opt/other && echo run >/opt/tool/bin/run && chmod 750 /opt/tool/bin/run && ln -s run /opt/tool/bin/link && touch /opt/tool/doc /usr/bin/fetcher"}},
	}}); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if out, err := build(t, runtime.LayerSpec{Key: top, Builder: tools, Keep: []string{"opt/tool/bin"}}); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	layers, err := shared.Engine.Layers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range layers {
		if l.Key == top && l.Builder != tools {
			t.Errorf("built on %q, want %q", l.Builder, tools)
		}
	}
	got, _ := output(t, runtime.Spec{Layer: top}, `find /opt | sort; stat -c "%u %a" /opt/tool/bin/run; readlink /opt/tool/bin/link; ls /usr/bin/fetcher 2>/dev/null || echo none`)
	if want := "/opt\n/opt/tool\n/opt/tool/bin\n/opt/tool/bin/link\n/opt/tool/bin/run\n0 750\nrun\nnone"; got != want {
		t.Errorf("in the layer: got %q, want %q", got, want)
	}
}

func TestBuildLayer_OnlyWhatIsToBeKeptIs(t *testing.T) {
	deps, app := key(t), key(t)
	if out, err := build(t, runtime.LayerSpec{Key: deps, UID: 20001, Commands: []runtime.Command{
		inApp("mkdir modules && echo tool >modules/tool"),
	}}); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	spec := runtime.LayerSpec{Key: app, Builder: deps, UID: 20001, Source: sourceTree(t), Keep: []string{"dist", "out/*.jar"}, Commands: []runtime.Command{
		inApp("cat modules/tool && mkdir -p dist/sub out && cp page dist/sub/ && ln -s /etc/passwd dist/link && touch out/a.jar out/b.jar out/c.txt"),
	}}
	if out, err := build(t, spec); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	got, _ := output(t, runtime.Spec{Layer: app}, `cd /app; find . | sort; cat dist/sub/page; stat -c " %u" dist out/a.jar`)
	if want := ".\n./dist\n./dist/link\n./dist/sub\n./dist/sub/page\n./out\n./out/a.jar\n./out/b.jar\nhello 20001\n 20001"; got != want {
		t.Errorf("in the layer: got %q, want %q", got, want)
	}

	spec.Key, spec.Keep = app+"-none", []string{"dist", "nowhere"}
	_, err := build(t, spec)
	if none, ok := errors.AsType[*runtime.NotKept](err); !ok || none.Pattern != "nowhere" {
		t.Errorf("a directory that was not made: got %v, want that it is named", err)
	}
	if ok, err := shared.Engine.HasLayer(t.Context(), spec.Key); ok || err != nil {
		t.Errorf("a layer that lacks what it was to hold was kept: %v", err)
	}

	// A directory that the build replaced with a link out of /app.
	spec.Key, spec.Keep = app+"-link", []string{"evil/passwd"}
	spec.Commands = []runtime.Command{inApp("ln -s /etc evil")}
	if _, err := build(t, spec); err == nil {
		t.Error("what lies outside of /app was kept")
	}
}
