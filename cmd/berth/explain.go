package main

import (
	"context"
	"strings"
	"unicode/utf8"

	"github.com/berthd/berth/store/fault/code"
)

// explainCommand says what the codes of faults mean. It asks no daemon: a code
// may be the one of a daemon that does not run.
func (c *cli) explainCommand() command {
	return command{
		after: "doctor", use: "explain [CODE]", short: "explain an error code",
		long:    "Without CODE it lists all codes. It works while berth does not run.",
		example: "explain " + code.InstanceUnhealthy, noApp: true, max: 1, reads: true,
		run: func(_ context.Context, _ string, words []string) error {
			if len(words) == 0 {
				return show(c, code.All(), func(t *table, all []code.Entry) {
					for _, e := range all {
						t.row(e.Code, e.Sentence)
					}
				})
			}
			entry, found := code.Find(words[0])
			if !found {
				return usage("berth has no code %.40q", words[0]).Hint("a code stands in brackets behind an error, as " + code.InstanceUnhealthy + "; berth explain lists them all")
			}
			return show(c, entry, func(t *table, e code.Entry) {
				t.line("%s: %s", e.Code, e.Sentence)
				t.line("")
				for _, line := range paragraph(e.Help, 78) {
					t.line("%s", line)
				}
				if script := code.Script(e.Code); script != "" {
					t.line("\n%s prints this code too.", script)
				}
			})
		},
	}
}

// paragraph breaks a text between words, and never within a command in
// backquotes, which would be copied with the break.
func paragraph(text string, width int) (lines []string) {
	parts := strings.Split(text, "`")
	for i := 1; i < len(parts); i += 2 {
		parts[i] = strings.ReplaceAll(parts[i], " ", "\u00a0")
	}
	line := ""
	for word := range strings.SplitSeq(strings.Join(parts, "`"), " ") {
		if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width {
			lines, line = append(lines, line), ""
		}
		if line != "" {
			line += " "
		}
		line += strings.ReplaceAll(word, "\u00a0", " ")
	}
	return append(lines, line)
}
