package store

import (
	"encoding/json"
	"fmt"

	bolt "go.etcd.io/bbolt"
)

// recordKinds read one record of each bucket whose records are JSON.
var recordKinds = map[string]func(raw []byte) error{
	"apps":      decodes[App],
	"releases":  decodes[sealedRelease],
	"builds":    decodes[Build],
	"runs":      decodes[CronRun],
	"cron":      decodes[CronPlan],
	"cronslots": decodes[CronSlots],
	"oneoffs":   decodes[OneOff],
	"resources": decodes[Resources],
	"domains":   decodes[storedDomain],
	"ports":     decodes[storedPort],
	"consents":  decodes[storedConsent],
	"volumes":   decodes[storedVolume],
	"mounts":    decodes[Mount],
	"keys":      decodes[storedKey],
	"logins":    decodes[storedLogin],
	"audit":     decodes[Event],
	"events":    decodes[Event],

	"properties": decodes[map[string]string],
}

func decodes[T any](raw []byte) error {
	var record T
	return json.Unmarshal(raw, &record)
}

// checkRecords reads every record, and refuses a file with one that cannot be
// read (E121).
func (tx *records) checkRecords() error {
	err := tx.bolt.ForEach(func(name []byte, b *bolt.Bucket) error {
		return checkBucket(string(name), b, recordKinds[string(name)])
	})
	if err == nil && tx.bucket("meta") != nil {
		_, _, err = get[Settings](tx.bucket("meta"), []byte("settings"))
	}
	if b := tx.bucket("routing"); err == nil && b != nil {
		err = b.ForEachBucket(func(app []byte) error {
			_, _, err := get[Routing](b.Bucket(app), routingKey)
			return err
		})
	}
	if err == nil {
		err = tx.checkNames()
	}
	if err != nil {
		return damaged(tx.bolt.DB().Path(), err)
	}
	return nil
}

// checkNames holds the index of names against the apps.
func (tx *records) checkNames() error {
	apps, index := tx.bucket("apps"), tx.bucket("appnames")
	if apps == nil || index == nil {
		return nil
	}
	err := eachRecord(index, func(name, id []byte) error {
		app, found, err := get[App](apps, id)
		if err == nil && (!found || app.Name != string(name) || app.ID() != string(id)) {
			err = fmt.Errorf("the name %q leads to the id %q, which is not its", name, id)
		}
		return err
	})
	if err != nil {
		return err
	}
	return eachRecord(apps, func(id, raw []byte) error {
		var app App
		if err := json.Unmarshal(raw, &app); err != nil {
			return err
		}
		if string(index.Get([]byte(app.Name))) != string(id) {
			return fmt.Errorf("the app %q has no name that leads to it", id)
		}
		return nil
	})
}

// checkBucket reads what is in a bucket and in the buckets in it.
func checkBucket(name string, b *bolt.Bucket, decode func([]byte) error) error {
	return b.ForEach(func(key, raw []byte) error {
		if raw == nil {
			if below := b.Bucket(key); below != nil {
				return checkBucket(fmt.Sprintf("%s/%s", name, key), below, decode)
			}
			return nil
		}
		if decode == nil {
			return nil
		}
		if err := decode(raw); err != nil {
			return fmt.Errorf("read record %q of %s: %w", key, name, err)
		}
		return nil
	})
}
