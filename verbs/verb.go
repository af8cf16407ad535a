package verbs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/berthd/berth/property"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// Verb is one entry of the table. The constructors act, look and follow fill in
// what follows the words.
type Verb struct {
	Name string
	Role Role

	Topic   string   // the heading of the help that it stands under
	Short   string   // what it does, in at most 40 columns
	Long    string   // what else is to be known; may be empty
	Example string   // lines of a command line, without "berth"
	Aliases []string // of its command
	Usage   string   // of its command, where its arguments do not tell
	// Done is what is said when it is done, and Prints what is printed after it.
	// {name} in them is the value of an argument, {result.name} of a field of the
	// result. Without them the result is shown.
	Done, Prints string
	// Values returns what the words of the command after the app may be, given
	// those before it. Nil is when nothing is known of them.
	Values func(words []string) []string
	Hidden bool // it has no command of its own

	// Properties are what the verb sets, or what it reports beside other things.
	Properties *property.List
	// Keys returns what the flags of a report (--KEY) print, of its result for one
	// app, beside the fields of the result; may be nil. See keysOf.
	Keys func(result []byte) ([]Key, error)
	// Whole says of a report that without an app it is of all that the user may see.
	Whole bool

	Reads    bool         // it changes nothing, so that GET will do
	Streams  bool         // its result is its items, in the order they were emitted
	Attached bool         // to a program's streams, both ways
	Args     reflect.Type // a struct
	Result   reflect.Type // or of one item

	// bind reads the arguments and returns them, of which app they are ("" for
	// none), and the work itself.
	bind func(raw []byte) (args any, app string, work work, err error)
	// fromQuery turns a GET's parameters into the arguments' JSON.
	fromQuery func(map[string][]string) ([]byte, error)
}

type work = func(context.Context, Call) (any, error)

// FromQuery turns a GET's parameters into the arguments' JSON.
func (v Verb) FromQuery(query map[string][]string) ([]byte, error) { return v.fromQuery(query) }

// arguments is what every verb's struct of arguments says of itself. Its fields
// say how they are given on a command line:
//
//	cli:"NAME"  cli:"[NAME]"  cli:"NAME ..."   a word, one that may be missing, all that follow
//	flag:"num,n" default:"15" help:"..."       a flag, with a letter for short
//
//	file:"type it"  stdin:"type it"            beside cli: the word names a file; a word
//	                                           that is missing is read from standard input
//
// A field without either has no place there, but for the app, which --app gives.
type arguments interface {
	target() (app string, needed bool)
}

// NoArgs are no arguments.
type NoArgs struct{}

func (NoArgs) target() (string, bool) { return "", false }

// AppArgs name an app.
type AppArgs struct {
	App string `json:"app" cli:"APP"`
}

func (a AppArgs) target() (string, bool) { return a.App, true }

// act is a verb that changes something.
func act[A arguments, R any](v Verb, fn func(context.Context, Call, A) (R, error)) Verb {
	v.Args, v.Result = reflect.TypeFor[A](), reflect.TypeFor[R]()
	v.bind = func(raw []byte) (any, string, work, error) {
		var args A
		if err := decodeStrictly(raw, &args); err != nil {
			return nil, "", nil, err
		}
		app, needed := args.target()
		if needed && app == "" {
			return nil, "", nil, fault.New(fault.Usage, code.ArgumentsInvalid, "%s needs the name of an app", v.Name)
		}
		return args, app, func(ctx context.Context, c Call) (any, error) { return fn(ctx, c, args) }, nil
	}
	v.fromQuery = queryToJSON[A]
	return v
}

// look is a verb that changes nothing.
func look[A arguments, R any](v Verb, fn func(context.Context, Call, A) (R, error)) Verb {
	v.Reads = true
	return act(v, fn)
}

// follow is a verb that changes nothing and whose result comes in items, I each.
func follow[I any, A arguments](v Verb, fn func(context.Context, Call, A) error) Verb {
	v.Streams = true
	v = look(v, func(ctx context.Context, c Call, args A) (any, error) { return nil, fn(ctx, c, args) })
	v.Result = reflect.TypeFor[I]()
	return v
}

// BadArguments returns the fault (E140) of arguments that a verb does not take.
func BadArguments(format string, args ...any) *fault.Error {
	return fault.New(fault.Usage, code.ArgumentsInvalid, format, args...)
}

// WrongMethod returns the fault (E142) of a verb that was not asked as it has
// to be.
func WrongMethod(format string, args ...any) *fault.Error {
	return fault.New(fault.Usage, code.MethodNotAllowed, format, args...)
}

// decodeStrictly reads one JSON value: no unknown fields, nothing after it, and
// text that is UTF-8 throughout (encoding/json would replace what is not, and a
// secret would silently be another).
func decodeStrictly(raw []byte, into any) error {
	bad := func(cause error) error {
		return fault.New(fault.Usage, code.ArgumentsInvalid, "the arguments are not what this verb takes: %w", cause)
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

// queryToJSON turns query parameters into the JSON of A: text and lists of text
// as they are, numbers and booleans by the type of the field they go to.
func queryToJSON[A any](query map[string][]string) ([]byte, error) {
	fields := map[string]reflect.Kind{}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[A]()) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		fields[name] = f.Type.Kind()
	}
	object := map[string]any{}
	for name, values := range query {
		kind := fields[name]
		if kind == reflect.Slice {
			object[name] = values
			continue
		}
		if len(values) != 1 {
			return nil, fault.New(fault.Usage, code.ArgumentsInvalid, "the parameter %.60q is given more than once", name)
		}
		switch kind {
		case reflect.Int:
			n, err := strconv.Atoi(values[0])
			if err != nil {
				return nil, fault.New(fault.Usage, code.ArgumentsInvalid, "the parameter %s is not a number", name)
			}
			object[name] = n
		case reflect.Bool:
			yes, err := strconv.ParseBool(values[0])
			if err != nil {
				return nil, fault.New(fault.Usage, code.ArgumentsInvalid, "the parameter %s is not true or false", name)
			}
			object[name] = yes
		default: // unknown ones are refused by name when the JSON is read
			if !utf8.ValidString(values[0]) {
				return nil, fault.New(fault.Usage, code.ArgumentsInvalid, "the parameter %.60q is not UTF-8", name)
			}
			object[name] = values[0]
		}
	}
	return json.Marshal(object)
}
