package jobs

import (
	"slices"
	"time"
)

// The scheduler sleeps until a job's next time by the clock that is never set.
// When the machine's clock is set meanwhile, that time is another one: set back
// by an hour, no job would run for an hour; set forward, jobs would be late. So
// the two clocks are compared, and after a step the times are computed anew.
const (
	// clockLook is how often the clocks are compared, and the longest that a job
	// may be late after a step.
	clockLook = 10 * time.Second

	// leastStep is what counts as a step. Slewing moves both clocks.
	leastStep = time.Second

	// mostMissed is the longest step over which a job that it jumped is run after
	// it, once, as Debian's cron has it. What is longer is no correction: the
	// machine slept, or its clock was wrong before.
	mostMissed = 3 * time.Hour
)

// clockStep returns by how much a clock was set while some time went by.
func clockStep(before, after time.Time, elapsed time.Duration) time.Duration {
	step := after.Round(0).Sub(before.Round(0)) - elapsed // Round takes the other clock off
	if step.Abs() < leastStep {
		return 0
	}
	return step
}

// look decides the slots until now. jumped is set when the clock was set forward
// over them.
func (p *planned) look(now time.Time, jumped bool) (d due) {
	if now.Before(p.since) { // the clock was set back
		p.since = now
		p.seek()
		return d
	}
	if p.next.IsZero() || p.next.After(now) {
		return d
	}
	open := p.next.Add(-time.Second)
	slot, count := p.last(open, now)
	p.since = now
	defer p.seek()
	if count == 0 || p.slots.Has(slot) {
		return d
	}
	if last := p.slots.Last(slot.Add(-time.Second)); !last.IsZero() && p.Next(last).Equal(slot) {
		d.before = last
	}
	p.slots.Claimed = slices.Clone(p.slots.Claimed)
	p.slots.Claim(slot, d.before)
	switch once := jumped || p.job.Missed == missedOnce; {
	case once:
		d.slot = slot
	case now.Sub(slot) <= onTime:
		d.slot = slot
		if d.missed = count - 1; d.missed > 0 {
			d.lastMissed, _ = p.last(open, slot.Add(-time.Second))
		}
	default:
		d.missed, d.lastMissed = count, slot
	}
	return d
}
