package property

import (
	"strings"
	"unicode/utf8"
)

// columns is how wide the help may be.
const columns = 80

// Help is the text of the verb that sets the properties.
func (l List) Help() string {
	var b strings.Builder
	var own, machine []Property
	var alone []string // what --global does not take, where it takes others
	for _, p := range l.Properties {
		if p.Scope == Global {
			machine = append(machine, p)
			continue
		}
		own = append(own, p)
		if p.Scope == App {
			alone = append(alone, p.Name)
		}
	}
	table(&b, own)
	if len(machine) > 0 && len(own) > 0 {
		b.WriteString("\nWith --global, for all apps:\n")
	}
	table(&b, machine)
	b.WriteString("\n")
	var text []string
	switch {
	case len(alone) == len(own):
	case len(alone) == 0:
		text = append(text, "With --global in place of APP a value counts for all apps that have none of their own.")
	default:
		text = append(text, "With --global in place of APP a value counts for all apps that have none of their own; "+list(alone)+" can be set for an app alone.")
	}
	text = append(text, "Without VALUE a property is unset.")
	if l.Note != "" {
		text = append(text, l.Note)
	}
	wrap(&b, "", "", strings.Join(text, " "))
	return strings.TrimSuffix(b.String(), "\n")
}

// list joins words as a sentence does.
func list(words []string) string {
	if len(words) == 1 {
		return words[0]
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " and " + words[last]
}

func table(b *strings.Builder, properties []Property) {
	const widest = 18 // longer names stand out: most texts begin in one column
	width := 0
	for _, p := range properties {
		if n := len(p.Name + p.Rest); n <= widest {
			width = max(width, n)
		}
	}
	for _, p := range properties {
		text := p.Meaning
		if p.Usual != "" {
			text += " (usual: " + p.Usual + ")"
		}
		name := p.Name + p.Rest
		wrap(b, name+strings.Repeat(" ", max(0, width-len(name)))+"  ", strings.Repeat(" ", width+2), text)
	}
}

// wrap writes a text in lines: first stands before the first of them, indent
// before the others.
func wrap(b *strings.Builder, first, indent, text string) {
	line, empty := first, true
	for word := range strings.FieldsSeq(text) {
		if !empty && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > columns {
			b.WriteString(line + "\n")
			line, empty = indent, true
		}
		if !empty {
			line += " "
		}
		line, empty = line+word, false
	}
	b.WriteString(strings.TrimRight(line, " ") + "\n")
}

// Complete returns what the next word of X:set may be, after those given behind
// the app.
func (l List) Complete(words []string) (next []string) {
	if len(words) == 0 {
		for _, p := range l.Properties {
			next = append(next, p.Name)
		}
		return next
	}
	if p, err := l.Find(words[0]); err == nil && (len(words) == 1 || p.Words) {
		return p.Values
	}
	return nil
}
