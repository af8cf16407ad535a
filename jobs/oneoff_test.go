package jobs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berthd/berth/fleet"
	"github.com/berthd/berth/fleet/fleettest"
	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
)

func wantCode(t *testing.T, what string, err error, code string) {
	t.Helper()
	if f := fault.From(err); f == nil || f.Code != code {
		t.Errorf("%s: got %v, want %s", what, err, code)
	}
}

func statesOf(t *testing.T, w *world) (texts []string) {
	t.Helper()
	all, err := w.OneOffs(t.Context(), "shop", true)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range slices.Backward(all) {
		texts = append(texts, fmt.Sprintf("%s %s", o.Name, o.State))
	}
	return texts
}

func detached(t *testing.T, w *world, o OneOffOptions) store.OneOff {
	t.Helper()
	if o.Args == nil {
		o.Args = []string{"job"}
	}
	one, err := w.RunDetached(t.Context(), "shop", o, store.Root)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second) // so that their order is known
	return one
}

func TestRunDetached_EndsAsItsCommandOrItsTimeOrSomebodySays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		shop(t, w)
		w.machine.SetProgram(func(_ fleet.Spec, cmd fleet.Command) fleettest.Program {
			switch cmd.Args[0] {
			case "good":
				return fleettest.Program{Ends: 5 * time.Second}
			case "bad":
				return fleettest.Program{Ends: 5 * time.Second, Exit: fleet.Exit{Code: 7}}
			}
			return fleettest.Program{}
		})
		for _, name := range []string{"good", "bad", "stopped", "late", "day"} {
			o := OneOffOptions{Args: []string{name}}
			if name == "late" {
				o.TTL = 20 * time.Second
			}
			detached(t, w, o)
		}
		if ended, err := w.StopOneOffs(t.Context(), "shop", "shop.run.3", store.Root); err != nil || len(ended) != 1 {
			t.Errorf("got %v, %v", ended, err)
		}
		time.Sleep(time.Minute)
		want := []string{"shop.run.1 ok", "shop.run.2 failed", "shop.run.3 stopped", "shop.run.4 timed-out", "shop.run.5 running"}
		if got := statesOf(t, w); !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		time.Sleep(UsualTTL)
		if got := statesOf(t, w); got[4] != "shop.run.5 timed-out" {
			t.Errorf("after a day: got %q", got)
		}
		if n := len(w.machine.Boxes()); n != 0 {
			t.Errorf("%d containers are left", n)
		}
		w.finish()
	})
}

func TestRunDetached_OutlivesBerth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		record, _ := shop(t, w)
		long := func(fleet.Spec, fleet.Command) fleettest.Program { return fleettest.Program{Ends: time.Hour} }
		w.machine.SetProgram(long)
		detached(t, w, OneOffOptions{})
		detached(t, w, OneOffOptions{TTL: 30 * time.Minute})
		next := w.crash(t)
		containers, err := next.host.Host().Containers(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if all, err := next.OneOffs(t.Context(), "shop", false); err != nil || len(all) != 2 {
			t.Errorf("before they are taken back: got %v, %v", all, err)
		}
		if left := next.Adopt([]store.App{record}, containers); len(left) != 0 {
			t.Errorf("%d containers are left to be removed", len(left))
		}
		time.Sleep(time.Minute)
		if got := statesOf(t, next); !slices.Equal(got, []string{"shop.run.1 running", "shop.run.2 running"}) {
			t.Errorf("got %q", got)
		}
		if one := detached(t, next, OneOffOptions{}); one.Number != 3 {
			t.Errorf("the next is %s", one.Name)
		}
		time.Sleep(time.Hour + time.Minute)
		want := []string{"shop.run.1 ok", "shop.run.2 timed-out", "shop.run.3 ok"}
		if got := statesOf(t, next); !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		next.finish()
	})
}

func TestRunDetached_ATenantTakesNoMoreThanItsShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		shop(t, w)
		for range store.MaxOneOffs {
			detached(t, w, OneOffOptions{})
		}
		_, err := w.RunDetached(t.Context(), "shop", OneOffOptions{Args: []string{"x"}}, store.Root)
		wantCode(t, "one too many", err, "E309")
		_, err = w.RunOnce(t.Context(), "shop", OneOffOptions{Args: []string{"x"}}, runtime.Attachment{}, store.Root)
		wantCode(t, "an attached one too many", err, "E309")
		if ended, err := w.StopOneOffs(t.Context(), "shop", "", store.Root); err != nil || len(ended) != store.MaxOneOffs {
			t.Errorf("got %d, %v", len(ended), err)
		}
		detached(t, w, OneOffOptions{})
		w.finish()
	})
}

