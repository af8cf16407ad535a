package fleet

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/units"
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

// awaitHealthy returns nil once the instance passes its checks, or a fault with
// what was tried. It also finds the address on which the instance listens. again
// is set for a release that has served before. note gets the failures of checks
// that only warn.
func (i *instance) awaitHealthy(ctx context.Context, again bool, note func(string)) error {
	checks, hosts := i.checks(), i.hosts()
	c, _, _ := i.running()
	if i.process.Unchecked {
		if i.process.Type != "web" {
			return nil
		}
		_, err := i.awaitListening(ctx, c, 0, time.Now().Add(healthTimeout))
		return err
	}
	if i.process.Type != "web" && len(checks) == 0 {
		return i.awaitSteady(ctx, c, steadyFor)
	}
	if len(checks) == 0 {
		return i.awaitAnswer(ctx, c, hosts, again, note)
	}
	for _, check := range checks {
		err := i.awaitCheck(ctx, c, check, hosts)
		if err != nil && check.Warn && !Ended(c) && ctx.Err() == nil {
			note(err.Error())
			err = nil
		}
		if err != nil {
			return err
		}
	}
	if _, _, address := i.running(); i.process.Type == "web" && address == "" {
		_, err := i.awaitListening(ctx, c, 0, time.Now().Add(healthTimeout))
		return err
	}
	return nil
}

// hosts are those under which checks ask the instance.
func (i *instance) hosts() []string {
	hosts, _ := i.fleet().cfg.Router.Hosts(i.app.ref())
	return hosts
}

// checks returns those of app.json that the instance has to pass to be healthy.
func (i *instance) checks() []store.HealthCheck {
	return slices.DeleteFunc(slices.Clone(i.process.Checks), func(c store.HealthCheck) bool {
		return c.Process != i.process.Type || c.Type == "liveness"
	})
}

// awaitAnswer is the check of a web process that has none of its own: it listens,
// also where the app's TCP ports lead, then GET / answers below 500. For a release
// that has served before, a TCP port on which it does not listen is only noted:
// the port may have been added since.
func (i *instance) awaitAnswer(ctx context.Context, c Container, hosts []string, again bool, note func(string)) error {
	deadline := time.Now().Add(healthTimeout)
	for _, at := range i.containerPorts() {
		n, _ := strconv.Atoi(at)
		until := deadline
		if again {
			until = time.Now().Add(steadyFor)
		}
		_, err := i.awaitListening(ctx, c, n, until)
		if err != nil && again && !Ended(c) && ctx.Err() == nil {
			note(err.Error())
			err = nil
		}
		if err != nil {
			return err
		}
	}
	tried := tally{}
	for pause := firstLook; ; pause = min(2*pause, laterLooks) {
		// Looked up each time: PORT may open after another port.
		address, err := i.awaitListening(ctx, c, 0, deadline)
		if err != nil {
			return err
		}
		if slices.Contains(i.containerPorts(), portOf(address)) {
			return nil // what is spoken there is the app's affair
		}
		root, err := get(ctx, c, address, hosts, store.HealthCheck{}, min(time.Until(deadline), checkTimeout))
		if err == nil {
			i.rootAnswered(hosts[0], root)
			return nil
		}
		tried.add(err)
		if !wait(ctx, c, pause) || time.Now().After(deadline) {
			return i.unhealthy(ctx, c, fmt.Sprintf("GET http://%s:%s/", i.name(), portOf(address)), tried)
		}
	}
}

// awaitListening waits for the program to listen on PORT or, failing that, on any
// other TCP port, preferably one to which no TCP port of the app leads. want, when
// not 0, is the only port that counts.
func (i *instance) awaitListening(ctx context.Context, c Container, want int, deadline time.Time) (string, error) {
	var other string // an address on another port than PORT
	var otherSince time.Time
	for pause := firstLook; ; pause = min(pause*5/4, laterLooks) {
		addresses, err := c.Listening()
		if err != nil && !Ended(c) {
			return "", fmt.Errorf("look where %s listens: %w", i.name(), err)
		}
		port := i.release.Port
		if want != 0 {
			port = want
		}
		if a := listensOn(addresses, port); a != "" {
			if want == 0 { // a port of its own for checks takes no requests
				i.listens(a)
			}
			return a, nil
		}
		if want == 0 && len(addresses) > 0 {
			// It may open several ports one by one: PORT is given a moment to
			// follow, and longer where nothing else would take requests.
			first, raw := forRequests(addresses, i.containerPorts())
			patience := 300 * time.Millisecond
			if raw {
				patience = steadyFor
			}
			if !slices.Contains(addresses, other) || other != first && !raw {
				other, otherSince = first, time.Now()
			} else if time.Since(otherSince) > patience {
				i.listens(other)
				return other, nil
			}
		}
		if !wait(ctx, c, pause) || time.Now().After(deadline) {
			return "", i.unhealthy(ctx, c, fmt.Sprintf("listen on port %d", port), nil)
		}
	}
}

// awaitSteady waits for a program to have stayed up for a while.
func (i *instance) awaitSteady(ctx context.Context, c Container, up time.Duration) error {
	if wait(ctx, c, up) {
		return nil
	}
	return i.unhealthy(ctx, c, "stay up for "+units.Duration(up), nil)
}

// awaitCheck makes one check of app.json, as often as it says.
func (i *instance) awaitCheck(ctx context.Context, c Container, check store.HealthCheck, hosts []string) error {
	timeout, pause := orSeconds(check.Timeout, checkTimeout), time.Duration(check.Wait)*time.Second
	attempts := check.Attempts
	if attempts == 0 {
		attempts = 3
	}
	if !wait(ctx, c, orSeconds(check.InitialDelay, 0)) {
		return i.unhealthy(ctx, c, "stay up through the initial delay of its check", nil)
	}
	if check.Uptime > 0 {
		return i.awaitSteady(ctx, c, orSeconds(check.Uptime, 0))
	}
	tried := tally{}
	what := ""
	for n := 1; ; n++ {
		var err error
		var got answer
		switch {
		case len(check.Command) > 0:
			what = strings.Join(check.Command, " ")
			err = i.checkCommand(ctx, c, check.Command, timeout)
		default:
			var address string
			if address, err = i.awaitListening(ctx, c, check.Port, time.Now().Add(timeout)); err == nil && !check.Listening {
				what = fmt.Sprintf("GET http://%s:%s%s", i.name(), portOf(address), check.Path)
				got, err = get(ctx, c, address, hosts, check, timeout)
			}
		}
		if err == nil {
			return nil
		}
		tried.add(err)
		if n < attempts && wait(ctx, c, pause) {
			continue
		}
		if fault.From(err) != nil && !Ended(c) && ctx.Err() == nil {
			return err // says all there is to say
		}
		err = i.unhealthy(ctx, c, what, tried)
		if advice, is := refused(got, hosts[0], i.release.Language); is {
			if f := fault.From(err); f != nil {
				f.Hint("%s", advice)
			}
		}
		return err
	}
}

// checkCommand runs a check's command beside the instance's program.
func (i *instance) checkCommand(ctx context.Context, c Container, args []string, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var out tail
	exit, err := c.Exec(ctx, i.command(args), &out)
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

// wait pauses; it returns false when the program ended or ctx did meanwhile.
func wait(ctx context.Context, c Container, pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil && !Ended(c)
	case <-c.Done():
		return false
	case <-ctx.Done():
		return false
	}
}
