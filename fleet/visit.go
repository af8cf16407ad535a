package fleet

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/berthd/berth/store"
)

const (
	// MostVisited bounds how many of an app's hosts a check tries.
	MostVisited = 3

	// visitTimeout bounds the requests that look for a refused host: a push waits for them.
	visitTimeout = 2 * time.Second
)

// refusesHosts are the statuses with which a server refuses a host.
var refusesHosts = []int{http.StatusBadRequest, http.StatusForbidden, http.StatusMisdirectedRequest}

// refusals are what frameworks answer to a host that they do not expect, and
// what makes them expect it. %s is the host.
var refusals = []struct {
	status       int
	mark, advice string
}{
	{400, "Bad Request (400)", "Django: add %s to ALLOWED_HOSTS in its settings"},
	{400, "ALLOWED_HOSTS", "Django: add %s to ALLOWED_HOSTS in its settings"},
	{400, "Invalid host header", "Starlette or FastAPI: add %s to allowed_hosts of TrustedHostMiddleware"},
	{400, "is not trusted", "Flask: add %s to TRUSTED_HOSTS"},
	{400, "Untrusted Host", "Symfony: add %s to framework.trusted_hosts"},
	{400, "Access through untrusted domain", "Nextcloud: add %s to trusted_domains"},
	{400, "Invalid Hostname", "ASP.NET: set AllowedHosts to %s"},
	{400, "URL with hostname", "Angular: set NG_ALLOWED_HOSTS=%s, or allowedHosts in angular.json"},
	{400, `Header "host"`, "Angular: set NG_ALLOWED_HOSTS=%s, or allowedHosts in angular.json"},
	{400, `Header "x-forwarded-host"`, "Angular: set NG_ALLOWED_HOSTS=%s, or allowedHosts in angular.json"},
	{403, "Blocked request. This host", "Vite or Angular's development server: add %s to allowedHosts, or start a build in its place"},
	{403, "Invalid Host header", "webpack's development server: add %s to allowedHosts, or start a build in its place"},
	{403, "Blocked host", "Rails: add %s to config.hosts in config/environments"},
	{403, "Host not permitted", "Sinatra: add %s to permitted_hosts of host_authorization"},
}

// refused tells whether an answer is how a framework refuses the host, and
// what to set so that it does not.
func refused(a answer, host, language string) (advice string, is bool) {
	if !slices.Contains(refusesHosts, a.status) {
		return "", false
	}
	for _, r := range refusals {
		if r.status == a.status && strings.Contains(a.body, r.mark) {
			return fmt.Sprintf(r.advice, host), true
		}
	}
	if a.status == http.StatusForbidden && a.body == "" && language == "ruby" { // Rails in production says it in its log alone
		return fmt.Sprintf("Rails: add %s to config.hosts in config/environments", host), true
	}
	return "", false
}

// Visit asks an app that serves for its first page as visitors do, under each
// of their hosts, and warns of those that it refuses. An app that refuses a host
// is healthy for a check that sends another one, and down for every visitor.
func (a *App) Visit(ctx context.Context, warn func(lines ...string)) {
	set := a.set()
	n := slices.IndexFunc(set, func(i *instance) bool { return i.name() == "web.1" && serves(i) })
	if n < 0 || len(set[n].containerPorts()) > 0 {
		return
	}
	i := set[n]
	c, _, address := i.running()
	ctx, cancel := context.WithTimeout(ctx, visitTimeout)
	defer cancel()
	hosts, usual := a.fleet.cfg.Router.Hosts(a.ref())
	if last := len(hosts) - 1; last > 0 && hosts[last] == usual {
		hosts = hosts[:last] // the default host is not what its visitors use
	}
	scheme := i.scheme()
	ask := func(host string) (answer, error) {
		return getFrom(ctx, dialInto(c, address), []string{host}, store.HealthCheck{Scheme: scheme})
	}
	for n, host := range hosts {
		a, known := i.rootAnswer(host)
		if !known {
			a, _ = ask(host) // whether it is healthy was found out before
		}
		advice, is := refused(a, host, i.release.Language)
		if !is && (a.status == http.StatusBadRequest || a.status == http.StatusMisdirectedRequest) {
			// No framework's own words: it is for the host when another host is let in.
			local, err := ask("localhost")
			is = err == nil && !slices.Contains(refusesHosts, local.status)
			advice = "configure the app to accept the host " + host
		}
		if is {
			warn(fmt.Sprintf("%s answers %d to visitors of %s: it rejects that host", i.name(), a.status, host), advice)
		}
		if ctx.Err() != nil || n+1 == MostVisited {
			return
		}
	}
}

// scheme is what the instance speaks by its checks, "https" or "".
func (i *instance) scheme() string {
	for _, check := range i.checks() {
		if check.Scheme == "https" && check.Port == 0 {
			return check.Scheme
		}
	}
	return ""
}

// rootAnswer returns what the usual check of the instance was answered under a host.
func (i *instance) rootAnswer(host string) (a answer, known bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.root, host != "" && i.rootHost == host
}

func (i *instance) rootAnswered(host string, a answer) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.root, i.rootHost = a, host
}
