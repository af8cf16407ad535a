package store

import bolt "go.etcd.io/bbolt"

// Machine stands in the place of an app's name for what is the machine's own. No
// app may have the name.
const Machine = machine

// Properties returns the values that somebody has set of a noun's properties, by
// the property's name: of an app, or with "" the Machine's, which count for apps
// that have none of their own. Package property has their rules.
func Properties(tx *Tx, app, noun string) (values map[string]string, err error) {
	if of := propertiesOf(tx, app); of != nil {
		values, _, err = get[map[string]string](of, []byte(noun))
	}
	if values == nil {
		values = map[string]string{}
	}
	return values, err
}

// propertiesOf returns the bucket of an app's properties, nil when it has none.
// A file that an older berth has made lacks all of them while the disk is full.
func propertiesOf(tx *Tx, app string) *bolt.Bucket {
	if tx.bucket("properties") == nil {
		return nil
	}
	return tx.of("properties", orMachine(app))
}

// PutProperties stores them, in the place of those that were there.
func PutProperties(tx *Tx, app, noun string, values map[string]string) error {
	b, err := makePropertiesOf(tx, app)
	if err != nil {
		return err
	}
	if len(values) == 0 {
		return b.Delete([]byte(noun))
	}
	return put(b, []byte(noun), values)
}

// CopyProperties gives an app the values that another one has, of all nouns.
func CopyProperties(tx *Tx, from, to string) error {
	source := propertiesOf(tx, from)
	if source == nil {
		return nil
	}
	b, err := makePropertiesOf(tx, to)
	if err != nil {
		return err
	}
	return eachRecord(source, b.Put)
}

func makePropertiesOf(tx *Tx, app string) (*bolt.Bucket, error) {
	if _, err := tx.bolt.CreateBucketIfNotExists([]byte("properties")); err != nil {
		return nil, err
	}
	return tx.makeOf("properties", orMachine(app))
}

func orMachine(app string) string {
	if app == "" {
		return Machine
	}
	return app
}
