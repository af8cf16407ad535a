package store

import bolt "go.etcd.io/bbolt"

// Machine stands in the place of an app's name for what is the machine's own. No
// app may have the name.
const Machine = machine

// Properties are the values that somebody has set of a noun's properties. Package
// property has their rules.
type Properties struct{ *records }

// Of returns them by the property's name: of an app, or with "" the machine's,
// which count for apps that have none of their own.
func (p Properties) Of(app, noun string) (values map[string]string, err error) {
	if of := p.bucketOf(app); of != nil {
		values, _, err = get[map[string]string](of, []byte(noun))
	}
	if values == nil {
		values = map[string]string{}
	}
	return values, err
}

// bucketOf returns the bucket of an app's properties, nil when it has none.
// A file that an older berth has made lacks all of them while the disk is full.
func (p Properties) bucketOf(app string) *bolt.Bucket {
	if p.bucket("properties") == nil {
		return nil
	}
	return p.of("properties", orMachine(app))
}

// Put stores them, in the place of those that were there.
func (p Properties) Put(app, noun string, values map[string]string) error {
	b, err := p.makeBucketOf(app)
	if err != nil {
		return err
	}
	if len(values) == 0 {
		return b.Delete([]byte(noun))
	}
	return put(b, []byte(noun), values)
}

// Copy gives an app the values that another one has, of all nouns.
func (p Properties) Copy(from, to string) error {
	source := p.bucketOf(from)
	if source == nil {
		return nil
	}
	b, err := p.makeBucketOf(to)
	if err != nil {
		return err
	}
	return eachRecord(source, b.Put)
}

func (p Properties) makeBucketOf(app string) (*bolt.Bucket, error) {
	if _, err := p.bolt.CreateBucketIfNotExists([]byte("properties")); err != nil {
		return nil, err
	}
	return p.makeOf("properties", orMachine(app))
}

func orMachine(app string) string {
	if app == "" {
		return Machine
	}
	return app
}
