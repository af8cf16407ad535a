// Command measure takes the figures of the README: how long a push takes until
// its page is served and where the time goes, how much memory berth takes, what
// an app's visitors notice of another app's build, how long a start takes with
// many apps, and what a request costs in the router and in other reverse
// proxies. packaging/bench builds and calls it.
package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	berth := flag.String("berth", "./berth", "the binary to measure")
	demo := flag.String("demo", "packaging/demo", "the app to push")
	samples := flag.String("samples", "buildpacks/testdata/apps", "the apps of the languages")
	cache := flag.String("cache", "/var/cache/berth-test", "where made layers are kept")
	pushes := flag.Int("pushes", 15, "how many pushes to time")
	apps := flag.Int("apps", 50, "how many apps to store before the timed start")
	only := flag.String("only", "", "one of push, languages, memory, neighbour, start, router (only when named)")
	load := flag.Duration("load", 8*time.Second, "how long each proxy is under load")
	serve := flag.String("serve", "", "be the router alone: true with TLS, false without")
	port := flag.Int("port", 0, "where, when serving")
	backends := flag.String("backends", "", "addresses of the backends, when serving")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	switch {
	case *serve != "":
		err = serveRouter(ctx, *serve == "true", *port, *backends, *cache)
	case *only == "router":
		fmt.Printf("%s\n\n", machine())
		err = measureRouter(ctx, *load)
	default:
		err = measure(ctx, *berth, *demo, *samples, *cache, *only, *pushes, *apps)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func measure(ctx context.Context, berth, demo, samples, cache, only string, pushes, apps int) (err error) {
	a, err := newAppliance(berth, cache)
	if err != nil {
		return err
	}
	defer func() {
		if e := a.remove(); err == nil {
			err = e
		}
	}()
	if err := a.start(ctx); err != nil {
		return err
	}
	if err := a.introduce(ctx); err != nil {
		return err
	}
	repo, err := a.repository(ctx, os.DirFS(demo), "hello")
	if err != nil {
		return err
	}
	if err := repo.push(ctx, "main"); err != nil { // makes the layers
		return err
	}

	fmt.Printf("%s\n\n", machine())
	for _, part := range []struct {
		name string
		take func() error
	}{
		{"push", func() error { return measurePushes(ctx, repo, pushes) }},
		{"languages", func() error { return measureLanguages(ctx, a, samples) }},
		{"memory", func() error { return measureMemory(ctx, a, repo) }},
		{"neighbour", func() error { return measureNeighbour(ctx, a, repo) }},
		{"start", func() error { return measureStart(ctx, a, repo, apps) }},
	} {
		if only != "" && only != part.name {
			continue
		}
		if err := part.take(); err != nil {
			return fmt.Errorf("measure %s: %w", part.name, err)
		}
	}
	return nil
}

// machine describes where the figures come from.
func machine() string {
	cpu := "unknown processor"
	if f, err := os.Open("/proc/cpuinfo"); err == nil {
		defer f.Close()
		for lines := bufio.NewScanner(f); lines.Scan(); {
			if name, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.HasPrefix(name, "model name") {
				cpu = strings.TrimSpace(value)
				break
			}
		}
	}
	memory := field("/proc/meminfo", "MemTotal:") >> 20
	cores, _ := filepath.Glob("/sys/devices/system/cpu/cpu[0-9]*")
	kernel, _ := exec.Command("uname", "-r").Output()
	return fmt.Sprintf("%d cores (%s), %d GB of memory, kernel %s", len(cores), cpu, memory>>10, strings.TrimSpace(string(kernel)))
}

// row prints a row of the table: the least, the median and the most.
func row(what string, times []time.Duration) {
	slices.Sort(times)
	s := func(d time.Duration) string { return fmt.Sprintf("%.3f s", d.Seconds()) }
	fmt.Printf("| %s | %s | %s | %s |\n", what, s(times[0]), s(times[len(times)/2]), s(times[len(times)-1]))
}

// measurePushes times pushes of a new commit that changes source only, until
// git returns and the new page has been read. Beside it stands the floor: the
// same push to a branch that is not deployed, where git and SSH are all there is.
func measurePushes(ctx context.Context, repo *repository, n int) error {
	var live, floor []time.Duration
	var names []string // of the steps, in their order
	took := map[string][]time.Duration{}
	for i := range n {
		page := fmt.Sprintf("Hello %d", i)
		if err := repo.commit(ctx, page); err != nil {
			return err
		}
		start := time.Now()
		if err := repo.push(ctx, "HEAD:aside"); err != nil {
			return err
		}
		floor = append(floor, time.Since(start))

		if err := repo.commit(ctx, page+"!"); err != nil {
			return err
		}
		start = time.Now()
		if err := repo.push(ctx, "main"); err != nil {
			return err
		}
		body, err := repo.page(ctx)
		if err != nil {
			return err
		}
		if body != page+"!" {
			return fmt.Errorf("after push %d the page is %q", i, body)
		}
		live = append(live, time.Since(start))
		steps, err := repo.steps(ctx)
		if err != nil {
			return err
		}
		for _, s := range steps {
			if took[s.Name] == nil {
				names = append(names, s.Name)
			}
			took[s.Name] = append(took[s.Name], s.Took)
		}
	}
	fmt.Printf("| push of a source-only change, %d times | min | median | max |\n|---|---|---|---|\n", n)
	row("push to live: `git push` to the new page read", live)
	row("git and SSH alone: the same push, not deployed", floor)
	for _, name := range names {
		row("step: "+name, took[name])
	}
	fmt.Println()
	return nil
}

// measureMemory prints what the processes of an idle appliance take, with one
// app and with five more.
func measureMemory(ctx context.Context, a *appliance, repo *repository) error {
	const more = 5
	if err := settle(ctx); err != nil {
		return err
	}
	one, err := a.memory()
	if err != nil {
		return err
	}
	for i := range more {
		if err := repo.pushTo(ctx, fmt.Sprintf("more%d", i)); err != nil {
			return err
		}
	}
	if err := settle(ctx); err != nil {
		return err
	}
	six, err := a.memory()
	if err != nil {
		return err
	}
	mb := func(bytes int64) string { return fmt.Sprintf("%.1f MB", float64(bytes)/(1<<20)) }
	fmt.Printf("| memory (PSS) | with one app | per further app |\n|---|---|---|\n")
	for _, kind := range kinds {
		fmt.Printf("| %s | %s | %s |\n", kind, mb(one[kind]), mb((six[kind]-one[kind])/more))
	}
	fmt.Println()
	return nil
}

// settle waits until drained instances are gone and garbage is collected.
func settle(ctx context.Context) error {
	select {
	case <-time.After(40 * time.Second):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// measureStart times a start with many apps until each answers: once with the
// containers running (an upgrade of berth), once with none (a boot).
func measureStart(ctx context.Context, a *appliance, repo *repository, n int) error {
	var hosts []string
	for i := range n {
		name := fmt.Sprintf("app%02d", i)
		if err := repo.pushTo(ctx, name); err != nil {
			return err
		}
		hosts = append(hosts, name)
	}
	fmt.Printf("| start with %d apps, until every one answers | time |\n|---|---|\n", n)
	for _, run := range []struct {
		what string
		down func() error
	}{
		{"after a restart of berth", a.stop},
		{"after `kill -9` of berth", a.kill},
		{"after a boot: no container runs", func() error {
			if err := a.stop(); err != nil {
				return err
			}
			return a.removeContainers(ctx)
		}},
	} {
		if err := run.down(); err != nil {
			return err
		}
		begin := time.Now()
		if err := a.start(ctx); err != nil {
			return err
		}
		if err := a.awaitAll(ctx, hosts); err != nil {
			return fmt.Errorf("%s: %w", run.what, err)
		}
		fmt.Printf("| %s | %.2f s |\n", run.what, time.Since(begin).Seconds())
	}
	return nil
}
