package source

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// JSON is a JSON value that remembers where it stands in its file, so
// that a mistake is reported with its line.
type JSON struct {
	doc    *jsonDocument
	at     int64  // offset of the value
	path   string // "cron[1].schedule"
	value  any    // string, json.Number, bool, nil, or one of the two below
	Fields []Field
	Items  []JSON
}

// Field is a member of an object.
type Field struct {
	Name string
	at   int64 // offset of the name
	JSON
}

// What value holds for an object and an array.
type (
	jsonObject struct{}
	jsonArray  struct{}
)

type jsonDocument struct {
	name string // "app.json"
	code string // of its problems
	text string
}

// maxNesting bounds how deep values may nest.
const maxNesting = 64

// JSON reads a file of at most limit bytes as JSON. Its mistakes are problems
// of the code. The error is fs.ErrNotExist when there is no such file.
func (t *Tree) JSON(code, name string, limit int64) (JSON, error) {
	text, err := t.Text(name, limit)
	if err != nil {
		return JSON{}, err
	}
	return ParseJSON(code, name, text)
}

// ParseJSON reads a whole document. Its mistakes are problems of the code.
func ParseJSON(code, name, text string) (JSON, error) {
	doc := &jsonDocument{name: name, code: code, text: text}
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
			p.Hint("JSON has no comma after the last element")
		case strings.HasPrefix(rest, "/"), strings.HasPrefix(rest, "#"):
			p.Hint("JSON has no comments")
		case strings.HasPrefix(rest, "'"):
			p.Hint("JSON has double quotes only")
		}
		return JSON{}, p
	}
	dec := json.NewDecoder(bytes.NewReader([]byte(text)))
	dec.UseNumber()
	return doc.value(dec, "", 0)
}

// value reads the next value. What it reads was found valid before.
func (d *jsonDocument) value(dec *json.Decoder, path string, depth int) (JSON, error) {
	v := JSON{doc: d, path: path, at: d.next(dec.InputOffset())}
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
			f := Field{at: d.next(dec.InputOffset())}
			name, err := dec.Token()
			if err != nil {
				return v, fmt.Errorf("read %s: %w", d.name, err)
			}
			f.Name, _ = name.(string)
			if f.JSON, err = d.value(dec, below(path, "."+f.Name), depth+1); err != nil {
				return v, err
			}
			v.Fields = append(v.Fields, f)
		}
	case json.Delim('['):
		v.value = jsonArray{}
		for dec.More() {
			item, err := d.value(dec, below(path, fmt.Sprintf("[%d]", len(v.Items))), depth+1)
			if err != nil {
				return v, err
			}
			v.Items = append(v.Items, item)
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
	p := Problemf(d.code, "%s, line %d, column %d: %s", d.name, line, column, fmt.Sprintf(format, args...))
	return p.With(fmt.Sprintf("%d | %s", line, Printable(strings.TrimSpace(d.text[start:end]))))
}

// Get returns the value at a path of names, and whether there is one. If a name
// appears twice, the last one is used, as by every reader of JSON.
func (v JSON) Get(names ...string) (JSON, bool) {
	for _, name := range names {
		found := false
		for _, f := range slices.Backward(v.Fields) {
			if f.Name == name {
				v, found = f.JSON, true
				break
			}
		}
		if !found {
			return JSON{}, false
		}
	}
	return v, true
}

// String returns the string at a path of names; "" when there is none.
func (v JSON) String(names ...string) string {
	v, _ = v.Get(names...)
	s, _ := v.value.(string)
	return s
}

// IsObject tells whether the value is an object.
func (v JSON) IsObject() bool { _, ok := v.value.(jsonObject); return ok }

// IsString tells whether the value is a string.
func (v JSON) IsString() bool { _, ok := v.value.(string); return ok }

// True tells whether the value is the literal true.
func (v JSON) True() bool { return v.value == true }

// Misnamed tells of a mistake in a field's name.
func (f Field) Misnamed(format string, args ...any) *Problem {
	return f.doc.problem(f.at, format, args...)
}

// Bad tells of a mistake in the value.
func (v JSON) Bad(format string, args ...any) *Problem {
	name := v.path
	if name == "" {
		name = "the file"
	}
	return v.doc.problem(v.at, "%s %s", Printable(name), fmt.Sprintf(format, args...))
}

// Wrong tells that the value has another type than it should.
func (v JSON) Wrong(want string) *Problem {
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
	return v.Bad("is %s and should be %s", got, want)
}

// Null tells whether the value is null.
func (v JSON) Null() bool { return v.value == nil }

// Object returns the fields of an object, none for null. No name may stand twice.
func (v JSON) Object(want string) ([]Field, error) {
	if v.Null() {
		return nil, nil
	}
	if _, ok := v.value.(jsonObject); !ok {
		return nil, v.Wrong("an object, as in " + want)
	}
	seen := map[string]bool{}
	for _, f := range v.Fields {
		if seen[f.Name] {
			return nil, v.doc.problem(f.at, "%s appears twice", Printable(f.path)).Hint("keep one of the two")
		}
		seen[f.Name] = true
	}
	return v.Fields, nil
}

// List returns the items of a list, none for null.
func (v JSON) List(want string, most int) ([]JSON, error) {
	if v.Null() {
		return nil, nil
	}
	if _, ok := v.value.(jsonArray); !ok {
		return nil, v.Wrong("a list, as in " + want)
	}
	if len(v.Items) > most {
		return nil, v.Items[most].Bad("is one too many: the maximum is %d", most)
	}
	return v.Items, nil
}

// Text returns the string that the value has to be.
func (v JSON) Text() (string, error) {
	s, ok := v.value.(string)
	if !ok {
		p := v.Wrong("a string")
		if n, ok := v.value.(json.Number); ok {
			p.Hint(`put it in quotes: "%s"`, Printable(n.String()))
		}
		return "", p
	}
	if strings.ContainsRune(s, 0) {
		return "", v.Bad("has a NUL character in it")
	}
	return s, nil
}

// Flag returns the boolean that the value has to be.
func (v JSON) Flag() (bool, error) {
	b, ok := v.value.(bool)
	if !ok {
		return false, v.Wrong("true or false, without quotes")
	}
	return b, nil
}

// Integer returns the whole number, from least to most, that the value has to be.
func (v JSON) Integer(least, most int64) (int, error) {
	n, ok := v.value.(json.Number)
	if !ok {
		p := v.Wrong("a number")
		if s, ok := v.value.(string); ok && s != "" && strings.Trim(s, "0123456789") == "" {
			p.Hint("write it without quotes: %s", Printable(s))
		}
		return 0, p
	}
	i, err := n.Int64()
	if err != nil || i < least || i > most {
		return 0, v.Bad("is %s and should be a whole number from %d to %d", Printable(n.String()), least, most)
	}
	return int(i), nil
}

// OneOf returns the string that the value has to be, one of the words.
func (v JSON) OneOf(words ...string) (string, error) {
	s, err := v.Text()
	if err == nil && !slices.Contains(words, s) {
		err = v.Bad("is %q and should be one of %s", Printable(s), strings.Join(words, ", "))
	}
	return s, err
}
