package progress

import (
	"fmt"
	"time"
)

// A report is the progress of a change, for the fleet.

// Up prints that instances are up: "web.1 ok 0.3s   web.2 ok 0.3s   (GET /)".
func (r *Report) Up(names []string, took []time.Duration, asked bool) {
	var parts []string
	for n, name := range names {
		parts = append(parts, fmt.Sprintf("%s ok %s", name, Seconds(took[n])))
	}
	if asked {
		parts = append(parts, "(GET /)")
	}
	for n, line := range pack(parts, "   ", Columns-len("-----> Start    ")) {
		if n == 0 {
			r.Step("Start", "%s", line)
		} else {
			r.Detail("%s", line)
		}
	}
	r.mu.Lock()
	notes := r.notes
	r.notes = nil
	r.mu.Unlock()
	for _, note := range notes {
		r.Detail("%s", note)
	}
}

// Note keeps a line for after the step that is under way.
func (r *Report) Note(line string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.notes = append(r.notes, line)
}

// Held says how long requests were held.
func (r *Report) Held(d time.Duration) {
	r.Step("Hold", "held requests for %d ms", d.Milliseconds())
}

// Back says that the release of before runs again.
func (r *Report) Back(release int) { r.Step("Back", "v%d was started again", release) }
