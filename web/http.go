package web

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/berthd/berth/client"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
	"github.com/berthd/berth/units"
	"github.com/berthd/berth/verbs"
)

// The API over HTTP:
//
//	POST /api/v1/VERB   arguments as a JSON object
//	GET  /api/v1/VERB   arguments as query parameters, for verbs that change nothing
//	GET  /api/v1/run    a WebSocket, see run.go; likewise what else is attached
//	GET  /api/v1/openapi.json   all of this for programs, see openapi.go
//
// The answer is the result as JSON, or {"error": FAULT} with a status that fits.
// Asked for with Accept: application/x-ndjson it is a line of JSON for each
// thing as it happens: {"out": TEXT} for progress, {"item": …} for each item of
// a verb that streams, and last {"result": …} or {"error": FAULT}.

const (
	apiPath  = client.Path
	ndjson   = client.Stream
	maxBody  = 4 << 20          // the config of an app whose values are all as long as may be, many times over
	sendTime = 30 * time.Second // how long progress waits for a reader before it goes on unread
)

// api answers for the table of verbs.
type api struct {
	*verbs.Table
	version string
	log     *slog.Logger
}

// handler serves the API to whoever who lets in.
func (a *api) handler(who func(*http.Request) (store.User, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		name := strings.TrimPrefix(r.URL.Path, apiPath)
		user, err := who(r)
		if err != nil {
			answerError(w, a.Fault(err, name, user))
			return
		}
		if v, err := a.Verb(name); err == nil && v.Attached {
			a.serveAttached(w, r, user, name)
			return
		}
		if name == openAPI && r.Method == http.MethodGet {
			a.serveOpenAPI(w, user)
			return
		}
		raw, err := a.readArguments(w, r, name)
		if err != nil {
			answerError(w, a.Fault(err, name, user))
			return
		}
		if strings.Contains(r.Header.Get("Accept"), ndjson) {
			a.serveStream(w, r, user, name, raw)
			return
		}
		var result json.RawMessage
		if err := a.Call(r.Context(), user, name, json.RawMessage(raw), &result, nil); err != nil {
			answerError(w, fault.From(err))
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Write(append(result, '\n'))
	})
}

func (a *api) readArguments(w http.ResponseWriter, r *http.Request, name string) ([]byte, error) {
	v, err := a.Verb(name)
	if err != nil {
		return nil, err
	}
	switch {
	case r.Method == http.MethodPost:
		raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
			return nil, fault.New(fault.Usage, code.ArgumentsTooLarge, "the arguments are larger than %s", units.Bytes(maxBody))
		}
		if err != nil {
			return nil, verbs.BadArguments("the arguments are incomplete: %w", err)
		}
		if len(raw) == 0 {
			raw = []byte("{}")
		}
		// Checked here, so that what Call gets to marshal is JSON.
		if !json.Valid(raw) {
			return nil, verbs.BadArguments("the arguments are not JSON")
		}
		return raw, nil
	case r.Method == http.MethodGet && v.Reads:
		return v.FromQuery(r.URL.Query())
	default:
		return nil, verbs.WrongMethod("%s cannot be called by %s", name, r.Method).Hint("use POST")
	}
}

func (a *api) serveStream(w http.ResponseWriter, r *http.Request, user store.User, name string, raw []byte) {
	w.Header().Set("Content-Type", ndjson)
	s := &stream{w: w, ctl: http.NewResponseController(w)}
	c := verbs.Call{User: user, Out: &progress{stream: s}, Emit: func(item any) error { return s.send(message{Item: item}) }}
	result, err := a.Do(r.Context(), c, name, raw)
	if err != nil {
		s.send(message{Error: a.Fault(err, name, user)})
		return
	}
	if err := s.send(message{Result: &result}); err != nil {
		a.log.Debug("nobody read the answer", "verb", name, "user", user.Name, "err", err)
	}
}

// message is one line of a stream. Exactly one field is set.
type message struct {
	Out    string       `json:"out,omitempty"`
	Item   any          `json:"item,omitempty"`
	Result *any         `json:"result,omitempty"`
	Error  *fault.Error `json:"error,omitempty"`
}

// stream writes messages. It is safe for concurrent use.
type stream struct {
	w   http.ResponseWriter
	ctl *http.ResponseController

	mu   sync.Mutex // guards the writing of one message
	dead bool       // a reader was given up
}

func (s *stream) send(m message) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sendLocked(m)
}

func (s *stream) sendLocked(m message) error {
	raw, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if _, err := s.w.Write(append(raw, '\n')); err != nil {
		return err
	}
	return s.ctl.Flush()
}

// progress sends text as it is written. A reader that went away or stopped
// reading must not hold up a rollout: after sendTime the rest goes unread.
type progress struct {
	*stream
	half []byte // of a character whose other half comes with the next write
}

func (p *progress) Write(text []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	whole := append(p.half, text...)
	whole, p.half = splitHalfRune(whole)
	if len(whole) == 0 || p.dead {
		return len(text), nil
	}
	p.ctl.SetWriteDeadline(time.Now().Add(sendTime))
	if err := p.sendLocked(message{Out: string(whole)}); err != nil {
		p.dead = true
	} else {
		p.ctl.SetWriteDeadline(time.Time{})
	}
	return len(text), nil
}

// splitHalfRune cuts off the beginning of a character that is not all there.
func splitHalfRune(text []byte) (whole, half []byte) {
	for i := len(text) - 1; i >= max(0, len(text)-utf8.UTFMax); i-- {
		if utf8.RuneStart(text[i]) {
			if !utf8.FullRune(text[i:]) {
				return text[:i], slices.Clone(text[i:])
			}
			break
		}
	}
	return text, nil
}

// Unavailable answers every verb with the fault, for an API that does not exist yet.
func Unavailable(f *fault.Error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { answerError(w, f) })
}

func answerError(w http.ResponseWriter, f *fault.Error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(StatusOf(f))
	json.NewEncoder(w).Encode(message{Error: f})
}

// StatusOf is the status of a response that is a fault.
func StatusOf(f *fault.Error) int {
	switch f.Code {
	case code.Internal:
		return http.StatusInternalServerError
	case code.MethodNotAllowed:
		return http.StatusMethodNotAllowed
	case code.ArgumentsTooLarge:
		return http.StatusRequestEntityTooLarge
	case code.SignInRequired:
		return http.StatusUnauthorized
	}
	switch f.Kind {
	case fault.Usage:
		return http.StatusBadRequest
	case fault.NotFound:
		return http.StatusNotFound
	case fault.Denied:
		return http.StatusForbidden
	case fault.Conflict:
		return http.StatusConflict
	case fault.Timeout:
		return http.StatusGatewayTimeout
	}
	return http.StatusUnprocessableEntity
}
