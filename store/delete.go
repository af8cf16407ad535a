package store

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	bolt "go.etcd.io/bbolt"
)

// hanging are the buckets in which something hangs on an app, and what takes it
// from there when the app is deleted. Every noun of an app has its line here;
// TestDeleteApp_LeavesNothing fails for one that has none. Events stay.
var hanging = []struct {
	bucket string
	remove func(b *bolt.Bucket, app App) error
}{
	{"config", removeUnder},
	{"releases", removeUnder},
	{"builds", removeUnder},
	{"runs", removeUnder},
	{"cron", removeUnder},
	{"cronslots", removeUnder},
	{"oneoffs", removeUnder},
	{"pairs", removeUnder},
	{"routing", removeUnder},
	{"properties", removeUnder},
	{"mounts", removeUnder},
	{"registries", removeUnder},
	{"resources", removeUnder},
	{"domainsof", removeUnder},
	{"domains", removeOf},
	{"ports", removeOf},
	{"consents", removeConsents},
	{"keys", removeAccess[storedKey]},
	{"logins", removeAccess[storedLogin]},
	{"appnames", removeName},
	{"apps", removeUnder},
}

// DeleteApp removes an app and all that hangs on it. Its events stay, and its
// volumes, which are nobody's then.
func (tx *Tx) DeleteApp(name string) error {
	app, err := tx.App(name)
	if err != nil {
		return err
	}
	if err := orphanVolumes(tx, app); err != nil {
		return fmt.Errorf("leave the volumes of %s to nobody: %w", name, err)
	}
	for _, h := range hanging {
		if tx.bucket(h.bucket) == nil { // of a file that an older berth has made, while the disk was full
			continue
		}
		if err := h.remove(tx.bucket(h.bucket), app); err != nil {
			return fmt.Errorf("delete %s of %s: %w", h.bucket, name, err)
		}
	}
	return nil
}

// removeUnder removes the record or the bucket that hangs under the app's id.
func removeUnder(b *bolt.Bucket, app App) error {
	if b.Bucket([]byte(app.ID())) != nil {
		return b.DeleteBucket([]byte(app.ID()))
	}
	return b.Delete([]byte(app.ID()))
}

// removeOf removes the records that say that they are the app's.
func removeOf(b *bolt.Bucket, app App) error {
	return removeIf(b, func(_, raw []byte) (bool, error) {
		var record struct {
			Of int `json:"app"`
		}
		err := json.Unmarshal(raw, &record)
		return record.Of == app.UID, err
	})
}

func removeName(b *bolt.Bucket, app App) error {
	return removeIf(b, func(_, id []byte) (bool, error) { return string(id) == app.ID(), nil })
}

func removeIf(b *bolt.Bucket, gone func(key, value []byte) (bool, error)) error {
	var keys [][]byte
	err := eachRecord(b, func(key, value []byte) error {
		yes, err := gone(key, value)
		if yes {
			keys = append(keys, bytes.Clone(key))
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, key := range keys {
		if err := b.Delete(key); err != nil {
			return err
		}
	}
	return nil
}

// removeAccess takes the app from what keys and sessions may reach. One that
// could reach nothing else keeps a place that no app can take: without any it
// could reach them all.
func removeAccess[T confined[T]](b *bolt.Bucket, app App) error {
	changed := map[string]T{}
	err := eachRecord(b, func(key, raw []byte) error {
		var record T
		if err := json.Unmarshal(raw, &record); err != nil {
			return err
		}
		ids := record.apps()
		if !slices.Contains(ids, app.ID()) {
			return nil
		}
		left := slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return id == app.ID() || id == destroyedApp })
		if len(left) == 0 {
			left = []string{destroyedApp}
		}
		changed[string(key)] = record.with(left)
		return nil
	})
	if err != nil {
		return err
	}
	for key, record := range changed {
		if err := put(b, []byte(key), record); err != nil {
			return err
		}
	}
	return nil
}

// confined is a record of who may reach some apps alone: it names them by their ids.
type confined[T any] interface {
	apps() []string
	with(apps []string) T
}

// destroyedApp stands for the apps of a key that are gone, when it has no other.
// It is no name that an app can have.
const destroyedApp = "(a destroyed app)"

// namesFor turns the ids that a record names into the names that the apps have now.
func (tx *records) namesFor(ids []string) (names []string, err error) {
	for _, id := range ids {
		uid, err := strconv.Atoi(id)
		if err != nil {
			names = append(names, destroyedApp)
			continue
		}
		name, err := tx.nameOf(uid)
		if err != nil {
			return nil, err
		}
		if name != "" {
			names = append(names, name)
		}
	}
	if len(names) == 0 && len(ids) > 0 {
		names = []string{destroyedApp}
	}
	return names, nil
}

// idsFor is the way back. A name that no app has any more is left out, or is
// destroyedApp when there is no other.
func (tx *records) idsFor(names []string) (ids []string) {
	for _, name := range names {
		if id := tx.id(name); id != "" && id != machine {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 && len(names) > 0 {
		ids = []string{destroyedApp}
	}
	return ids
}
