package main

import (
	"encoding/json"
	"errors"
	"regexp"
	"strings"

	"github.com/berthd/berth/store/fault"
)

// shellQuote makes one word of a POSIX shell of any text without NUL.
func shellQuote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

var dotenvEscapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, `$`, `\$`, "`", "\\`", "\n", `\n`, "\r", `\r`)

// dotenvQuote writes a value as parseDotenv reads it.
func dotenvQuote(value string) string { return `"` + dotenvEscapes.Replace(value) + `"` }

// parseSettings reads what config:export writes, in each of its forms that have
// the values: JSON, the lines of an .env file, or the words of a shell.
func parseSettings(text string) (map[string]string, error) {
	switch trimmed := strings.TrimSpace(text); {
	case strings.HasPrefix(trimmed, "{"):
		return parseJSON(text)
	case strings.HasPrefix(trimmed, "["):
		return parseJSONList(text)
	}
	return parseDotenv(text)
}

// parseForm reads a text in a form that somebody names; "" is that of the text.
func parseForm(form, text string) (map[string]string, error) {
	switch form {
	case "":
		return parseSettings(text)
	case "json":
		return parseJSON(text)
	case "json-list":
		return parseJSONList(text)
	case "envfile", "env", "dotenv", "exports", "shell":
		return parseDotenv(text)
	}
	return nil, usage("there is no format %q to read", form).Hint("the formats are envfile, exports, shell, json and json-list")
}

// parseJSONList reads [{"name": "NAME", "value": "VALUE"}].
func parseJSONList(text string) (map[string]string, error) {
	var list []struct {
		Name  *string `json:"name"`
		Value *string `json:"value"`
	}
	err := json.Unmarshal([]byte(text), &list)
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return nil, usage("the JSON list has a %s where it must not", wrong.Value).Hint(`write it as in [{"name": "NAME", "value": "VALUE"}]`)
	}
	if err != nil {
		return nil, usage("standard input begins as JSON and is none: %v", err)
	}
	config := map[string]string{}
	for i, v := range list {
		if v.Name == nil || v.Value == nil {
			return nil, usage("element %d of the JSON list has no name or no value", i+1).Hint(`write it as in [{"name": "NAME", "value": "VALUE"}]`)
		}
		if _, twice := config[*v.Name]; twice {
			return nil, usage("element %d of the JSON list gives a name for the second time", i+1)
		}
		config[*v.Name] = *v.Value
	}
	return config, nil
}

// parseJSON reads {"NAME": "VALUE"}.
func parseJSON(text string) (map[string]string, error) {
	config := map[string]string{}
	err := json.Unmarshal([]byte(text), &config)
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return nil, usage("a value of the JSON object is a %s, and has to be a string", wrong.Value).Hint(`write it as in {"NAME": "VALUE"}`)
	}
	if err != nil {
		return nil, usage("standard input begins as JSON and is none: %v", err)
	}
	return config, nil
}

// assignment is where a variable begins behind another one.
var assignment = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*=`)

// parseDotenv reads the lines of an .env file: NAME=VALUE, perhaps after
// "export". A value is bare, up to the line's end or " #"; in single quotes, as
// it is; or in double quotes, where \n, \r, \t, \", \$, \`, \! and \\ stand for
// what they do in a shell, in C or in Dokku's files. A quoted value may go over
// several lines, and others may follow it at once, as shells write it's:
// 'it'\”s'. After a quoted value another NAME=VALUE may follow in the line, as
// Dokku's shell format has it. Nothing is expanded.
func parseDotenv(text string) (map[string]string, error) {
	config := map[string]string{}
	text = strings.TrimPrefix(text, "\ufeff")
	if strings.Count(text, "\n") == strings.Count(text, "\r\n") {
		text = strings.ReplaceAll(text, "\r\n", "\n") // a file of Windows; elsewhere a CR is part of a value
	}
	for line := 1; text != ""; {
		bad := func(why string) *fault.Error { return usage("line %d %s", line, why) }
		rest := strings.TrimLeft(text, " \t\r")
		if rest == "" || rest[0] == '\n' || rest[0] == '#' {
			_, text, _ = strings.Cut(rest, "\n")
			line++
			continue
		}
		if after, ok := strings.CutPrefix(rest, "export "); ok {
			rest = strings.TrimLeft(after, " \t")
		}
		first, _, _ := strings.Cut(rest, "\n")
		name, _, ok := strings.Cut(first, "=")
		if !ok || strings.TrimSpace(name) == "" {
			return nil, bad("is not NAME=VALUE")
		}
		raw := strings.TrimLeft(rest[len(name)+1:], " \t")
		name = strings.TrimRight(name, " \t")
		if _, twice := config[name]; twice {
			return nil, bad("gives a name for the second time")
		}
		value, after, ok := dotenvValue(raw)
		if !ok {
			return nil, bad("opens a quote that is never closed")
		}
		tail, next, _ := strings.Cut(after, "\n")
		if tail = strings.TrimLeft(tail, " \t\r"); assignment.MatchString(tail) && len(tail) < len(after) && strings.ContainsAny(after[:1], " \t") {
			next = strings.TrimLeft(after, " \t\r") // the words of a shell
		} else if tail != "" && tail[0] != '#' {
			return nil, bad("goes on after its closing quote")
		}
		config[name] = value
		line += strings.Count(text, "\n") - strings.Count(next, "\n")
		text = next
	}
	return config, nil
}

// dotenvValue reads a value from the start of text and returns what follows it.
func dotenvValue(text string) (value, after string, ok bool) {
	if text == "" || text[0] != '\'' && text[0] != '"' {
		value, after = bareValue(text)
		return value, after, true
	}
	var b strings.Builder
	for text != "" {
		var part string
		switch {
		case text[0] == '\'':
			part, text, ok = strings.Cut(text[1:], "'")
		case text[0] == '"':
			part, text, ok = doubleQuoted(text[1:])
		case text[0] == '\\' && len(text) > 1 && text[1] != '\n' && text[1] != '\r':
			part, text, ok = text[1:2], text[2:], true
		default:
			return b.String(), text, true
		}
		if !ok {
			return "", "", false
		}
		b.WriteString(part)
	}
	return b.String(), "", true
}

// doubleQuoted reads up to the closing quote, and returns what follows it.
func doubleQuoted(text string) (value, after string, ok bool) {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch ch := text[i]; {
		case ch == '"':
			return b.String(), text[i+1:], true
		case ch == '\\' && i+1 < len(text):
			i++
			switch text[i] {
			case 'n':
				b.WriteByte('\n')
			case 'r':
				b.WriteByte('\r')
			case 't':
				b.WriteByte('\t')
			case '"', '\\', '$', '`', '!':
				b.WriteByte(text[i])
			default: // not an escape
				b.WriteByte('\\')
				b.WriteByte(text[i])
			}
		default:
			b.WriteByte(ch)
		}
	}
	return "", "", false
}

// bareValue reads a value without quotes, up to the end of the line or a comment.
func bareValue(text string) (value, after string) {
	line, _, _ := strings.Cut(text, "\n")
	after = text[len(line):]
	if strings.HasPrefix(line, "#") {
		return "", after
	}
	for _, mark := range []string{" #", "\t#"} {
		line, _, _ = strings.Cut(line, mark)
	}
	return strings.TrimRight(line, " \t\r"), after
}
