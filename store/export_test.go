package store

import "bytes"

// Sealed returns a sealed record as it lies in the file.
func (tx *Tx) Sealed(bucket, key string) []byte {
	return bytes.Clone(tx.bucket(bucket).Get([]byte(key)))
}
