package admin

import (
	"fmt"
	"html"
	"html/template"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// maxLine is how many bytes of one line of output a page shows.
const maxLine = 16 << 10

// outputHTML turns one line of what some program wrote into HTML. Colours set
// by SGR sequences become classes; every other control sequence, control
// character and character that turns the direction of text is taken out. What
// a carriage return overwrites is gone, as on a terminal.
func outputHTML(line string) template.HTML {
	cut := 0
	if len(line) > maxLine {
		end := maxLine
		for end > 0 && !utf8.RuneStart(line[end]) {
			end--
		}
		cut, line = len(line)-end, line[:end]
	}
	line = strings.TrimRight(line, "\r\n")
	if i := strings.LastIndexByte(line, '\r'); i >= 0 {
		line = line[i+1:]
	}
	var b strings.Builder
	var style sgr
	open := false
	for len(line) > 0 {
		if line[0] == 0x1b {
			sequence := escapeSequence(line)
			if params, isSGR := sgrParams(line[:sequence]); isSGR {
				style.apply(params)
				if open {
					b.WriteString("</span>")
				}
				classes := style.classes()
				if open = classes != ""; open {
					b.WriteString(`<span class="` + classes + `">`)
				}
			}
			line = line[sequence:]
			continue
		}
		r, size := utf8.DecodeRuneInString(line)
		switch {
		case r == utf8.RuneError && size == 1:
			b.WriteRune(utf8.RuneError)
		case r == '\t', !unicode.Is(unicode.Cc, r) && !turnsText(r):
			b.WriteString(html.EscapeString(line[:size]))
		}
		line = line[size:]
	}
	if open {
		b.WriteString("</span>")
	}
	if cut > 0 {
		fmt.Fprintf(&b, ` <span class="cut">… %d more bytes</span>`, cut)
	}
	return template.HTML(b.String())
}

// turnsText tells whether r changes the direction of the text around it, which
// makes a line read as what it is not.
func turnsText(r rune) bool {
	return r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069' || r == '\u200e' || r == '\u200f' || r == '\u061c'
}

// escapeSequence returns the length of the control sequence that s begins with
// (ECMA-48: CSI; the strings OSC, DCS, SOS, PM and APC; two-byte sequences).
// One that does not end takes the rest of the line.
func escapeSequence(s string) int {
	if len(s) == 1 {
		return 1
	}
	switch s[1] {
	case '[':
		for i := 2; i < len(s); i++ {
			if s[i] >= 0x40 && s[i] <= 0x7e {
				return i + 1
			}
			if s[i] < 0x20 || s[i] > 0x7e {
				return i // broken off
			}
		}
		return len(s)
	case ']', 'P', 'X', '^', '_':
		for i := 2; i < len(s); i++ {
			if s[i] == 0x07 {
				return i + 1
			}
			if s[i] == 0x1b && i+1 < len(s) && s[i+1] == '\\' {
				return i + 2
			}
		}
		return len(s)
	}
	if s[1] >= 0x20 && s[1] <= 0x2f && len(s) > 2 { // an intermediate byte, then a final one
		return 3
	}
	if s[1] >= utf8.RuneSelf {
		return 1
	}
	return 2
}

// sgrParams returns the numbers of a "select graphic rendition" sequence.
func sgrParams(sequence string) (params []int, ok bool) {
	body, begins := strings.CutPrefix(sequence, "\x1b[")
	body, ends := strings.CutSuffix(body, "m")
	if !begins || !ends {
		return nil, false
	}
	for field := range strings.FieldsFuncSeq(strings.ReplaceAll(body, ";;", ";0;"), func(r rune) bool { return r == ';' || r == ':' }) {
		n, err := strconv.Atoi(field)
		if err != nil {
			return nil, false
		}
		params = append(params, n)
	}
	if len(params) == 0 {
		params = []int{0}
	}
	return params, true
}

// sgr is the rendition in force. Colours are 1 to 16; 0 is the page's own.
// Backgrounds are left out: on a light page as on a dark one the text must
// stay readable.
type sgr struct {
	colour                  int
	bold, dim, italic, line bool
}

func (s *sgr) apply(params []int) {
	for i := 0; i < len(params); i++ {
		switch p := params[i]; {
		case p == 0:
			*s = sgr{}
		case p == 1:
			s.bold = true
		case p == 2:
			s.dim = true
		case p == 3:
			s.italic = true
		case p == 4:
			s.line = true
		case p == 22:
			s.bold, s.dim = false, false
		case p == 23:
			s.italic = false
		case p == 24:
			s.line = false
		case p >= 30 && p <= 37:
			s.colour = p - 30 + 1
		case p == 39:
			s.colour = 0
		case p >= 90 && p <= 97:
			s.colour = p - 90 + 9
		case (p == 38 || p == 48) && i+1 < len(params): // of a palette of 256, or RGB
			skip := map[int]int{5: 2, 2: 4}[params[i+1]]
			if p == 38 && params[i+1] == 5 && i+2 < len(params) && params[i+2] >= 0 && params[i+2] < 16 {
				s.colour = params[i+2] + 1
			}
			i += max(skip, 1)
		}
	}
}

func (s *sgr) classes() string {
	var classes []string
	if s.colour > 0 {
		classes = append(classes, "c"+strconv.Itoa(s.colour-1))
	}
	for _, attribute := range []struct {
		on    bool
		class string
	}{{s.bold, "cb"}, {s.dim, "cd"}, {s.italic, "ci"}, {s.line, "cu"}} {
		if attribute.on {
			classes = append(classes, attribute.class)
		}
	}
	return strings.Join(classes, " ")
}

// plainText takes the characters out of s that could make a page show other
// than what is there. Templates escape the rest.
func plainText(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Cc, r) && r != '\t' && r != '\n' || turnsText(r) {
			return -1
		}
		return r
	}, s)
}

// ago says how long before now t was, or how long after now it will be, in its
// largest unit. admin.js says the same by the same rules.
func ago(t, now time.Time) string {
	d := now.Sub(t)
	form := "%s ago"
	if d < 0 {
		d, form = -d, "in %s"
	}
	switch {
	case d < 5*time.Second:
		return "now"
	case d < time.Minute:
		return fmt.Sprintf(form, strconv.Itoa(int(d/time.Second))+" s")
	case d < time.Hour:
		return fmt.Sprintf(form, strconv.Itoa(int(d/time.Minute))+" min")
	case d < 24*time.Hour:
		return fmt.Sprintf(form, strconv.Itoa(int(d/time.Hour))+" h")
	case d < 48*time.Hour:
		return fmt.Sprintf(form, "1 day")
	}
	return fmt.Sprintf(form, strconv.Itoa(int(d/(24*time.Hour)))+" days")
}

// span says how long something took.
func span(d time.Duration) string {
	switch {
	case d < 0:
		return ""
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%d min %d s", d/time.Minute, d%time.Minute/time.Second)
	}
	return fmt.Sprintf("%d h %d min", d/time.Hour, d%time.Hour/time.Minute)
}
