package store

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	bolt "go.etcd.io/bbolt"
)

// hangOnIDs is the migration to format 2: what was kept under the name of an app
// hangs under its id, and what is sealed is sealed to the id. What is left of
// apps that are gone is dropped, for it would be the next app's of that name.
// A secret that cannot be opened is taken along as it is: reading it says so.
func hangOnIDs(tx *Tx) error {
	h := hanger{tx: tx, ids: map[string]string{}}
	for _, move := range []func() error{
		h.apps, h.config, h.releases, h.pairs, h.registries, h.keys, h.logins, h.events,
		func() error { return h.lists("builds") },
		func() error { return h.lists("runs") },
		h.routing,
		h.domains,
		func() error { return h.naming("ports", nil) },
	} {
		if err := move(); err != nil {
			return damaged(tx.bolt.DB().Path(), err)
		}
	}
	return nil
}

type hanger struct {
	tx  *Tx
	ids map[string]string // of the apps, by name
}

// fields are a record of which only some are known.
type fields map[string]json.RawMessage

func readFields(bucket string, key, raw []byte) (f fields, err error) {
	if err := json.Unmarshal(raw, &f); err != nil {
		return nil, fmt.Errorf("read record %q of %s: %w", key, bucket, err)
	}
	return f, nil
}

func (f fields) text(name string) (s string) {
	_ = json.Unmarshal(f[name], &s) // what is missing is empty
	return s
}

func (f fields) bytes() ([]byte, error) { return json.Marshal(f) }

// pair of key and value of a bucket; below is set for a bucket in it.
type entry struct {
	key, value []byte
	below      []entry
	sequence   uint64
}

// take empties a bucket and returns what was in it.
func (h hanger) take(name string) ([]entry, error) {
	b := h.tx.bucket(name)
	all, err := contents(b)
	if err != nil {
		return nil, err
	}
	sequence := b.Sequence()
	if err := h.tx.bolt.DeleteBucket([]byte(name)); err != nil {
		return nil, err
	}
	b, err = h.tx.bolt.CreateBucket([]byte(name))
	if err != nil {
		return nil, err
	}
	return all, b.SetSequence(sequence)
}

func contents(b *bolt.Bucket) (all []entry, err error) {
	err = b.ForEach(func(key, value []byte) error {
		e := entry{key: bytes.Clone(key), value: bytes.Clone(value)}
		if value == nil {
			below := b.Bucket(key)
			e.sequence = below.Sequence()
			e.below, err = contents(below)
		}
		all = append(all, e)
		return err
	})
	return all, err
}

// under makes the bucket of an app in another.
func (h hanger) under(name, id string, sequence uint64) (*bolt.Bucket, error) {
	b, err := h.tx.bucket(name).CreateBucketIfNotExists([]byte(id))
	if err != nil {
		return nil, err
	}
	return b, b.SetSequence(sequence)
}

func (h hanger) apps() error {
	all, err := h.take("apps")
	if err != nil {
		return err
	}
	taken := map[string]bool{}
	for _, e := range all {
		f, err := readFields("apps", e.key, e.value)
		if err != nil {
			return err
		}
		id := string(f["uid"])
		if n, err := strconv.Atoi(id); err != nil || n < 1 || taken[id] {
			return fmt.Errorf("the app %s has no user id of its own, but %.20q", e.key, id)
		}
		taken[id] = true
		h.ids[string(e.key)] = id
		if err := h.tx.bucket("apps").Put([]byte(id), e.value); err != nil {
			return err
		}
		if err := h.tx.bucket("appnames").Put(e.key, []byte(id)); err != nil {
			return err
		}
	}
	return nil
}

// reseal seals a secret to a new place; one that cannot be opened stays as it is.
func (h hanger) reseal(from, to string, sealed []byte) []byte {
	plain, err := h.tx.seal.open(from, sealed)
	if err != nil {
		return sealed
	}
	return h.tx.seal.seal(to, plain)
}

