package buildpacks

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// jsonValue is a JSON value that remembers where it stands in its file, so
// that a mistake is reported with its line.
type jsonValue struct {
	doc    *jsonDocument
	at     int64  // offset of the value
	path   string // "cron[1].schedule"
	value  any    // string, json.Number, bool, nil, or one of the two below
	fields []jsonField
	items  []jsonValue
}

type jsonField struct {
	name string
	at   int64
	jsonValue
}

// What value holds for an object and an array.
type (
	jsonObject struct{}
	jsonArray  struct{}
)

type jsonDocument struct {
	name string // "app.json"
	text string
}

// maxNesting bounds how deep values may nest.
const maxNesting = 64

// parseJSON reads a whole document.
func parseJSON(name, text string) (jsonValue, error) {
	doc := &jsonDocument{name: name, text: text}
	var any json.RawMessage
	if err := json.Unmarshal([]byte(text), &any); err != nil {
		at := int64(len(text))
		if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
			at = max(syntax.Offset-1, 0)
		}
		p := doc.problem(at, "%s", strings.TrimPrefix(err.Error(), "json: "))
		rest := strings.TrimSpace(text[min(int(at), len(text)):])
		switch {
		case strings.HasPrefix(rest, "}"), strings.HasPrefix(rest, "]"):
			p.hint("JSON has no comma after the last element")
		case strings.HasPrefix(rest, "/"), strings.HasPrefix(rest, "#"):
			p.hint("JSON has no comments")
		case strings.HasPrefix(rest, "'"):
			p.hint("JSON has double quotes only")
		}
		return jsonValue{}, p
	}
	dec := json.NewDecoder(bytes.NewReader([]byte(text)))
	dec.UseNumber()
	return doc.value(dec, "", 0)
}

// value reads the next value. What it reads was found valid before.
func (d *jsonDocument) value(dec *json.Decoder, path string, depth int) (jsonValue, error) {
	v := jsonValue{doc: d, path: path, at: d.next(dec.InputOffset())}
	if depth > maxNesting {
		return v, d.problem(v.at, "more than %d levels deep", maxNesting)
	}
	token, err := dec.Token()
	if err != nil {
		return v, fmt.Errorf("read %s: %w", d.name, err)
	}
	switch token {
	case json.Delim('{'):
		v.value = jsonObject{}
		for dec.More() {
			f := jsonField{at: d.next(dec.InputOffset())}
			name, err := dec.Token()
			if err != nil {
				return v, fmt.Errorf("read %s: %w", d.name, err)
			}
			f.name, _ = name.(string)
			if f.jsonValue, err = d.value(dec, below(path, "."+f.name), depth+1); err != nil {
				return v, err
			}
			v.fields = append(v.fields, f)
		}
	case json.Delim('['):
		v.value = jsonArray{}
		for dec.More() {
			item, err := d.value(dec, below(path, fmt.Sprintf("[%d]", len(v.items))), depth+1)
			if err != nil {
				return v, err
			}
			v.items = append(v.items, item)
		}
	default:
		v.value = token
		return v, nil
	}
	if _, err := dec.Token(); err != nil && err != io.EOF { // the closing bracket
		return v, fmt.Errorf("read %s: %w", d.name, err)
	}
	return v, nil
}

// below returns the path of an element, kept short: a name may be as long as
// the file, and every element below it has a path.
func below(path, element string) string {
	if len(path)+len(element) > 200 {
		return "..."
	}
	return strings.TrimPrefix(path+element, ".")
}

// next returns the offset of the value that follows the separators at offset.
func (d *jsonDocument) next(offset int64) int64 {
	rest := d.text[offset:]
	return offset + int64(len(rest)-len(strings.TrimLeft(rest, " \t\r\n,:")))
}

// problem tells of a mistake at an offset, with its line and column.
func (d *jsonDocument) problem(at int64, format string, args ...any) *Problem {
	at = min(at, int64(len(d.text)))
	before := d.text[:at]
	line := strings.Count(before, "\n") + 1
	start := strings.LastIndexByte(before, '\n') + 1
	end := len(d.text)
	if i := strings.IndexByte(d.text[at:], '\n'); i >= 0 {
		end = int(at) + i
	}
	column := utf8.RuneCountInString(before[start:]) + 1
	p := problem(codeManifest, "%s, line %d, column %d: %s", d.name, line, column, fmt.Sprintf(format, args...))
	return p.with(fmt.Sprintf("%d | %s", line, printable(strings.TrimSpace(d.text[start:end]))))
}

// bad tells of a mistake in the value.
func (v jsonValue) bad(format string, args ...any) *Problem {
	name := v.path
	if name == "" {
		name = "the file"
	}
	return v.doc.problem(v.at, "%s %s", printable(name), fmt.Sprintf(format, args...))
}

// wrong tells that the value has another type than it should.
func (v jsonValue) wrong(want string) *Problem {
	got := "null"
	switch v.value.(type) {
	case jsonObject:
		got = "an object"
	case jsonArray:
		got = "a list"
	case string:
		got = "a string"
	case json.Number:
		got = "a number"
	case bool:
		got = "true or false"
	}
	return v.bad("is %s and should be %s", got, want)
}

func (v jsonValue) null() bool { return v.value == nil }

// object returns the fields of an object, none for null. No name may stand twice.
func (v jsonValue) object(want string) ([]jsonField, error) {
	if v.null() {
		return nil, nil
	}
	if _, ok := v.value.(jsonObject); !ok {
		return nil, v.wrong("an object, as in " + want)
	}
	seen := map[string]bool{}
	for _, f := range v.fields {
		if seen[f.name] {
			return nil, v.doc.problem(f.at, "%s is there twice", printable(f.path)).hint("keep one of the two")
		}
		seen[f.name] = true
	}
	return v.fields, nil
}

// list returns the items of a list, none for null.
func (v jsonValue) list(want string, most int) ([]jsonValue, error) {
	if v.null() {
		return nil, nil
	}
	if _, ok := v.value.(jsonArray); !ok {
		return nil, v.wrong("a list, as in " + want)
	}
	if len(v.items) > most {
		return nil, v.items[most].bad("is one too many: %d is the most", most)
	}
	return v.items, nil
}

func (v jsonValue) text() (string, error) {
	s, ok := v.value.(string)
	if !ok {
		p := v.wrong("a string")
		if n, ok := v.value.(json.Number); ok {
			p.hint(`put it in quotes: "%s"`, printable(n.String()))
		}
		return "", p
	}
	if strings.ContainsRune(s, 0) {
		return "", v.bad("has a NUL character in it")
	}
	return s, nil
}

func (v jsonValue) flag() (bool, error) {
	b, ok := v.value.(bool)
	if !ok {
		return false, v.wrong("true or false, without quotes")
	}
	return b, nil
}

func (v jsonValue) integer(least, most int64) (int, error) {
	n, ok := v.value.(json.Number)
	if !ok {
		p := v.wrong("a number")
		if s, ok := v.value.(string); ok && s != "" && strings.Trim(s, "0123456789") == "" {
			p.hint("write it without quotes: %s", printable(s))
		}
		return 0, p
	}
	i, err := n.Int64()
	if err != nil || i < least || i > most {
		return 0, v.bad("is %s and should be a whole number from %d to %d", printable(n.String()), least, most)
	}
	return int(i), nil
}
