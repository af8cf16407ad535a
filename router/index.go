package router

import (
	"hash/maphash"
	"iter"
	"maps"
)

// index is a map from names that is copied by changing it: a change copies the
// bucket that it is in, and a reader of the copy before sees nothing of it. So
// one host more costs the same among ten and among thousands.
type index[V any] struct {
	seed    maphash.Seed
	buckets [256]map[string]V // nil for an empty one
	own     [256]bool         // buckets that no other copy has
}

func newIndex[V any]() *index[V] { return &index[V]{seed: maphash.MakeSeed()} }

// clone returns a copy that may be changed. The index itself may not any more.
func (x *index[V]) clone() *index[V] {
	return &index[V]{seed: x.seed, buckets: x.buckets}
}

func (x *index[V]) bucket(name string) uint8 { return uint8(maphash.String(x.seed, name)) }

// get returns what a name stands for, the zero V when for nothing.
func (x *index[V]) get(name string) V { return x.buckets[x.bucket(name)][name] }

func (x *index[V]) set(name string, v V) {
	b := x.change(name)
	if x.buckets[b] == nil {
		x.buckets[b] = map[string]V{}
	}
	x.buckets[b][name] = v
}

func (x *index[V]) delete(name string) { delete(x.buckets[x.change(name)], name) }

// change makes a name's bucket the index's own.
func (x *index[V]) change(name string) uint8 {
	b := x.bucket(name)
	if !x.own[b] {
		x.buckets[b], x.own[b] = maps.Clone(x.buckets[b]), true
	}
	return b
}

// all goes through the index in no order.
func (x *index[V]) all() iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		for _, b := range x.buckets {
			for name, v := range b {
				if !yield(name, v) {
					return
				}
			}
		}
	}
}
