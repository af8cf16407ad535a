package main

import (
	"strconv"
	"strings"

	"github.com/berthd/berth/store/fault"
)

// parseFormation reads web=2 worker=1.
func parseFormation(words []string) (map[string]int, error) {
	formation := map[string]int{}
	for _, word := range words {
		name, count, ok := strings.Cut(word, "=")
		n, err := strconv.Atoi(count)
		switch _, twice := formation[name]; {
		case !ok || name == "":
			return nil, usage("%.60q is not TYPE=N", word).Hint("web=2, for example")
		case err != nil || n < 0:
			return nil, usage("%.60q is not a number of instances", count).Hint("0 stops the type, 2 runs two of it")
		case twice:
			return nil, usage("%.60q is given twice", name)
		}
		formation[name] = n
	}
	return formation, nil
}

// parseNumber reads the number of a release (v18 or 18) or of a build.
func parseNumber(word string) (int, error) {
	n, err := strconv.Atoi(strings.TrimPrefix(word, "v"))
	if err != nil || n < 1 {
		return 0, usage("%.60q is not the number of one", word).Hint("v18 and 18 are both right")
	}
	return n, nil
}

// parseCount reads the number that a flag was given.
func parseCount(flag, word string, least int) (int, error) {
	n, err := strconv.Atoi(word)
	if err != nil || n < least {
		return 0, usage("%s is %.60q, and has to be a number from %d", flag, word, least)
	}
	return n, nil
}

// parseConfig reads NAME=VALUE words. What a value is, is never part of an error.
func parseConfig(words []string) (map[string]string, error) {
	config := map[string]string{}
	for i, word := range words {
		name, value, ok := strings.Cut(word, "=")
		if !ok || name == "" {
			return nil, usage("word %d is not NAME=VALUE", i+1).Hint("a value with spaces needs quotes: NAME='two words'")
		}
		if _, twice := config[name]; twice {
			return nil, usage("%.60q is given twice", name)
		}
		config[name] = value
	}
	return config, nil
}

// shellQuote makes one word of a POSIX shell of any text without NUL.
func shellQuote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

var dotenvEscapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, `$`, `\$`, "`", "\\`", "\n", `\n`, "\r", `\r`)

// dotenvQuote writes a value as parseDotenv reads it.
func dotenvQuote(value string) string { return `"` + dotenvEscapes.Replace(value) + `"` }

// parseDotenv reads the lines of an .env file: NAME=VALUE, perhaps after
// "export". A value is bare, up to the line's end or " #"; in single quotes, as
// it is; or in double quotes, where \n, \r, \t, \", \$, \` and \\ stand for what
// they do in a shell or in C. A quoted value may go over several lines.
// Nothing is expanded.
func parseDotenv(text string) (map[string]string, error) {
	config := map[string]string{}
	text = strings.ReplaceAll(strings.TrimPrefix(text, "\ufeff"), "\r\n", "\n")
	for line := 1; text != ""; {
		bad := func(why string) *fault.Error { return usage("line %d %s", line, why) }
		rest := strings.TrimLeft(text, " \t")
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
		if tail = strings.TrimLeft(tail, " \t"); tail != "" && tail[0] != '#' {
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
	switch {
	case strings.HasPrefix(text, "'"):
		value, after, ok = strings.Cut(text[1:], "'")
		return value, after, ok
	case strings.HasPrefix(text, `"`):
		var b strings.Builder
		for i := 1; i < len(text); i++ {
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
				case '"', '\\', '$', '`':
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
	line, _, _ := strings.Cut(text, "\n")
	after = text[len(line):]
	if strings.HasPrefix(line, "#") {
		return "", after, true
	}
	for _, mark := range []string{" #", "\t#"} {
		line, _, _ = strings.Cut(line, mark)
	}
	return strings.TrimRight(line, " \t"), after, true
}