func TestRunDetached_WhatCannotBe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		shop(t, w)
		for _, tt := range []struct {
			o    OneOffOptions
			code string
		}{
			{OneOffOptions{}, "E124"},
			{OneOffOptions{Args: []string{"x"}, Env: []string{"COLOR"}}, "E311"},
			{OneOffOptions{Args: []string{"x"}, Env: []string{"1COLOR=x"}}, "E107"},
			{OneOffOptions{Args: []string{"x"}, TTL: -time.Second}, "E311"},
			{OneOffOptions{Args: []string{"x"}, TTL: MaxTTL + time.Second}, "E311"},
		} {
			_, err := w.RunDetached(t.Context(), "shop", tt.o, store.Root)
			wantCode(t, fmt.Sprintf("%+v", tt.o), err, tt.code)
		}
		w.machine.SetProgram(func(fleet.Spec, fleet.Command) fleettest.Program {
			return fleettest.Program{Unlaunchable: errors.New("no such program")}
		})
		if _, err := w.RunDetached(t.Context(), "shop", OneOffOptions{Args: []string{"x"}}, store.Root); err == nil {
			t.Error("a program that there is not was run")
		}
		if got := statesOf(t, w); !slices.Equal(got, []string{"shop.run.1 failed"}) {
			t.Errorf("got %q", got)
		}
		_, err := w.OneOff(t.Context(), "shop", "run.77")
		wantCode(t, "an unknown one", err, "E308")
		w.finish()
	})
}

func TestEnd_EndsTheOneOffsOfADestroyedApp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		_, a := shop(t, w)
		detached(t, w, OneOffOptions{})
		update(t, w, func(tx *store.Tx) error { return tx.DeleteApp("shop") })
		w.End(a.fleet)
		time.Sleep(time.Minute)
		if n := len(w.machine.Boxes()); n != 0 {
			t.Errorf("%d containers are left", n)
		}
		w.finish()
	})
}

// engine attaches and enters: each command waits for its context.
type engine struct{}

func (engine) Attach(ctx context.Context, _ fleet.Spec, _ fleet.Command, _ runtime.Attachment) (fleet.Exit, error) {
	<-ctx.Done()
	return fleet.Exit{}, context.Cause(ctx)
}

func (engine) Enter(ctx context.Context, container string, _ fleet.Command, _ runtime.Attachment) (fleet.Exit, error) {
	<-ctx.Done()
	return fleet.Exit{}, context.Cause(ctx)
}

func TestRunOnce_ItsTimeToLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.cfg.Engine = engine{}
		shop(t, w)
		began := time.Now()
		_, err := w.RunOnce(t.Context(), "shop", OneOffOptions{Args: []string{"x"}, TTL: time.Minute}, runtime.Attachment{}, store.Root)
		wantCode(t, "after a minute", err, "E310")
		if took := time.Since(began); took != time.Minute {
			t.Errorf("it took %s", took)
		}
		go func() {
			time.Sleep(time.Second)
			w.StopOneOffs(t.Context(), "shop", "", store.Root)
		}()
		if code, err := w.RunOnce(t.Context(), "shop", OneOffOptions{Args: []string{"x"}}, runtime.Attachment{}, store.Root); err != nil || code != 137 {
			t.Errorf("one that was stopped: got %d, %v", code, err)
		}
		w.finish()
	})
}

func TestEnter_IsBoundedAndNeedsAnInstance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.cfg.Engine = engine{}
		shop(t, w)
		_, err := w.Enter(t.Context(), "shop", EnterOptions{}, runtime.Attachment{}, store.Root)
		wantCode(t, "nothing runs", err, "E312")
		one := detached(t, w, OneOffOptions{})
		_, err = w.Enter(t.Context(), "shop", EnterOptions{Instance: "web.1"}, runtime.Attachment{}, store.Root)
		wantCode(t, "no such instance", err, "E312")
		ctx, leave := context.WithCancel(t.Context())
		for range maxEntered {
			go w.Enter(ctx, "shop", EnterOptions{Instance: one.Name}, runtime.Attachment{}, store.Root)
		}
		synctest.Wait()
		_, err = w.Enter(t.Context(), "shop", EnterOptions{Instance: "run.1"}, runtime.Attachment{}, store.Root)
		wantCode(t, "one too many", err, "E314")
		leave()
		synctest.Wait()
		short, leave := context.WithTimeout(t.Context(), time.Second)
		defer leave()
		if _, err = w.Enter(short, "shop", EnterOptions{Instance: "run.1"}, runtime.Attachment{}, store.Root); fault.From(err) != nil {
			t.Errorf("after they left: got %v", err)
		}
		w.finish()
	})
}
