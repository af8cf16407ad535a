package deploy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
)

// How long an instance gets to become healthy when app.json says nothing.
const (
	healthTimeout = 30 * time.Second

	// steadyFor is how long a process that serves no requests must stay up to
	// count as healthy.
	steadyFor = time.Second

	// checkTimeout bounds one request of a check, Dokku's default.
	checkTimeout = 5 * time.Second

	firstLook  = 4 * time.Millisecond   // a quick app is seen at once …
	laterLooks = 100 * time.Millisecond // … a slow one costs no CPU
)

// awaitHealthy returns when the instance answers as its checks ask, or with a
// fault that says what was tried. It finds out where the instance listens. A
// check that only warns does so through note.
func (d *Deployer) awaitHealthy(ctx context.Context, i *instance, host string, note func(string)) error {
	checks := i.checks()
	c, _, _ := i.running()
	if i.process.Type != "web" && len(checks) == 0 {
		return d.awaitSteady(ctx, i, c, steadyFor)
	}
	if len(checks) == 0 {
		return d.awaitAnswer(ctx, i, c, host)
	}
	for _, check := range checks {
		err := d.awaitCheck(ctx, i, c, check, host)
		if err != nil && check.Warn && !ended(c) && ctx.Err() == nil {
			note(err.Error())
			err = nil
		}
		if err != nil {
			return err
		}
	}
	if _, _, address := i.running(); i.process.Type == "web" && address == "" {
		_, err := d.awaitListening(ctx, i, c, 0, time.Now().Add(healthTimeout))
		return err
	}
	return nil
}

// checks returns those of app.json that the instance has to pass to be healthy.
func (i *instance) checks() []store.HealthCheck {
	return slices.DeleteFunc(slices.Clone(i.release.Health), func(c store.HealthCheck) bool {
		return c.Process != i.process.Type || c.Type == "liveness"
	})
}

// awaitAnswer is the check of a web process that has none of its own: it
// listens, then GET / answers below 500.
func (d *Deployer) awaitAnswer(ctx context.Context, i *instance, c *runtime.Container, host string) error {
	deadline := time.Now().Add(healthTimeout)
	tried := tally{}
	for pause := firstLook; ; pause = min(2*pause, laterLooks) {
		// Looked up each time: the port it was told may open after another one.
		address, err := d.awaitListening(ctx, i, c, 0, deadline)
		if err != nil {
			return err
		}
		err = get(ctx, c, address, host, store.HealthCheck{Path: "/"}, min(time.Until(deadline), checkTimeout))
		if err == nil {
			return nil
		}
		tried.add(err)
		if !wait(ctx, c, pause) || time.Now().After(deadline) {
			return d.unhealthy(ctx, i, c, fmt.Sprintf("GET http://%s:%s/", i.name(), portOf(address)), tried)
		}
	}
}

// awaitListening waits for the program to listen on a TCP port: the one it was
// told, or failing that any other. want, when not 0, is the only port that counts.
func (d *Deployer) awaitListening(ctx context.Context, i *instance, c *runtime.Container, want int, deadline time.Time) (string, error) {
	var other string // listens on another port than it was told
	var otherSince time.Time
	for pause := firstLook; ; pause = min(pause*5/4, laterLooks) {
		addresses, err := c.Listening()
		if err != nil && !ended(c) {
			return "", fmt.Errorf("look where %s listens: %w", i.name(), err)
		}
		told := port
		if want != 0 {
			told = want
		}
		if a := listensOn(addresses, told); a != "" {
			if want == 0 { // a port of its own for checks takes no requests
				i.listens(a)
			}
			return a, nil
		}
		if want == 0 && len(addresses) > 0 {
			// It may open several ports one by one: PORT is given a moment to follow.
			if !slices.Contains(addresses, other) {
				other, otherSince = addresses[0], time.Now()
			} else if time.Since(otherSince) > 300*time.Millisecond {
				i.listens(other)
				return other, nil
			}
		}
		if !wait(ctx, c, pause) || time.Now().After(deadline) {
			return "", d.unhealthy(ctx, i, c, fmt.Sprintf("listen on port %d", told), nil)
		}
	}
}

