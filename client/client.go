// Package client is the client of berth's HTTP API, over a given connection: the
// machine's own socket, or a pair of sockets within the daemon.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"syscall"

	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// The API as its client sees it; package web documents the answers.
const (
	Path   = "/api/v1/"
	Stream = "application/x-ndjson" // what a client accepts that wants progress
)

// Client asks the API. It is safe for concurrent use.
type Client struct {
	http *http.Client
	host string
}

// New returns a client whose connections dial makes.
func New(dial func(context.Context) (net.Conn, error)) *Client {
	transport := &http.Transport{
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
		DisableKeepAlives: true, // a command asks once or twice, and then nothing must be left open
	}
	return &Client{http: &http.Client{Transport: transport}, host: "berth"}
}

// Dial returns a client of the daemon that listens on the socket.
func Dial(socket string) *Client {
	return New(func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	})
}

// Call asks for a verb. result is a pointer, or nil when it is not wanted;
// progress is copied to out as it comes. A refusal is a *fault.Error.
func (c *Client) Call(ctx context.Context, verb string, args, result any, out io.Writer) error {
	return c.ask(ctx, verb, args, result, out, func(json.RawMessage) error { return nil })
}

// Follow asks for a verb that streams and calls fn with each item as it comes.
func Follow[T any](ctx context.Context, c *Client, verb string, args any, fn func(T) error) error {
	return c.ask(ctx, verb, args, nil, io.Discard, func(raw json.RawMessage) error {
		var item T
		if err := json.Unmarshal(raw, &item); err != nil {
			return fmt.Errorf("read an item of %s: %w", verb, err)
		}
		return fn(item)
	})
}

func (c *Client) ask(ctx context.Context, verb string, args, result any, out io.Writer, item func(json.RawMessage) error) error {
	body, err := encode(args)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+c.host+Path+verb, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", Stream)
	resp, err := c.http.Do(req)
	if err != nil {
		return c.unreachable(err)
	}
	defer resp.Body.Close()
	lines := json.NewDecoder(resp.Body)
	for {
		var m struct {
			Out    string          `json:"out"`
			Item   json.RawMessage `json:"item"`
			Result json.RawMessage `json:"result"`
			Error  *fault.Error    `json:"error"`
		}
		if err := lines.Decode(&m); err != nil {
			return brokeOff(ctx, err)
		}
		switch {
		case m.Error != nil:
			return m.Error
		case m.Result != nil && result != nil:
			return json.Unmarshal(m.Result, result)
		case m.Result != nil:
			return nil
		case m.Item != nil:
			if err := item(m.Item); err != nil {
				return err
			}
		case out != nil:
			if _, err := io.WriteString(out, m.Out); err != nil {
				out = nil // the work goes on, and so does the wait for its end
			}
		}
	}
}

func encode(args any) ([]byte, error) {
	if args == nil {
		args = struct{}{}
	}
	raw, err := json.Marshal(args)
	if err != nil {
		return nil, fmt.Errorf("write the arguments: %w", err)
	}
	return raw, nil
}

// unreachable says why nobody answered.
func (c *Client) unreachable(err error) error {
	seen := err.Error()
	if dial, ok := errors.AsType[*net.OpError](err); ok {
		seen = dial.Error() // and not what HTTP says around it
	}
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, fs.ErrPermission):
		return fault.New(fault.Denied, code.SocketForbidden, "only root may use berth on this machine").With(seen).
			Hint("try again with sudo").
			Hint("or use SSH: ssh berth@HOST COMMAND")
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, net.ErrClosed),
		errors.Is(err, syscall.ECONNRESET): // it stopped with the connection waiting in line
		return fault.New(fault.Failed, code.DaemonNotRunning, "berth is not running").With(seen).
			Hint("journalctl -u berth -n 30 shows why; systemctl restart berth starts it").
			Hint("without systemd: see /var/log/berth.log, then /usr/local/lib/berth/service start")
	}
	return fmt.Errorf("ask berth: %w", err)
}

// brokeOff is what an answer is that has no end.
func brokeOff(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fault.New(fault.Failed, code.DaemonGone, "berth stopped before it answered: %w", err).
		Hint("the command may have taken effect; check before you run it again")
}
