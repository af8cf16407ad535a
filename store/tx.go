package store

import (
	"encoding/binary"
	"encoding/json"
	"fmt"

	bolt "go.etcd.io/bbolt"
)

// Tx is a view of the state, or a change of it that is not yet made. A noun that
// has a field here is read and stored by it, as in tx.Keys.Put(key).
type Tx struct {
	Builds     Builds
	Consents   Consents
	CronPlans  CronPlans
	CronRuns   CronRuns
	CronSlots  CronSlotBook
	Global     GlobalConfig
	HostKeys   HostKeys
	Keys       Keys
	Logins     Logins
	OneOffs    OneOffs
	Pages      Pages
	Pairs      Pairs
	Ports      Ports
	Properties Properties
	Registries Registries
	Resources  AppResources
	Volumes    Volumes

	*records
	ids *reservations
}

func (s *Store) tx(bolt *bolt.Tx) *Tx {
	r := &records{bolt, s.seal}
	return &Tx{
		Builds:     Builds{r},
		Consents:   Consents{r},
		CronPlans:  CronPlans{r},
		CronRuns:   CronRuns{r},
		CronSlots:  CronSlotBook{r},
		Global:     GlobalConfig{r},
		HostKeys:   HostKeys{r},
		Keys:       Keys{r},
		Logins:     Logins{r},
		OneOffs:    OneOffs{r},
		Pages:      Pages{r},
		Pairs:      Pairs{r},
		Ports:      Ports{r},
		Properties: Properties{r},
		Registries: Registries{r},
		Resources:  AppResources{r},
		Volumes:    Volumes{r},

		records: r,
		ids:     &s.ids,
	}
}

// records are the buckets of the file in a transaction, and how an app is found
// in them: what each noun stands on.
type records struct {
	bolt *bolt.Tx
	seal sealer
}

func (tx *records) bucket(name string) *bolt.Bucket { return tx.bolt.Bucket([]byte(name)) }

// of returns the bucket of an app's records, nil when it has none. The app is
// named, and its records hang under its id.
func (tx *records) of(name, app string) *bolt.Bucket {
	id, b := tx.id(app), tx.bucket(name)
	if id == "" || b == nil { // a file that cannot be written lacks the newest buckets
		return nil
	}
	return b.Bucket([]byte(id))
}

// makeOf is of, and makes the bucket. An app that is missing is a fault (E101):
// records of it would hang under nothing.
func (tx *records) makeOf(name, app string) (*bolt.Bucket, error) {
	id, err := tx.mustID(app)
	if err != nil {
		return nil, err
	}
	return tx.bucket(name).CreateBucketIfNotExists([]byte(id))
}

// number makes a key that sorts as the number does.
func number(n int) []byte { return binary.BigEndian.AppendUint32(nil, uint32(n)) }

// get reads one record; found is false when there is none.
func get[T any](b *bolt.Bucket, key []byte) (record T, found bool, err error) {
	if b == nil {
		return record, false, nil
	}
	raw := b.Get(key)
	if raw == nil {
		return record, false, nil
	}
	if err := json.Unmarshal(raw, &record); err != nil {
		return record, true, fmt.Errorf("read record %q: %w", key, err)
	}
	return record, true, nil
}

func put[T any](b *bolt.Bucket, key []byte, record T) error {
	raw, err := json.Marshal(record)
	if err != nil {
		return fmt.Errorf("write record %q: %w", key, err)
	}
	return b.Put(key, raw)
}

// all reads a bucket's records in the order of their keys.
func all[T any](b *bolt.Bucket) ([]T, error) {
	var records []T
	if b == nil {
		return nil, nil
	}
	err := b.ForEach(func(key, raw []byte) error {
		if raw == nil {
			return nil // a nested bucket
		}
		var record T
		if err := json.Unmarshal(raw, &record); err != nil {
			return fmt.Errorf("read record %q: %w", key, err)
		}
		records = append(records, record)
		return nil
	})
	return records, err
}

// newest reads up to limit records of a bucket, the last key first; 0 is no limit.
func newest[T any](b *bolt.Bucket, limit int, keep func(T) bool) ([]T, error) {
	var records []T
	if b == nil {
		return nil, nil
	}
	c := b.Cursor()
	for key, raw := c.Last(); key != nil && (limit == 0 || len(records) < limit); key, raw = c.Prev() {
		var record T
		if err := json.Unmarshal(raw, &record); err != nil {
			return nil, fmt.Errorf("read record %q: %w", key, err)
		}
		if keep == nil || keep(record) {
			records = append(records, record)
		}
	}
	return records, nil
}

// trim removes all but a bucket's newest records.
func trim(b *bolt.Bucket, keep int) error {
	var old [][]byte
	n := 0
	c := b.Cursor()
	for key, _ := c.Last(); key != nil; key, _ = c.Prev() {
		if n++; n > keep {
			old = append(old, key)
		}
	}
	for _, key := range old {
		if err := b.Delete(key); err != nil {
			return err
		}
	}
	return nil
}
