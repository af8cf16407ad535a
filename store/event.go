package store

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"
)

// keptEvents is how many events are remembered.
const keptEvents = 10_000

// Event is something that happened, for the timeline of an app and for audit.
type Event struct {
	ID   uint64    `json:"id"`
	Time time.Time `json:"time"`
	App  string    `json:"app,omitempty"`
	By   string    `json:"by"`
	Kind string    `json:"kind"` // "deploy", "scale", "crash", "key", …
	Text string    `json:"text"`
}

// AddEvent remembers an event. Its ID is given here.
func (tx *Tx) AddEvent(e Event) error {
	b := tx.bucket("events")
	id, err := b.NextSequence()
	if err != nil {
		return err
	}
	e.ID = id
	if err := put(b, binary.BigEndian.AppendUint64(nil, id), e); err != nil {
		return err
	}
	if id <= keptEvents {
		return nil
	}
	return b.Delete(binary.BigEndian.AppendUint64(nil, id-keptEvents))
}

// Events returns up to limit events of an app ("" is all), the newest first; 0
// is no limit.
func (tx *Tx) Events(app string, limit int) ([]Event, error) {
	if app == "" {
		return newest[Event](tx.bucket("events"), limit, nil)
	}
	// Most of what lies between two events of a quiet app is of others, and is
	// passed over unread.
	var events []Event
	mark := fmt.Appendf(nil, `"app":%q`, app)
	c := tx.bucket("events").Cursor()
	for key, raw := c.Last(); key != nil && (limit == 0 || len(events) < limit); key, raw = c.Prev() {
		if !bytes.Contains(raw, mark) {
			continue
		}
		var e Event
		if err := json.Unmarshal(raw, &e); err != nil {
			return nil, fmt.Errorf("read an event: %w", err)
		}
		if e.App == app {
			events = append(events, e)
		}
	}
	return events, nil
}
