package progress

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Count is a number and its noun.
func Count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// OneLine is a text without its line breaks.
func OneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// RightAligned puts right at the end of the line, if there is room.
func RightAligned(left, right string, width int) string {
	gap := max(2, width-len([]rune(left))-len([]rune(right)))
	return left + strings.Repeat(" ", gap) + right
}

// Clip shortens a text to a number of letters.
func Clip(text string, width int) string {
	if letters := []rune(text); len(letters) > max(width, 4) {
		return string(letters[:max(width, 4)-3]) + "..."
	}
	return text
}

// Seconds shows a duration as the push output does: "0.3s".
func Seconds(d time.Duration) string { return fmt.Sprintf("%.1fs", d.Seconds()) }

// Reason says in an event why something ended before its time.
func Reason(err error) string {
	if errors.Is(err, context.Canceled) {
		return "interrupted: berth was stopped"
	}
	return err.Error()
}
