package fleet

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/berthd/berth/store"
)

// leastPause is the shortest pause between two looks at an instance that is up.
const leastPause = time.Second

// attend repeats the readiness and liveness checks of an instance that is up. It
// returns when the program or ctx has ended. While a check fails, the router asks
// the instance last. When a liveness check fails as often in a row as app.json
// allows, the program is stopped, and the supervisor starts another.
func (i *instance) attend(ctx context.Context, c Container) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	i.turn("")
	var all sync.WaitGroup
	all.Go(func() { i.watchMemory(ctx, c) })
	all.Go(func() { i.watchDisk(ctx, c) })
	failing := newFailing(i.turn)
	for n, check := range i.lasting() {
		all.Go(func() {
			w := watch{check: check, try: func(ctx context.Context) error { return i.look(ctx, c, check) }}
			why := w.run(ctx, func(err error) { failing.set(n, err) })
			if why == nil {
				return
			}
			i.fleet().cfg.Log.Warn("stopping an instance: its liveness check failed", "app", i.app.Name(), "instance", i.name(), "err", why)
			i.recordEvent("crash", "stopped %s of v%d: %v", i.name(), i.release.Number, why)
			i.notice("stopped, its liveness check failed: %v", why)
			i.fleet().warn("an instance whose liveness fails did not stop", i.stop(ctx, c), "instance", i.name())
		})
	}
	select {
	case <-c.Done():
	case <-ctx.Done():
	}
	cancel()
	all.Wait()
}

// lasting returns the checks that the instance has to pass as long as it is up.
func (i *instance) lasting() []store.HealthCheck {
	return slices.DeleteFunc(slices.Clone(i.process.Checks), func(c store.HealthCheck) bool {
		return c.Process != i.process.Type || c.Type != "liveness" && c.Type != "readiness" || c.Warn || c.Uptime > 0
	})
}

// look makes one try of a check.
func (i *instance) look(ctx context.Context, c Container, check store.HealthCheck) error {
	timeout := orSeconds(check.Timeout, checkTimeout)
	if len(check.Command) > 0 {
		return i.checkCommand(ctx, c, check.Command, timeout)
	}
	_, _, address := i.running()
	if check.Port != 0 || check.Listening || address == "" {
		addresses, err := c.Listening()
		if err != nil {
			return fmt.Errorf("look where %s listens: %w", i.name(), err)
		}
		port := check.Port
		if port == 0 {
			port = i.release.Port
		}
		if at := listensOn(addresses, port); at != "" {
			address = at
		} else if check.Port != 0 || address == "" || !slices.Contains(addresses, address) {
			return fmt.Errorf("it does not listen on port %d", port)
		}
		if check.Listening {
			return nil
		}
	}
	if _, err := get(ctx, c, address, i.hosts(), check, timeout); err != nil {
		return fmt.Errorf("GET %s : %w", check.Path, err)
	}
	return nil
}

// turn takes an instance out of the router's turn for a reason, or puts it
// back when there is none any more.
func (i *instance) turn(why string) {
	i.mu.Lock()
	moved := (i.failing == "") != (why == "")
	i.failing = why
	i.mu.Unlock()
	if !moved {
		return
	}
	if why != "" {
		i.fleet().cfg.Log.Warn("an instance gets no requests", "app", i.app.Name(), "instance", i.name(), "why", why)
	}
	i.app.Reroute()
}

// failing are the checks of an instance that fail now.
type failing struct {
	tell func(why string) // "" when none fails any more

	mu   sync.Mutex // guards what follows; held during tell, so that calls keep their order
	errs map[int]error
}

func newFailing(tell func(why string)) *failing { return &failing{tell: tell, errs: map[int]error{}} }

// set says how the nth check went.
func (f *failing) set(n int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if delete(f.errs, n); err != nil {
		f.errs[n] = err
	}
	var why []string
	for _, err := range f.errs {
		why = append(why, err.Error())
	}
	slices.Sort(why)
	f.tell(strings.Join(why, ", "))
}

// watch makes a check again and again.
type watch struct {
	check store.HealthCheck
	try   func(ctx context.Context) error
}

// run tells of every try and returns why the program is to be stopped, nil when
// ctx has ended.
func (w watch) run(ctx context.Context, tell func(error)) error {
	pause := max(time.Duration(w.check.Wait)*time.Second, leastPause)
	attempts := w.check.Attempts
	if attempts == 0 {
		attempts = 3
	}
	next := time.NewTimer(max(pause, orSeconds(w.check.InitialDelay, 0)))
	defer next.Stop()
	for fails := 0; ; next.Reset(pause) {
		select {
		case <-next.C:
		case <-ctx.Done():
			return nil
		}
		err := w.try(ctx)
		if ctx.Err() != nil {
			return nil
		}
		tell(err)
		if fails++; err == nil {
			fails = 0
		}
		if w.check.Type == "liveness" && fails == attempts {
			return err
		}
	}
}
