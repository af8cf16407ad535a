package verbs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"runtime/debug"
	"slices"
	"time"

	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// Verbs returns the names of all verbs, sorted.
func (t *Table) Verbs() []string { return slices.Sorted(maps.Keys(t.verbs)) }

// Call calls a verb for a user. args is the verb's arguments
// (its struct, or anything that is the same JSON; nil is none), result a
// pointer that gets its result, or nil. Progress goes to out, which may be nil.
// The error is always a *fault.Error that may be shown.
func (t *Table) Call(ctx context.Context, user store.User, name string, args, result any, out io.Writer) error {
	raw, err := json.Marshal(args)
	if err != nil {
		return t.Fault(fmt.Errorf("write the arguments of %s: %w", name, err), name, user)
	}
	if out == nil {
		out = io.Discard
	}
	c := Call{User: user, Out: out}
	items := []any{}
	c.Emit = func(item any) error {
		items = append(items, item)
		return nil
	}
	got, err := t.Do(ctx, c, name, raw)
	if err != nil {
		return t.Fault(err, name, user)
	}
	if t.verbs[name].Streams {
		got = items
	}
	if result == nil {
		return nil
	}
	if raw, err = json.Marshal(got); err == nil {
		err = json.Unmarshal(raw, result)
	}
	if err != nil {
		return t.Fault(fmt.Errorf("read the result of %s: %w", name, err), name, user)
	}
	return nil
}

// Call is one use of a verb.
type Call struct {
	User store.User
	Out  io.Writer       // progress, for a person to read
	Emit func(any) error // takes the next item of a verb that streams
	// Streams are the program's, of a verb that is attached to one.
	Streams *runtime.Attachment

	app string  // in the arguments
	on  appHost // what a rule found the arguments to be about

	volume string // the id of the volume that a rule found them to be about
}

// Do finds the verb, reads the arguments, checks that the user may call it, and
// calls it. There is no other way to a verb. Its error is for Fault.
func (t *Table) Do(ctx context.Context, c Call, name string, args []byte) (result any, err error) {
	var v Verb
	began := time.Now()
	defer func() { t.audit(c, v, began, err) }()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	v, work, err := t.prepare(&c, name, args)
	if err != nil {
		return nil, err
	}
	if v.Attached && c.Streams == nil {
		return nil, fault.New(fault.Usage, code.MethodNotAllowed, "%s is a WebSocket", name)
	}
	if v.Streams {
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		defer cancel()
		go func() {
			select {
			case <-t.closing:
				cancel()
			case <-ctx.Done():
			}
		}()
	}
	return work(ctx, c)
}

// audit logs who changed what, or was refused, and how it ended. Arguments may be
// secrets, so it logs the app alone.
func (t *Table) audit(c Call, v Verb, began time.Time, err error) {
	if v.Name == "" || v.Reads {
		return
	}
	t.log.Info("verb", "name", v.Name, "user", c.User.Name, "app", c.app, "code", fault.CodeOf(err), "took", time.Since(began).Round(time.Millisecond))
}

// May returns nil if the user may call a verb with these arguments, else the reason.
func (t *Table) May(user store.User, name string, args any) error {
	raw, err := json.Marshal(args)
	if err != nil {
		return fmt.Errorf("write the arguments of %s: %w", name, err)
	}
	_, _, err = t.prepare(&Call{User: user}, name, raw)
	return err
}

func (t *Table) prepare(c *Call, name string, raw []byte) (v Verb, work work, err error) {
	if v, err = t.Verb(name); err != nil {
		return v, nil, err
	}
	args, app, work, err := v.bind(raw)
	if err != nil {
		return v, nil, err
	}
	c.app = app
	return v, work, t.allow(c, v, app, args)
}

// Verb returns the entry of that name, or the fault that there is none (E141).
func (t *Table) Verb(name string) (Verb, error) {
	v, ok := t.verbs[name]
	if ok {
		return v, nil
	}
	f := fault.New(fault.NotFound, code.VerbUnknown, "no verb named %.60q", name)
	if near := NearestVerb(name, t.Verbs()); near != "" {
		f.Hint("did you mean %q?", near)
	}
	return Verb{}, f
}

// Close ends all calls that stream. It is called once, when berth stops.
func (t *Table) Close() { close(t.closing) }

// Closing is closed by Close.
func (t *Table) Closing() <-chan struct{} { return t.closing }

// Ask calls a verb within this process and returns its result without JSON.
func Ask[R any](ctx context.Context, t *Table, user store.User, name string, args any) (result R, err error) {
	raw, err := json.Marshal(args)
	if err != nil {
		return result, fmt.Errorf("write the arguments of %s: %w", name, err)
	}
	got, err := t.Do(ctx, Call{User: user, Out: io.Discard}, name, raw)
	if err != nil {
		return result, err
	}
	result, ok := got.(R)
	if !ok {
		return result, fmt.Errorf("the result of %s is a %T and no %T", name, got, result)
	}
	return result, nil
}

// Follow calls a verb that streams, and calls fn with each item as it comes.
func Follow[T any](ctx context.Context, t *Table, user store.User, name string, args any, fn func(T) error) error {
	raw, err := json.Marshal(args)
	if err != nil {
		return fmt.Errorf("write the arguments of %s: %w", name, err)
	}
	_, err = t.Do(ctx, Call{User: user, Out: io.Discard, Emit: func(item any) error {
		of, ok := item.(T)
		if !ok {
			return fmt.Errorf("an item of %s is a %T and no %T", name, item, of)
		}
		return fn(of)
	}}, name, raw)
	return err
}

// Fault returns the caller's fault for err. An error that is not a fault is
// logged under a reference, and the caller gets the reference.
func (t *Table) Fault(err error, verb string, user store.User) *fault.Error {
	if f := fault.From(err); f != nil {
		if f.Code == code.AppUnknown && len(user.Apps) > 0 {
			f = fault.New(f.Kind, f.Code, "%s", f.Message) // its hint is the name of another app
		}
		if f.Cause != nil && f.Kind == fault.Failed {
			t.log.Info("verb failed", "verb", verb, "user", user.Name, "code", f.Code, "err", f.Cause)
		}
		return f
	}
	switch {
	case errors.Is(err, context.Canceled):
		return fault.New(fault.Failed, code.RequestCancelled, "cancelled")
	case errors.Is(err, context.DeadlineExceeded):
		return fault.New(fault.Timeout, code.RequestTimeout, "this took too long")
	}
	ref := fault.NewRef()
	t.log.Error("internal error", "ref", ref, "verb", verb, "user", user.Name, "err", err)
	return fault.Internal(ref)
}
