package router

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/berthd/berth/units"
)

// errRefused is the end of a body that we do not take; refused says why.
var errRefused = errors.New("the request's body is refused")

// takeBody puts the route's limits around the request's body. A body that says
// itself that it is too long is answered at once.
func (x *exchange) takeBody(o *options) bool {
	if x.in.Body == nil || x.in.Body == http.NoBody {
		return true
	}
	if o.MaxBody > 0 && x.in.ContentLength > o.MaxBody {
		x.hangUp()
		x.page(tooLarge(o.MaxBody))
		return false
	}
	x.upload = &upload{
		ReadCloser: x.in.Body, max: o.MaxBody, rate: o.MinBodyRate,
		budget: x.door.cfg.BodyGrace, grace: x.door.cfg.BodyGrace,
		abort: func() { http.NewResponseController(x.w).SetReadDeadline(longAgo) },
	}
	if x.isGRPC() {
		x.upload.answered.Store(true) // a conversation from the start
		x.upload.messages = new(messages)
	}
	x.in.Body = x.upload
	return true
}

func tooLarge(most int64) page {
	return page{http.StatusRequestEntityTooLarge, "too_large", "Too large",
		fmt.Sprintf("This site takes requests of up to %s.", units.Bytes(most)), 0}
}

// upload is a request's body within its limits. The time that counts is what
// is spent waiting for the client, not what the backend takes to read.
type upload struct {
	io.ReadCloser
	max, rate int64  // less than 0: any
	abort     func() // ends the Read under way

	// answered is set when the response has begun: what comes now is one half
	// of a conversation, which may be silent as long as it likes.
	answered atomic.Bool

	read     int64
	messages *messages     // of a call, which is limited one by one: it may last for days
	budget   time.Duration // that the client may still let us wait
	grace    time.Duration // more than this it cannot earn

	mu     sync.Mutex // guards what follows
	timer  *time.Timer
	turn   int   // counts Reads
	why    *page // of a refusal
	closed bool
}

// Read is called by one goroutine at a time.
func (u *upload) Read(p []byte) (int, error) {
	if u.rate <= 0 || u.answered.Load() {
		n, err := u.ReadCloser.Read(p)
		return u.within(p, n, err)
	}
	began := time.Now()
	u.watch(u.budget)
	n, err := u.ReadCloser.Read(p)
	if u.unwatch() {
		return n, errRefused
	}
	earned := time.Duration(int64(n) * int64(time.Second) / u.rate)
	u.budget = min(u.budget-time.Since(began)+earned, u.grace)
	return u.within(p, n, err)
}

// within refuses what is longer than allowed.
func (u *upload) within(p []byte, n int, err error) (int, error) {
	length := u.read + int64(n)
	if u.read = length; u.messages != nil {
		length = u.messages.pass(p[:n])
	}
	if u.max > 0 && length > u.max {
		u.refuse(tooLarge(u.max))
		return 0, errRefused
	}
	return n, err
}

func (u *upload) refuse(p page) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.why = &p
}

// refused returns the page that says why a body was not taken, nil when it was
// or when there is none.
func (u *upload) refused() *page {
	if u == nil {
		return nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.why
}

// watch aborts the Read that follows after a while.
func (u *upload) watch(after time.Duration) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.turn++
	turn := u.turn
	u.timer = time.AfterFunc(max(0, after), func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		if u.turn == turn && !u.closed && !u.answered.Load() {
			u.why = &tooSlow
			u.abort()
		}
	})
}

// unwatch tells whether the Read was aborted.
func (u *upload) unwatch() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.turn++
	u.timer.Stop()
	return u.why != nil
}

// end makes sure that nothing touches the connection any more.
func (u *upload) end() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.closed = true
	if u.timer != nil {
		u.timer.Stop()
	}
}
