package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/berthd/berth/store"
)

// keepNotified tells the service manager that we are ready, that we are well
// for as long as the state can be read, and that we stop.
func keepNotified(ctx context.Context, db *store.Store, log *slog.Logger) error {
	warn := func(err error) {
		if err != nil {
			log.Warn("the service manager was not told", "err", err)
		}
	}
	warn(notify("READY=1"))
	defer func() { warn(notify("STOPPING=1")) }()
	micros, err := strconv.Atoi(os.Getenv("WATCHDOG_USEC"))
	if err != nil || micros <= 0 {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(time.Duration(micros) * time.Microsecond / 2)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := db.View(func(tx *store.Tx) error { _, err := tx.Settings(); return err }); err != nil {
				log.Error("the state cannot be read; the watchdog is not told that we are well", "err", err)
				continue
			}
			warn(notify("WATCHDOG=1"))
		}
	}
}

// group runs jobs until one fails or ctx ends; then all end.
type group struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup
}

var errDone = errors.New("done")

func newGroup(ctx context.Context) *group {
	ctx, cancel := context.WithCancelCause(ctx)
	return &group{ctx: ctx, cancel: cancel}
}

func (g *group) run(name string, job func(context.Context) error) {
	g.wg.Go(func() {
		err := job(g.ctx)
		if err == nil {
			err = errDone
		} else {
			err = fmt.Errorf("%s: %w", name, err)
		}
		g.cancel(err) // the first one stands
	})
}

// wait returns why the first job ended, nil when that was asked for.
func (g *group) wait() error {
	g.wg.Wait()
	if err := context.Cause(g.ctx); err != errDone && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// closers close in the order opposite to that of opening.
type closers []func() error

func (c *closers) add(fn func() error) { *c = append(*c, fn) }

func (c *closers) close() (err error) {
	for i := len(*c) - 1; i >= 0; i-- {
		err = errors.Join(err, (*c)[i]())
	}
	return err
}
