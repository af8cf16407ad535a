package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"runtime/debug"
	"slices"
	"unicode/utf8"

	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
)

// API is the table of verbs, with what they need.
type API struct {
	cfg      Config
	deployer Deployer
	db       *store.Store
	sessions *Sessions
	log      *slog.Logger
	verbs    map[string]verb
	closing  chan struct{} // closed when whoever follows has to let go
}

func newAPI(cfg Config, deployer Deployer, db *store.Store, sessions *Sessions, log *slog.Logger) *API {
	a := &API{cfg: cfg, deployer: deployer, db: db, sessions: sessions, log: log, verbs: map[string]verb{}, closing: make(chan struct{})}
	for _, v := range a.table() {
		a.verbs[v.name] = v
	}
	return a
}

// Verbs returns the names of all verbs, sorted.
func (a *API) Verbs() []string { return slices.Sorted(maps.Keys(a.verbs)) }

// Call does a verb for a user who was let in. args is the verb's arguments
// (its struct, or anything that is the same JSON; nil is none), result a
// pointer that gets its result, or nil. Progress goes to out, which may be nil.
// The error is always a *fault.Error that may be shown.
func (a *API) Call(ctx context.Context, user store.User, name string, args, result any, out io.Writer) error {
	raw, err := json.Marshal(args)
	if err != nil {
		return a.answerable(fmt.Errorf("write the arguments of %s: %w", name, err), name, user)
	}
	if out == nil {
		out = io.Discard
	}
	c := call{user: user, out: out}
	items := []any{}
	c.emit = func(item any) error {
		items = append(items, item)
		return nil
	}
	got, err := a.do(ctx, c, name, raw)
	if err != nil {
		return a.answerable(err, name, user)
	}
	if a.verbs[name].stream {
		got = items
	}
	if result == nil {
		return nil
	}
	if raw, err = json.Marshal(got); err == nil {
		err = json.Unmarshal(raw, result)
	}
	if err != nil {
		return a.answerable(fmt.Errorf("read the result of %s: %w", name, err), name, user)
	}
	return nil
}

// call is one use of a verb.
type call struct {
	user store.User
	out  io.Writer       // progress, for a person to read
	emit func(any) error // takes the next item of a verb that streams
}

// verb is one entry of the table.
type verb struct {
	name   string
	role   store.Role
	reads  bool // changes nothing, so that GET will do
	stream bool // its result is its items, in the order they were emitted
	// bind reads the arguments and returns what is asked: of which app ("" for
	// none) and the work itself.
	bind func(raw []byte) (app string, work func(context.Context, call) (any, error), err error)
	// fromQuery turns a GET's parameters into the arguments' JSON.
	fromQuery func(map[string][]string) ([]byte, error)
}

// arguments is what every verb's struct of arguments says of itself.
type arguments interface {
	target() (app string, needed bool)
}

// act is a verb that changes something.
func act[A arguments, R any](name string, role store.Role, fn func(context.Context, call, A) (R, error)) verb {
	return verb{
		name: name, role: role,
		bind: func(raw []byte) (string, func(context.Context, call) (any, error), error) {
			var args A
			if err := decodeStrictly(raw, &args); err != nil {
				return "", nil, err
			}
			app, needed := args.target()
			if needed && app == "" {
				return "", nil, fault.New(fault.Usage, "E140", "%s needs the name of an app", name)
			}
			return app, func(ctx context.Context, c call) (any, error) { return fn(ctx, c, args) }, nil
		},
		fromQuery: queryToJSON[A],
	}
}

// look is a verb that changes nothing.
func look[A arguments, R any](name string, role store.Role, fn func(context.Context, call, A) (R, error)) verb {
	v := act(name, role, fn)
	v.reads = true
	return v
}

// follow is a verb that changes nothing and whose result comes in items.
func follow[A arguments](name string, role store.Role, fn func(context.Context, call, A) error) verb {
	v := look(name, role, func(ctx context.Context, c call, args A) (any, error) { return nil, fn(ctx, c, args) })
	v.stream = true
	return v
}

// do is the one way in: it finds the verb, reads the arguments, asks whether
// the user may, and does it.
func (a *API) do(ctx context.Context, c call, name string, raw []byte) (result any, err error) {
	defer func() {
		if p := recover(); p != nil {
			if p == http.ErrAbortHandler {
				panic(p)
			}
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	v, err := a.verb(name)
	if err != nil {
		return nil, err
	}
	app, work, err := v.bind(raw)
	if err != nil {
		return nil, err
	}
	if err := c.user.May(v.role, app); err != nil {
		return nil, err
	}
	if v.stream {
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		defer cancel()
		go func() {
			select {
			case <-a.closing:
				cancel()
			case <-ctx.Done():
			}
		}()
	}
	return work(ctx, c)
}

func (a *API) verb(name string) (verb, error) {
	v, ok := a.verbs[name]
	if ok {
		return v, nil
	}
	f := fault.New(fault.NotFound, "E141", "no verb named %.60q", name)
	if near := fault.Nearest(name, a.Verbs()); near != "" {
		f.Hint("did you mean %q?", near)
	}
	return verb{}, f
}

// decodeStrictly reads one JSON value: no unknown fields, nothing after it, and
// text that is UTF-8 throughout (encoding/json would replace what is not, and a
// secret would silently be another).
func decodeStrictly(raw []byte, into any) error {
	bad := func(cause error) error {
		return fault.New(fault.Usage, "E140", "the arguments are not what this verb takes: %w", cause)
	}
	if !utf8.Valid(raw) {
		return bad(errors.New("text that is not UTF-8"))
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); errors.Is(err, io.EOF) {
		return nil // no arguments at all
	} else if err != nil {
		return bad(err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return bad(errors.New("something follows the JSON value"))
	}
	return nil
}

// answerable returns the fault that the asker gets for err. What is no fault is
// logged under a reference, and the asker gets that.
func (a *API) answerable(err error, verb string, user store.User) *fault.Error {
	if f := fault.From(err); f != nil {
		if f.Code == "E101" && len(user.Apps) > 0 {
			f = fault.New(f.Kind, f.Code, "%s", f.Message) // its hint is the name of another app
		}
		if f.Cause != nil && f.Kind == fault.Failed {
			a.log.Info("verb failed", "verb", verb, "user", user.Name, "code", f.Code, "err", f.Cause)
		}
		return f
	}
	switch {
	case errors.Is(err, context.Canceled):
		return fault.New(fault.Failed, "E143", "cancelled")
	case errors.Is(err, context.DeadlineExceeded):
		return fault.New(fault.Timeout, "E144", "this took too long")
	}
	ref := fault.NewRef()
	a.log.Error("internal error", "ref", ref, "verb", verb, "user", user.Name, "err", err)
	return fault.Internal(ref)
}
