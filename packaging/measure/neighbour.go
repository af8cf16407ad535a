package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"time"
)

// greedy is an app whose build takes all it can get.
//
//go:embed greedy
var greedy embed.FS

const (
	steadyRate = 100 // requests per second
	steadyTime = 30 * time.Second
)

// measureNeighbour prints the latency of an app under steady load, first with
// nothing else going on, then beside another app's greedy build.
func measureNeighbour(ctx context.Context, a *appliance, repo *repository) error {
	alone, err := steadyLoad(ctx, repo)
	if err != nil {
		return fmt.Errorf("load with nothing else going on: %w", err)
	}
	files, err := fs.Sub(greedy, "greedy")
	if err != nil {
		return err
	}
	neighbour, err := a.repository(ctx, files, "greedy")
	if err != nil {
		return err
	}
	pushed := make(chan error, 1)
	go func() { pushed <- neighbour.push(ctx, "main") }()
	if err := awaitGreed(ctx, pushed); err != nil {
		return err
	}
	beside, err := steadyLoad(ctx, repo)
	if err != nil {
		return fmt.Errorf("load beside a build: %w", err)
	}
	if burning() == 0 {
		return errors.New("the greedy build ended before the load did")
	}
	if _, err := a.berth(ctx, nil, "builds:cancel", "greedy"); err != nil {
		return err
	}
	if err := <-pushed; err == nil {
		return errors.New("the push of a build that was cancelled succeeded")
	}

	fmt.Printf("| an app under %d requests/s for %.0f s, new connections | p50 | p99 | slowest |\n|---|---|---|---|\n", steadyRate, steadyTime.Seconds())
	for _, run := range []struct {
		what  string
		times []time.Duration
	}{
		{"nothing else going on", alone},
		{"beside a build that takes every core, 1.6 GB and forks", beside},
	} {
		slices.Sort(run.times)
		n := len(run.times)
		ms := func(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000) }
		fmt.Printf("| %s | %s | %s | %s |\n", run.what, ms(run.times[n/2]), ms(run.times[n*99/100]), ms(run.times[n-1]))
	}
	fmt.Println()
	return nil
}

// steadyLoad asks for a page at a steady rate and returns how long each answer
// took, counted from when it was to be asked: a server that makes the next
// request wait is not let off for it. Any failure fails it.
func steadyLoad(ctx context.Context, repo *repository) ([]time.Duration, error) {
	total := int(steadyRate * steadyTime / time.Second)
	times, failures := make([]time.Duration, total), make([]error, total)
	slots := make(chan struct{}, steadyRate) // at most a second's worth at once
	var all sync.WaitGroup
	begin := time.Now()
	for n := range total {
		due := begin.Add(time.Duration(n) * time.Second / steadyRate)
		select {
		case <-time.After(time.Until(due)):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		slots <- struct{}{}
		all.Go(func() {
			_, failures[n] = repo.page(ctx)
			times[n] = time.Since(due)
			<-slots
		})
	}
	all.Wait()
	return times, errors.Join(failures...)
}

// awaitGreed returns once the greedy build is at its work.
func awaitGreed(ctx context.Context, pushed <-chan error) error {
	for burning() == 0 {
		select {
		case err := <-pushed:
			return fmt.Errorf("the greedy build did not go on: %w", err)
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	select {
	case <-time.After(5 * time.Second): // until all of it is there
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// burning counts the processes of the greedy build that take a core each.
func burning() (n int) {
	processes, err := readProcesses()
	if err != nil {
		return 0
	}
	for _, p := range processes {
		if p.mentions("backend.py burn") {
			n++
		}
	}
	return n
}
