package build

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berthd/berth/build/progress"
	"github.com/berthd/berth/buildpacks/plan"
	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// slowLayers makes layers in a time of their own.
type slowLayers struct {
	takes map[string]time.Duration
	fails map[string]error

	mu    sync.Mutex
	stack chan struct{} // closed when the base filesystem is made; nil when nobody has begun
	begun []string
	made  []string
}

func (s *slowLayers) HasLayer(_ context.Context, key string) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Contains(s.made, key), nil
}

func (s *slowLayers) Room() (runtime.Room, error) {
	return runtime.Room{Size: 1 << 40, Free: 1 << 40}, nil
}

// StackLayer is made once, as the engine does: a second one waits for the first.
func (s *slowLayers) StackLayer(ctx context.Context, out io.Writer) (string, error) {
	key := runtime.StackKey()
	s.mu.Lock()
	under := s.stack
	if under == nil {
		s.stack = make(chan struct{})
	}
	s.mu.Unlock()
	if under != nil {
		<-under
		if have, err := s.HasLayer(ctx, key); have || err != nil {
			return key, err
		}
		return "", errors.New("the first could not make it")
	}
	io.WriteString(out, "I: extracting\n")
	err := s.BuildLayer(ctx, runtime.LayerSpec{Key: key}, out)
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.stack)
	if err != nil {
		s.stack = nil
	}
	return key, err
}

func (s *slowLayers) BuildLayer(ctx context.Context, spec runtime.LayerSpec, _ io.Writer) error {
	s.mu.Lock()
	s.begun = append(s.begun, spec.Key)
	s.mu.Unlock()
	select {
	case <-time.After(s.takes[spec.Key]):
	case <-ctx.Done():
		return ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fails[spec.Key]; err != nil {
		return err
	}
	s.made = append(s.made, spec.Key)
	return nil
}

// nodePlan is a toolchain of two layers, a list of packages, dependencies.
func nodePlan(app string) *plan.Plan {
	return &plan.Plan{Layers: []plan.Layer{
		{Name: "Node toolchain", Key: "node", Root: true},
		{Name: "Node build tools", Key: "tools", Root: true},
		{Name: "apt-packages", Key: "apt " + app, Root: true, Listed: true},
		{Name: "dependencies", Key: "deps " + app},
	}}
}

// pushed is what came of making a plan's layers.
type pushed struct {
	err chan error
	out bytes.Buffer
}

func makeAll(ctx context.Context, d *Builder, app string) *pushed {
	p := &pushed{err: make(chan error, 1)}
	go func() {
		record, err := find(d.db, "shop")
		if err == nil {
			err = d.makeLayers(ctx, record, nodePlan(app), &source{}, nil, progress.New(&p.out))
		}
		p.err <- err
	}()
	synctest.Wait()
	return p
}

func TestMakeLayers_AToolchainIsNotThePushersTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newBuilder(t)
		shop(t, d)
		layers := &slowLayers{takes: map[string]time.Duration{"node": 20 * time.Minute, "tools": 20 * time.Minute, "deps a": 14 * time.Minute}}
		d.engine = madeBy{layerMaker: layers}
		p := makeAll(t.Context(), d, "a")
		if err := <-p.err; err != nil {
			t.Errorf("a build of 14 minutes after a toolchain of 40: %v", err)
		}
		layers.takes["deps b"] = 16 * time.Minute
		err := <-makeAll(t.Context(), d, "b").err
		f := fault.From(err)
		if f == nil || f.Code != code.BuildTimeout || !slices.Contains(f.Hints, "finished steps are kept: push again to continue from there") {
			t.Errorf("a build of 16 minutes: got %v", err)
		}
		layers.takes["node"], layers.made = 31*time.Minute, nil
		if f := fault.From(<-makeAll(t.Context(), d, "c").err); f == nil || f.Code != code.ToolchainTimeout {
			t.Errorf("a toolchain of 31 minutes: got %v", f)
		}
	})
}