func (h hanger) config() error {
	all, err := h.take("config")
	if err != nil {
		return err
	}
	for _, e := range all {
		id, ok := h.ids[string(e.key)]
		if !ok {
			continue
		}
		sealed := h.reseal("config "+string(e.key), "config "+id, e.value)
		if err := h.tx.bucket("config").Put([]byte(id), sealed); err != nil {
			return err
		}
	}
	return nil
}

// each calls change with every record that a bucket has of an app, and stores
// what it returns under the app's id. Numbers go on behind the highest: in
// format 1, runs began anew when their app was renamed.
func (h hanger) each(bucket string, change func(app, id string, key, value []byte) ([]byte, error)) error {
	all, err := h.take(bucket)
	if err != nil {
		return err
	}
	for _, e := range all {
		app := string(e.key)
		id, ok := h.ids[app]
		if app == machine {
			id, ok = machine, true
		}
		if !ok || e.value != nil {
			continue
		}
		b, err := h.under(bucket, id, e.sequence)
		if err != nil {
			return err
		}
		for _, record := range e.below {
			value, err := change(app, id, record.key, record.value)
			if err != nil {
				return err
			}
			if err := b.Put(record.key, value); err != nil {
				return err
			}
			if number, ok := numberOf(record.key); ok && bucket == "runs" && number > b.Sequence() {
				if err := b.SetSequence(number); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func numberOf(key []byte) (n uint64, ok bool) {
	if len(key) != 4 {
		return 0, false
	}
	return uint64(binary.BigEndian.Uint32(key)), true
}

// lists moves records that say the name of their app, which they need no more.
func (h hanger) lists(bucket string) error {
	return h.each(bucket, func(_, _ string, key, raw []byte) ([]byte, error) {
		f, err := readFields(bucket, key, raw)
		if err != nil {
			return nil, err
		}
		f["app"] = json.RawMessage(`""`)
		return f.bytes()
	})
}

func (h hanger) routing() error {
	return h.each("routing", func(_, _ string, _, value []byte) ([]byte, error) { return value, nil })
}

func (h hanger) releases() error {
	return h.each("releases", func(app, id string, key, raw []byte) ([]byte, error) {
		f, err := readFields("releases", key, raw)
		if err != nil {
			return nil, err
		}
		var sealed []byte
		if err := json.Unmarshal(f["sealed"], &sealed); err != nil {
			return nil, fmt.Errorf("read the config of record %q of releases: %w", key, err)
		}
		number := string(f["number"])
		sealed = h.reseal("release "+app+"/"+number, "release "+id+"/"+number, sealed)
		f["app"] = json.RawMessage(`""`)
		if f["sealed"], err = json.Marshal(sealed); err != nil {
			return nil, err
		}
		return f.bytes()
	})
}

func (h hanger) pairs() error {
	return h.each("pairs", func(app, id string, key, sealed []byte) ([]byte, error) {
		return h.reseal("pair "+app+" "+string(key), "pair "+id+" "+string(key), sealed), nil
	})
}

// registries takes the logins of registries out of the one record that all were in.
func (h hanger) registries() error {
	const place = "registries"
	meta := h.tx.bucket("meta")
	sealed := meta.Get([]byte(place))
	if sealed == nil {
		return nil
	}
	plain, err := h.tx.seal.open(place, sealed)
	if err != nil {
		return err // they would be lost
	}
	var logins map[string]json.RawMessage
	if err := json.Unmarshal(plain, &logins); err != nil {
		return fmt.Errorf("read the logins of registries: %w", err)
	}
	for at, login := range logins {
		app, host, isApps := strings.Cut(at, "/")
		id := h.ids[app]
		if !isApps {
			id, host = machine, at
		}
		if id == "" {
			continue
		}
		b, err := h.under(place, id, 0)
		if err != nil {
			return err
		}
		if err := b.Put([]byte(host), h.tx.seal.seal("registry "+id+" "+host, login)); err != nil {
			return err
		}
	}
	return meta.Delete([]byte(place))
}

// naming has the records of a bucket say the id of their app.
func (h hanger) naming(bucket string, then func(id string, key []byte) error) error {
	all, err := h.take(bucket)
	if err != nil {
		return err
	}
	for _, e := range all {
		f, err := readFields(bucket, e.key, e.value)
		if err != nil {
			return err
		}
		id, ok := h.ids[f.text("app")]
		if !ok {
			continue
		}
		f["app"] = json.RawMessage(id)
		raw, err := f.bytes()
		if err != nil {
			return err
		}
		if err := h.tx.bucket(bucket).Put(e.key, raw); err != nil {
			return err
		}
		if then != nil {
			if err := then(id, e.key); err != nil {
				return err
			}
		}
	}
	return nil
}

func (h hanger) domains() error {
	if _, err := h.take("domainsof"); err != nil { // made anew
		return err
	}
	return h.naming("domains", func(id string, address []byte) error {
		b, err := h.under("domainsof", id, 0)
		if err != nil {
			return err
		}
		return b.Put(address, []byte{})
	})
}

// access turns the names of the apps that somebody may reach into ids. A limit
// that names no app any more stays one.
func (h hanger) access(f fields) error {
	var names, ids []string
	if len(f["apps"]) > 0 {
		if err := json.Unmarshal(f["apps"], &names); err != nil {
			return err
		}
	}
	if len(names) == 0 {
		return nil
	}
	for _, name := range names {
		if id := h.ids[name]; id != "" {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		ids = []string{"(a destroyed app)"}
	}
	raw, err := json.Marshal(ids)
	f["apps"] = raw
	return err
}

func (h hanger) keys() error {
	return h.rewrite("keys", h.access)
}

func (h hanger) logins() error {
	return h.rewrite("logins", func(f fields) error {
		user, err := readFields("logins", nil, f["user"])
		if err == nil {
			err = h.access(user)
		}
		if err == nil {
			f["user"], err = user.bytes()
		}
		return err
	})
}

func (h hanger) rewrite(bucket string, change func(f fields) error) error {
	all, err := h.take(bucket)
	if err != nil {
		return err
	}
	for _, e := range all {
		f, err := readFields(bucket, e.key, e.value)
		if err != nil {
			return err
		}
		if err := change(f); err != nil {
			return fmt.Errorf("change record %q of %s: %w", e.key, bucket, err)
		}
		raw, err := f.bytes()
		if err != nil {
			return err
		}
		if err := h.tx.bucket(bucket).Put(e.key, raw); err != nil {
			return err
		}
	}
	return nil
}

// events gives each event the id of its app, as far as it can be told: the names
// that apps had are followed back from the newest event to the oldest. What
// somebody did goes into a ring of its own.
func (h hanger) events() error {
	all, err := h.take("events")
	if err != nil {
		return err
	}
	called := map[string]string{} // the id of the app that had a name then
	for name, id := range h.ids {
		called[name] = id
	}
	for _, e := range slices.Backward(all) {
		f, err := readFields("events", e.key, e.value)
		if err != nil {
			return err
		}
		app, text := f.text("app"), f.text("text")
		id := called[app]
		if id != "" {
			f["app_id"] = json.RawMessage(id)
		}
		switch f.text("kind") {
		case "create":
			delete(called, app) // before it, the name was another's
		case "destroy":
			delete(called, app)
			delete(f, "app_id")
			id = ""
		case "rename":
			if from, ok := strings.CutPrefix(text, "renamed from "); ok && id != "" {
				delete(called, app)
				called[from] = id
			}
		}
		if id == "" {
			id = machine
		}
		records, index := "audit", "auditof"
		if f.text("by") == "berth" {
			records, index = "events", "eventsof"
		}
		raw, err := f.bytes()
		if err != nil {
			return err
		}
		if err := h.tx.bucket(records).Put(e.key, raw); err != nil {
			return err
		}
		b, err := h.tx.bucket(index).CreateBucketIfNotExists([]byte(id))
		if err != nil {
			return err
		}
		if err := b.Put(e.key, []byte{}); err != nil {
			return err
		}
		for _, counter := range []*bolt.Bucket{b, h.tx.bucket(index)} {
			if err := counter.SetSequence(counter.Sequence() + 1); err != nil {
				return err
			}
		}
	}
	return nil
}
