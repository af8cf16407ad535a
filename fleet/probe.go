package fleet

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/berthd/berth/store"
)

// checkAgent is how checks introduce themselves.
const checkAgent = "berth-healthcheck"

// answer is what an instance says to a request.
type answer struct {
	status int
	body   string // its beginning, of an answer that needs to be read
}

const (
	maxContent = 1 << 20  // bytes in which the content of a check is looked for
	maxRefusal = 64 << 10 // bytes in which the reason of a refusal is looked for
)

// get asks an instance one HTTP request and says what is wrong with the answer.
func get(ctx context.Context, c Container, address string, hosts []string, check store.HealthCheck, timeout time.Duration) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return getFrom(ctx, dialInto(c, address), hosts, check)
}

// getFrom asks under the first of the hosts. While the answer is one that a
// refused host gets and is no good, it asks under the next: an app with a
// domain of its own may refuse its default host, and one that does not know a
// new domain yet is not down for that.
func getFrom(ctx context.Context, dial dialer, hosts []string, check store.HealthCheck) (a answer, err error) {
	for _, host := range hosts {
		if a, err = getAs(ctx, dial, host, check); err == nil || !slices.Contains(refusesHosts, a.status) {
			return a, err
		}
	}
	return a, err
}

// getAs asks in HTTP/1.1, and what does not know that but speaks HTTP/2, in
// HTTP/2: by gRPC's protocol of checks where no path of its own is to be asked.
func getAs(ctx context.Context, dial dialer, host string, check store.HealthCheck) (a answer, err error) {
	transport := &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, // the connection goes into the container and nowhere else
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
	}
	resp, err := request(ctx, transport, host, check)
	if err != nil && ctx.Err() == nil && (check.Scheme == "" || check.Scheme == "http") && speaksH2C(ctx, dial) {
		if (check.Path == "" || check.Path == "/") && check.Content == "" {
			if err, sure := callHealth(ctx, dial, host); sure {
				return a, err
			}
		}
		transport = h2cTransport(dial)
		defer transport.CloseIdleConnections()
		resp, err = request(ctx, transport, host, check)
	}
	if err != nil {
		return a, Plain(err)
	}
	defer resp.Body.Close()
	a.status = resp.StatusCode
	if !passes(check, a.status) {
		if slices.Contains(refusesHosts, a.status) {
			a.body, _ = readSome(resp.Body, maxRefusal)
		}
		return a, fmt.Errorf("status %d", a.status)
	}
	switch {
	case check.Content != "":
		if a.body, err = readSome(resp.Body, maxContent); err != nil {
			return a, Plain(err)
		}
		if !strings.Contains(a.body, check.Content) {
			return a, fmt.Errorf("status %d, without %q in its first MiB", a.status, check.Content)
		}
	case slices.Contains(refusesHosts, a.status):
		a.body, _ = readSome(resp.Body, maxRefusal)
	}
	return a, nil
}

// passes tells whether a check takes a status. One of the app's own takes 2xx
// and 3xx, as on Dokku; the usual one takes whatever is no failure of the server.
func passes(check store.HealthCheck, status int) bool {
	most := check.MaxStatus
	if most == 0 {
		most = 499
	}
	return status >= 200 && status <= most
}

func readSome(r io.Reader, most int64) (string, error) {
	body, err := io.ReadAll(io.LimitReader(r, most))
	return string(body), err
}

// request asks as the router's requests do, so that an app which redirects plain
// HTTP, or knows only its own hosts, does not trip over the check.
func request(ctx context.Context, transport *http.Transport, host string, check store.HealthCheck) (*http.Response, error) {
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
		return nil, err
	}
	req.Header.Set("User-Agent", checkAgent)
	req.Header.Set("X-Forwarded-Proto", "https")
	req.Header.Set("X-Forwarded-Host", host)
	for _, h := range check.Headers {
		req.Header.Set(h.Name, h.Value)
		if strings.EqualFold(h.Name, "Host") {
			req.Host = h.Value
		}
	}
	return transport.RoundTrip(req) // a redirect is an answer; it is not followed
}

// Plain takes the layers of net and net/http off an error: "connection refused".
func Plain(err error) error {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return errors.New("no answer in time")
	case errors.Is(err, io.EOF):
		return errors.New("the connection was closed without an answer")
	case strings.Contains(err.Error(), "readLoopPeekFailLocked"): // net/http has no better name for it
		return errors.New("malformed HTTP response: it sends data before the request")
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