func (i *instance) listens(address string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.address, i.detail = address, ""
	if address != "0.0.0.0:"+strconv.Itoa(port) && address != "[::]:"+strconv.Itoa(port) {
		i.detail = "listens on " + address
	}
}

// listensOn finds a port among listening addresses.
func listensOn(addresses []string, port int) string {
	for _, a := range addresses {
		if portOf(a) == strconv.Itoa(port) {
			return a
		}
	}
	return ""
}

func portOf(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return port
}

// awaitSteady waits for a program to have stayed up for a while.
func (d *Deployer) awaitSteady(ctx context.Context, i *instance, c *runtime.Container, up time.Duration) error {
	if wait(ctx, c, up) {
		return nil
	}
	return d.unhealthy(ctx, i, c, "stay up for "+up.String(), nil)
}

// awaitCheck makes one check of app.json, as often as it says.
func (d *Deployer) awaitCheck(ctx context.Context, i *instance, c *runtime.Container, check store.HealthCheck, host string) error {
	timeout, pause := orSeconds(check.Timeout, checkTimeout), time.Duration(check.Wait)*time.Second
	attempts := check.Attempts
	if attempts == 0 {
		attempts = 3
	}
	if !wait(ctx, c, orSeconds(check.InitialDelay, 0)) {
		return d.unhealthy(ctx, i, c, "stay up through the initial delay of its check", nil)
	}
	if check.Uptime > 0 {
		return d.awaitSteady(ctx, i, c, orSeconds(check.Uptime, 0))
	}
	tried := tally{}
	what := ""
	for n := 1; ; n++ {
		var err error
		switch {
		case len(check.Command) > 0:
			what = strings.Join(check.Command, " ")
			err = d.checkCommand(ctx, i, c, check.Command, timeout)
		default:
			var address string
			if address, err = d.awaitListening(ctx, i, c, check.Port, time.Now().Add(timeout)); err == nil && !check.Listening {
				what = fmt.Sprintf("GET http://%s:%s%s", i.name(), portOf(address), check.Path)
				err = get(ctx, c, address, host, check, timeout)
			}
		}
		if err == nil {
			return nil
		}
		tried.add(err)
		if n < attempts && wait(ctx, c, pause) {
			continue
		}
		if fault.From(err) != nil && !ended(c) && ctx.Err() == nil {
			return err // says all there is to say
		}
		return d.unhealthy(ctx, i, c, what, tried)
	}
}

// checkCommand runs a check's command beside the instance's program.
func (d *Deployer) checkCommand(ctx context.Context, i *instance, c *runtime.Container, args []string, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	cmd := command(store.App{Name: i.app.called()}, i.release, "", i.name(), "PORT="+strconv.Itoa(port))
	cmd.Args = args
	var out tail
	exit, err := c.Exec(ctx, cmd, &out)
	if err == nil && exit.Code != 0 {
		err = fmt.Errorf("exit code %d: %s", exit.Code, out.last())
	}
	return err
}

func orSeconds(n int, otherwise time.Duration) time.Duration {
	if n == 0 {
		return otherwise
	}
	return time.Duration(n) * time.Second
}

// get asks an instance one HTTP request and says what is wrong with the answer.
// It comes as the router's requests do, so that an app which redirects plain
// HTTP, or knows only its own hosts, does not trip over the check.
func get(ctx context.Context, c *runtime.Container, address, host string, check store.HealthCheck, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	path := check.Path
	if path == "" {
		path = "/"
	}
	scheme := "http"
	if check.Scheme != "" {
		scheme = check.Scheme
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+host+path, nil)
	if err != nil {
		return err
	}
	req.Header.Set("User-Agent", "berth-healthcheck")
	req.Header.Set("X-Forwarded-Proto", "https")
	req.Header.Set("X-Forwarded-Host", host)
	for _, h := range check.Headers {
		req.Header.Set(h.Name, h.Value)
		if strings.EqualFold(h.Name, "Host") {
			req.Host = h.Value
		}
	}
	transport := &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, // the other end of a socket of ours
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return c.Dial(ctx, address) },
	}
	resp, err := transport.RoundTrip(req) // a redirect is an answer; it is not followed
	if err != nil {
		return plain(err)
	}
	defer resp.Body.Close()
	if check.Content != "" {
		body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
		if err != nil {
			return plain(err)
		}
		if !strings.Contains(string(body), check.Content) {
			return fmt.Errorf("status %d, without %q in its first MiB", resp.StatusCode, check.Content)
		}
	}
	if resp.StatusCode >= 500 {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	return nil
}

