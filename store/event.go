package store

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	bolt "go.etcd.io/bbolt"
)

// Event is something that happened, for the timeline of an app and for audit.
type Event struct {
	ID   uint64    `json:"id"`
	Time time.Time `json:"time"`

	// App is what the app is called now; of one that is gone, what it was called
	// then. AppID is its id; 0 is an event of no app, or of one that was gone
	// already.
	App   string `json:"app,omitempty"`
	AppID int    `json:"app_id,omitempty"`

	By   string `json:"by"`
	Kind string `json:"kind"` // "deploy", "scale", "crash", "key", …
	Text string `json:"text"`
}

// nobody is who events are by that come about by themselves. No key may have
// the name.
const nobody = "berth"

// ring is a bounded history of events, with an index of which are an app's. When
// it is full the oldest goes: of the app, when the app has its share, else of all.
type ring struct {
	records, of   string // buckets
	keep, keepApp int
}

// What somebody did is kept apart from what happened by itself, so that no crash
// loop pushes it out; and the share of an app is bounded, so that none pushes
// out the others'. 100,000 entries of audit are some 30 MB, and a year of a busy
// machine.
var (
	audit      = ring{"audit", "auditof", 100_000, 20_000}
	happenings = ring{"events", "eventsof", 10_000, 1_000}
)

// AddEvent remembers an event, in the transaction of what it tells. Its ID is
// given here, and its time when it has none.
func (tx *Tx) AddEvent(e Event) error {
	id, err := tx.bucket(happenings.records).NextSequence() // one for both rings: it is their order
	if err != nil {
		return err
	}
	e.ID = id
	if e.Time.IsZero() {
		e.Time = time.Now().UTC()
	}
	if id := tx.id(e.App); id != "" {
		e.AppID, _ = strconv.Atoi(id)
	}
	if e.By == nobody {
		return happenings.add(tx, e)
	}
	return audit.add(tx, e)
}

func eventKey(id uint64) []byte { return binary.BigEndian.AppendUint64(nil, id) }

// owner is the bucket of the index that an event is in.
func (e Event) owner() []byte {
	if e.AppID == 0 {
		return []byte(machine)
	}
	return []byte(strconv.Itoa(e.AppID))
}

func (r ring) add(tx *Tx, e Event) error {
	if err := put(tx.bucket(r.records), eventKey(e.ID), e); err != nil {
		return err
	}
	index := tx.bucket(r.of)
	mine, err := index.CreateBucketIfNotExists(e.owner())
	if err != nil {
		return err
	}
	if err := mine.Put(eventKey(e.ID), []byte{}); err != nil {
		return err
	}
	// The sequences of the index are used as counters.
	if err := count(mine, +1); err != nil {
		return err
	}
	if err := count(index, +1); err != nil {
		return err
	}
	// Two for one, so that a ring that has more than its share comes down.
	for range 2 {
		if int(mine.Sequence()) > r.keepApp {
			if err := r.drop(tx, mine); err != nil {
				return err
			}
		}
		if int(index.Sequence()) > r.keep {
			if err := r.drop(tx, tx.bucket(r.records)); err != nil {
				return err
			}
		}
	}
	return nil
}

func count(b *bolt.Bucket, by int) error { return b.SetSequence(uint64(int(b.Sequence()) + by)) }

// drop removes the oldest of the events whose keys a bucket has.
func (r ring) drop(tx *Tx, of *bolt.Bucket) error {
	first, _ := of.Cursor().First()
	key := bytes.Clone(first)
	e, found, err := get[Event](tx.bucket(r.records), key)
	if err != nil || !found {
		return err
	}
	if err := tx.bucket(r.records).Delete(key); err != nil {
		return err
	}
	index := tx.bucket(r.of)
	if err := count(index, -1); err != nil {
		return err
	}
	mine := index.Bucket(e.owner())
	if mine == nil {
		return nil
	}
	if err := mine.Delete(key); err != nil {
		return err
	}
	return count(mine, -1)
}

// Events returns up to limit events of an app ("" is all), the newest first; 0
// is no limit. For the name of a destroyed app it returns the events of the
// apps that had that name.
func (tx *Tx) Events(app string, limit int) ([]Event, error) {
	id := tx.id(app)
	keys := func(r ring) *bolt.Bucket {
		if id == "" {
			return tx.bucket(r.records)
		}
		return tx.bucket(r.of).Bucket([]byte(id))
	}
	names := tx.names()
	mark := fmt.Appendf(nil, `"app":%q`, app)
	var events []Event
	for r, key := range newestOf(keys(audit), keys(happenings)) {
		raw := tx.bucket([]string{audit.records, happenings.records}[r]).Get(key)
		if id == "" && app != "" && !bytes.Contains(raw, mark) {
			continue // ignored unread
		}
		var e Event
		if err := json.Unmarshal(raw, &e); err != nil {
			return nil, fmt.Errorf("read an event: %w", err)
		}
		now, there := names[e.AppID]
		if there {
			e.App = now
		}
		if app != "" && e.App != app {
			continue
		}
		if events = append(events, e); len(events) == limit {
			break
		}
	}
	return events, nil
}

// newestOf goes through the keys of two buckets, of which any may be nil, the
// highest first, and tells in which of the two each is.
func newestOf(first, second *bolt.Bucket) func(yield func(int, []byte) bool) {
	return func(yield func(int, []byte) bool) {
		var cursors [2]*bolt.Cursor
		var keys [2][]byte
		for i, b := range []*bolt.Bucket{first, second} {
			if b != nil {
				cursors[i] = b.Cursor()
				keys[i], _ = cursors[i].Last()
			}
		}
		for {
			i := 0
			if keys[0] == nil || bytes.Compare(keys[1], keys[0]) > 0 {
				i = 1
			}
			if keys[i] == nil || !yield(i, keys[i]) {
				return
			}
			keys[i], _ = cursors[i].Prev()
		}
	}
}
