package admin

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
)

const (
	eventSendTime = 30 * time.Second // a browser that takes no byte for so long is let go; it comes back by itself
	pingEvery     = 15 * time.Second // below the idle timeouts of what may stand between
	sessionEvery  = 3 * time.Second  // how long a revoked session still sees what it saw
	liveEvery     = 10 * time.Second // figures that change without word: memory, certificates
	livePause     = 150 * time.Millisecond
)

// eventStream sends server-sent events to one browser. It is safe for concurrent use.
type eventStream struct {
	mu  sync.Mutex // guards the writing of one event
	w   http.ResponseWriter
	ctl *http.ResponseController
}

// lineBreaks makes every kind of line break the one that send looks for: a
// lone CR ends a line of the protocol too, and what follows would be a field.
var lineBreaks = strings.NewReplacer("\r\n", "\n", "\r", "\n")

// send sends one event. id may be empty; a browser that connects again names
// the last one it got.
func (s *eventStream) send(event, id, data string) error {
	var b strings.Builder
	b.WriteString("event: " + event + "\n")
	if id != "" {
		b.WriteString("id: " + id + "\n")
	}
	for line := range strings.SplitSeq(lineBreaks.Replace(data), "\n") {
		b.WriteString("data: " + line + "\n")
	}
	b.WriteString("\n")
	return s.write(b.String())
}

func (s *eventStream) write(text string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.ctl.SetWriteDeadline(time.Now().Add(eventSendTime)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	if _, err := s.w.Write([]byte(text)); err != nil {
		return err
	}
	if err := s.ctl.Flush(); err != nil {
		return err
	}
	// On HTTP/2 a deadline that passes ends the stream, even an idle one.
	if err := s.ctl.SetWriteDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil
}

// stream answers with server-sent events. It ends when feed returns, the
// visitor leaves or may no longer look, or the server stops. feed's context
// says so; beside feed one goroutine runs, and it is waited for.
//
// What feed returns is an answer to the visitor only as long as no event has
// been sent: afterwards there is nothing left to say it with.
func (a *admin) stream(w http.ResponseWriter, r *http.Request, feed func(context.Context, *eventStream) error) error {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // for an nginx in front of us
	s := &eventStream{w: w, ctl: http.NewResponseController(w)}
	if err := s.write("retry: 1000\n\n"); err != nil {
		return nil // gone already
	}
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		defer cancel()
		a.watch(ctx, r, s)
	}()
	err := feed(ctx, s)
	cancel()
	<-watched
	if err != nil && ctx.Err() == nil {
		a.table.Fault(err, "GET "+r.URL.Path, store.User{}) // to the log
	}
	return nil
}

// watch keeps a stream alive, and returns when it must end.
func (a *admin) watch(ctx context.Context, r *http.Request, s *eventStream) {
	ping, session := time.NewTicker(pingEvery), time.NewTicker(sessionEvery)
	defer ping.Stop()
	defer session.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.table.Closing():
			return // the browser connects again, to whoever comes next
		case <-ping.C:
			if s.write(": \n\n") != nil {
				return
			}
		case <-session.C:
			user, err := a.door.User(r)
			if err == nil {
				err = a.mayStay(user, r.PathValue("app"))
			}
			if err != nil {
				s.send("bye", "", "") // the page loads again, and says what there is to say
				return
			}
		}
	}
}

// mayStay returns nil when a user may look at what a stream is about: an app, or
// with "" at all of them.
func (a *admin) mayStay(user store.User, app string) error {
	if app == "" {
		return a.table.May(user, "apps:list", nil)
	}
	return a.may(user, "apps:info", app)
}

// streamParts sends those parts of a page that have changed, whenever the
// deployer says that something did. read returns the page's data now.
func (a *admin) streamParts(w http.ResponseWriter, r *http.Request, page string, parts []string, read func(context.Context) (any, error)) error {
	if _, err := read(r.Context()); err != nil {
		return err // while an error page can still be the answer
	}
	return a.stream(w, r, func(ctx context.Context, s *eventStream) error {
		changes := a.changes.Subscribe(ctx)
		tick := time.NewTicker(liveEvery)
		defer tick.Stop()
		sent := map[string][sha256.Size]byte{}
		for {
			data, err := read(ctx)
			if f := fault.From(err); f != nil && f.Kind == fault.NotFound {
				s.send("bye", "", "") // destroyed or renamed
				return nil
			}
			if err != nil {
				return err
			}
			for _, part := range parts {
				var b bytes.Buffer
				if err := a.renderTo(&b, page, part, data); err != nil {
					return err
				}
				if sum := sha256.Sum256(b.Bytes()); sum != sent[part] {
					if err := s.send(part, "", b.String()); err != nil {
						return nil
					}
					sent[part] = sum
				}
			}
			// A rollout says a dozen things in a moment; one look shows them all.
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(livePause):
			}
			select {
			case <-ctx.Done():
				return nil
			case <-changes:
			case <-tick.C:
			}
			for len(changes) > 0 { // the one look to come is for all of them
				<-changes
			}
		}
	})
}