// plain takes the layers of net and net/http off an error: "connection refused".
func plain(err error) error {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return errors.New("no answer in time")
	case errors.Is(err, io.EOF):
		return errors.New("the connection was closed without an answer")
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Err != nil {
		text := op.Err.Error()
		if i := strings.LastIndex(text, ": "); i >= 0 {
			text = text[i+2:]
		}
		return errors.New(text)
	}
	return err
}

// wait pauses; it returns false when the program ended or ctx did meanwhile.
func wait(ctx context.Context, c *runtime.Container, pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil && !ended(c)
	case <-c.Done():
		return false
	case <-ctx.Done():
		return false
	}
}

func ended(c *runtime.Container) bool {
	select {
	case <-c.Done():
		return true
	default:
		return false
	}
}

// tally counts what went wrong, so that a hundred refused connections are one line.
type tally struct {
	order  []string
	counts map[string]int
}

func (t *tally) add(err error) {
	text := err.Error()
	if t.counts == nil {
		t.counts = map[string]int{}
	}
	if t.counts[text]++; t.counts[text] == 1 {
		t.order = append(t.order, text)
	}
}

// unhealthy says why an instance is not healthy: it ended (E302), it listens
// nowhere (E303), or it does not answer as it should (E301).
func (d *Deployer) unhealthy(ctx context.Context, i *instance, c *runtime.Container, what string, tried any) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	logs := d.lastLines(i, 15)
	if ended(c) {
		exit := c.Exit(ctx)
		f := fault.New(fault.Failed, "E302", "%s ended before it was healthy: %s", i.name(), describe(exit))
		if len(logs) == 0 {
			f.With("it printed nothing")
		}
		f.With(logs...).Hint("it ran: %s", i.process.Command)
		return advise(f, logs, exit)
	}
	var f *fault.Error
	if t, ok := tried.(tally); ok {
		f = fault.New(fault.Failed, "E301", "%s did not become healthy in %s", i.name(), i.age())
		for _, text := range t.order {
			f.With(fmt.Sprintf("%s : %d x %s", what, t.counts[text], text))
		}
	} else {
		f = fault.New(fault.Failed, "E303", "%s did not %s in %s", i.name(), what, i.age())
		f.Hint("listen on the port that the variable PORT names")
	}
	f.With(logs...)
	return advise(f, logs, runtime.Exit{})
}

// describe says how a program ended.
func describe(exit runtime.Exit) string {
	switch {
	case exit.OOM:
		return "it used more memory than its limit"
	case exit.Lost:
		return "its container vanished"
	case exit.Signal != 0:
		return fmt.Sprintf("killed by signal %d", exit.Signal)
	}
	return fmt.Sprintf("exit code %d", exit.Code)
}

// advise adds the hints that follow from what a program printed.
func advise(f *fault.Error, logs []string, exit runtime.Exit) *fault.Error {
	for _, line := range logs {
		if _, module, found := strings.Cut(line, "ModuleNotFoundError: No module named "); found {
			f.Hint("add %s to requirements.txt", strings.Trim(module, `'"`))
		}
	}
	switch {
	case exit.OOM:
		f.Hint("give it more memory, or let it take less")
	case exit.Code == 127:
		f.Hint("the command was not found; is its package in the app's dependencies?")
	}
	return f
}

// tail keeps the end of a short output.
type tail struct{ buf []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.buf = append(t.buf, p...)
	t.buf = t.buf[max(0, len(t.buf)-512):]
	return len(p), nil
}

func (t *tail) last() string { return strings.TrimSpace(string(t.buf)) }
