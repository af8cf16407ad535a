package fleet_test

import (
	"flag"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berthd/berth/fleet"
	"github.com/berthd/berth/fleet/fleettest"
)

var worlds = flag.Int("worlds", 200, "how many worlds are left to chance")

// sharedSource is a source of numbers for all goroutines of a world.
type sharedSource struct {
	mu     sync.Mutex
	source rand.Source
}

func (s *sharedSource) Uint64() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.source.Uint64()
}

// What no story tells: one change after the other, several failures, programs
// that end at any time, crashes at any time. In the end all is as it was recorded.
func TestConverge_WhateverHappens(t *testing.T) {
	for seed := range uint64(*worlds) {
		synctest.Test(t, func(t *testing.T) {
			chance := rand.New(&sharedSource{source: rand.NewPCG(seed, 1)})
			w := begun(t, release(1, 2), seed%2 == 1, func(fleet.Spec, fleet.Command) fleettest.Program {
				p := fleettest.Program{Listens: time.Duration(chance.IntN(500)) * time.Millisecond, Stops: time.Duration(chance.IntN(3000)) * time.Millisecond}
				switch chance.IntN(10) {
				case 0:
					p.Ends, p.Exit.Code = time.Duration(1+chance.IntN(20_000))*time.Millisecond, 1
				case 1:
					p.Status = 500
				}
				return p
			})
			trap := fleettest.Trap{After: chance.IntN(2) == 0, Chance: func(string) (fail, end bool) {
				return chance.IntN(50) == 0, chance.IntN(400) == 0
			}}
			w.life.Set(trap)
			r, number := w.record(), 1
			for range 8 {
				switch chance.IntN(4) {
				case 0:
					number++
					r = release(number, 1+chance.IntN(3))
				case 1:
					r.Processes = release(number, chance.IntN(4)).Processes
				case 2:
					r = limited(r, int64(chance.IntN(3))<<30)
				}
				c := w.change(r)
				c.Fresh = chance.IntN(3) == 0
				ctx, cancel := contextFor(w, time.Duration(chance.IntN(120))*time.Second)
				if w.app.Converge(ctx, c) != nil {
					r = w.record()
				}
				cancel()
				time.Sleep(time.Duration(chance.IntN(20_000)) * time.Millisecond)
				for failed := false; failed || w.life.Over() || chance.IntN(8) == 0; {
					w.crash()
					w.begin()
					w.life.Set(trap)
					failed = w.boot() != nil // berth ends, and is started again
					r = w.record()
				}
			}
			w.machine.SetProgram(nil)
			if wrong := w.wrong(); wrong != "" {
				t.Errorf("seed %d: %s", seed, wrong)
			}
			w.life.Set(fleettest.Trap{})
			if wrong := w.end(); len(wrong) > 0 {
				t.Errorf("seed %d:\n%s", seed, strings.Join(wrong, "\n"))
			}
		})
	}
}