func TestMakeLayers_AToolchainIsMadeOnceAndToItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newBuilder(t)
		shop(t, d)
		layers := &slowLayers{takes: map[string]time.Duration{"node": 5 * time.Minute, "tools": 5 * time.Minute, "apt a": time.Minute}}
		d.engine = madeBy{layerMaker: layers}
		ctx, cancel := context.WithCancelCause(t.Context())
		why := errCancelled("build 1", bob)
		first := makeAll(ctx, d, "a")
		second := makeAll(t.Context(), d, "b")
		time.Sleep(time.Minute)
		cancel(why)
		if err := <-first.err; !errors.Is(err, why) {
			t.Errorf("the first push ended with %v", err)
		}
		if err := <-second.err; err != nil {
			t.Errorf("the second push: %v", err)
		}
		synctest.Wait()
		if got, want := strings.Join(layers.begun, ", "), "node, tools, apt b, deps b"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}

func TestMakeLayers_TheRestOfAToolchainIsMadeWithoutThePush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newBuilder(t)
		shop(t, d)
		layers := &slowLayers{takes: map[string]time.Duration{"node": 5 * time.Minute, "tools": 5 * time.Minute}}
		d.engine = madeBy{layerMaker: layers}
		ctx, cancel := context.WithCancelCause(t.Context())
		p := makeAll(ctx, d, "a")
		cancel(errCancelled("build 1", bob))
		<-p.err
		time.Sleep(time.Hour)
		synctest.Wait()
		if got := strings.Join(layers.made, ", "); got != "node, tools" {
			t.Errorf("made %s, want the toolchain and nothing of the app's own", got)
		}
		if len(d.making) != 0 || len(d.pins.all()) != 0 {
			t.Errorf("left are %v and the pins %v", d.making, d.pins.all())
		}
	})
}

func TestMakeLayers_OneToolchainAtATimeIsMadeWithoutAPush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newBuilder(t)
		shop(t, d)
		layers := &slowLayers{takes: map[string]time.Duration{"node 1": 5 * time.Minute, "node 2": 5 * time.Minute}}
		d.engine = madeBy{layerMaker: layers}
		for _, version := range []string{"node 1", "node 2"} {
			ctx, cancel := context.WithCancelCause(t.Context())
			asked := make(chan error)
			go func() {
				asked <- d.awaitShared(ctx, []plan.Layer{{Key: version, Root: true}}, progress.New())
			}()
			synctest.Wait()
			cancel(errCancelled("a build", bob))
			<-asked
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if got := strings.Join(layers.made, ", "); got != "node 1" {
			t.Errorf("made %s, want the first alone", got)
		}
		if err := d.awaitShared(t.Context(), []plan.Layer{{Key: "node 2", Root: true}}, progress.New()); err != nil {
			t.Errorf("the second, when a push waits for it: %v", err)
		}
	})
}

func TestMakeLayers_AToolchainThatFailsIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newBuilder(t)
		shop(t, d)
		broken := errors.New("no route to host")
		layers := &slowLayers{fails: map[string]error{"node": broken}}
		d.engine = madeBy{layerMaker: layers}
		if err := <-makeAll(t.Context(), d, "a").err; !errors.Is(err, broken) {
			t.Errorf("got %v, want %v", err, broken)
		}
		layers.fails = nil
		if err := <-makeAll(t.Context(), d, "a").err; err != nil {
			t.Errorf("the second try: %v", err)
		}
	})
}

func TestSharedLayers_EndWithBerth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newBuilder(t)
		shop(t, d)
		d.engine = madeBy{layerMaker: &slowLayers{takes: map[string]time.Duration{"node": 5 * time.Minute}}}
		p := makeAll(t.Context(), d, "a")
		d.deploys.(*world).end()
		if err := <-p.err; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want that berth ends", err)
		}
		d.deploys.(*world).rest()
	})
}
