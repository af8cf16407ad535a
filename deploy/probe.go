package deploy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store"
)

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

// checkAgent is how checks introduce themselves.
const checkAgent = "berth-healthcheck"

// get asks an instance one HTTP request and says what is wrong with the answer.
func get(ctx context.Context, c *runtime.Container, address, host string, check store.HealthCheck, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return getFrom(ctx, func(ctx context.Context) (net.Conn, error) { return c.Dial(ctx, address) }, host, check)
}

// getFrom asks in HTTP/1.1, and what does not know that but speaks HTTP/2, in
// HTTP/2: by gRPC's protocol of checks where no path of its own is to be asked.
func getFrom(ctx context.Context, dial dialer, host string, check store.HealthCheck) error {
	transport := &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, // the other end of a socket of ours
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
	}
	resp, err := request(ctx, transport, host, check)
	if err != nil && ctx.Err() == nil && (check.Scheme == "" || check.Scheme == "http") && speaksH2C(ctx, dial) {
		if (check.Path == "" || check.Path == "/") && check.Content == "" {
			if err, sure := callHealth(ctx, dial, host); sure {
				return err
			}
		}
		transport = h2cTransport(dial)
		defer transport.CloseIdleConnections()
		resp, err = request(ctx, transport, host, check)
	}
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

// plain takes the layers of net and net/http off an error: "connection refused".
func plain(err error) error {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return errors.New("no answer in time")
	case errors.Is(err, io.EOF):
		return errors.New("the connection was closed without an answer")
	case strings.Contains(err.Error(), "readLoopPeekFailLocked"): // net/http has no better name for it
		return errors.New("malformed HTTP response: it says something before it is asked")
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
