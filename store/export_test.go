package store

import (
	"bytes"
	"fmt"

	bolt "go.etcd.io/bbolt"
)

// Sealed returns a sealed record as it lies in the file.
func (tx *Tx) Sealed(bucket, key string) []byte {
	return bytes.Clone(tx.bucket(bucket).Get([]byte(key)))
}

// OnStep has fn called between the steps of migrations.
func OnStep(fn func(string)) { step = fn }

// Dump lists every record of the file, with the path of buckets that leads to it.
func (tx *Tx) Dump() map[string]string {
	all := map[string]string{}
	var walk func(path string, b *bolt.Bucket)
	walk = func(path string, b *bolt.Bucket) {
		b.ForEach(func(key, value []byte) error {
			at := fmt.Sprintf("%s/%q", path, key)
			if value == nil {
				walk(at, b.Bucket(key))
				return nil
			}
			all[at] = string(value)
			return nil
		})
	}
	tx.bolt.ForEach(func(name []byte, b *bolt.Bucket) error {
		walk(string(name), b)
		return nil
	})
	return all
}

// Buckets are the names of the file's buckets.
func Buckets() []string { return buckets }

// Hanging are the buckets from which the deletion of an app takes something.
func Hanging() (names []string) {
	for _, h := range hanging {
		names = append(names, h.bucket)
	}
	return names
}

// PutFormat writes another format's number.
func (tx *Tx) PutFormat(n int) error { return tx.putFormat(n) }

// FormatVersion is the present format.
func FormatVersion() int { return formatVersion }

// PutRaw writes a record as no method would.
func (tx *Tx) PutRaw(bucket, key, value string) error {
	return tx.bucket(bucket).Put([]byte(key), []byte(value))
}
