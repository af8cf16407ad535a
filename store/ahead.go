package store

var madeAheadKey = []byte("made-ahead")

// MadeAhead returns the program that has made ahead what pushes stand on; "" is
// none.
func (tx *Tx) MadeAhead() string { return string(tx.bucket("meta").Get(madeAheadKey)) }

// PutMadeAhead stores which program has.
func (tx *Tx) PutMadeAhead(program string) error {
	return tx.bucket("meta").Put(madeAheadKey, []byte(program))
}
