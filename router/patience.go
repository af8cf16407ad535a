package router

import (
	"context"
	"net/http/httptrace"
	"sync"
	"time"
)

// responseTimeout is how long the backend may take to begin its response.
func (x *exchange) responseTimeout() time.Duration {
	if t := x.route.options.ResponseTimeout; t > 0 {
		return t
	}
	return x.door.cfg.ResponseTimeout
}

// errNoResponse is a backend that has not begun its response in time.
type errNoResponse struct{}

func (errNoResponse) Error() string   { return "the backend did not begin its response in time" }
func (errNoResponse) Timeout() bool   { return true }
func (errNoResponse) Temporary() bool { return true }

// patience bounds the wait for the head of an unusual response. The transport
// could do that, but is shared by all requests and has one time for all of them.
type patience struct {
	ctx    context.Context // of the request and the body of its response
	cancel context.CancelCauseFunc
	limit  time.Duration // 0 waits for ever

	mu    sync.Mutex // guards what follows
	timer *time.Timer
	over  bool
}

// newPatience returns the patience with an exchange. Calls of gRPC have
// deadlines of their own, or mean to wait.
func (x *exchange) newPatience(ctx context.Context) *patience {
	p := &patience{}
	p.ctx, p.cancel = context.WithCancelCause(ctx)
	if !x.isGRPC() {
		p.limit = x.responseTimeout()
	}
	return p
}

// begin is called when a request has been written, again for each try.
func (p *patience) begin(httptrace.WroteRequestInfo) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timer != nil {
		p.timer.Stop()
	}
	if !p.over && p.limit > 0 {
		p.timer = time.AfterFunc(p.limit, func() { p.cancel(errNoResponse{}) })
	}
}

// stop is called when the head is there, or will not come. The context lasts as
// long as the request's own.
func (p *patience) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
	if p.timer != nil {
		p.timer.Stop()
	}
}

// because returns why a request failed: the transport says of each context that
// it was cancelled.
func (p *patience) because(err error) error {
	if late, ok := context.Cause(p.ctx).(errNoResponse); err != nil && ok {
		return late
	}
	return err
}
