package certificates

import (
	"cmp"
	"slices"
)

// wishes are the hosts that are wanted, and on whose behalf.
type wishes struct {
	byName map[string]Host     // what those who share a name want of it together
	each   map[string][]Host   // by name, what each of them wants, in the order of For
	names  map[string][]string // by For, the names that are wanted on its behalf
}

func newWishes(hosts []Host) wishes {
	w := wishes{make(map[string]Host, len(hosts)), make(map[string][]Host, len(hosts)), map[string][]string{}}
	for _, host := range hosts {
		w.add(host)
	}
	return w
}

// replace puts hosts in place of those that are wanted on one's behalf, and
// returns the names of both.
func (w wishes) replace(whom string, hosts []Host) (touched []string) {
	touched = w.names[whom]
	delete(w.names, whom)
	for _, name := range touched {
		w.each[name] = slices.DeleteFunc(w.each[name], func(h Host) bool { return h.For == whom })
		w.merge(name)
	}
	for _, host := range hosts {
		host.For = whom
		w.add(host)
		touched = append(touched, host.Name)
	}
	slices.Sort(touched)
	return slices.Compact(touched)
}

func (w wishes) add(host Host) {
	// Who comes later under the same For stands behind.
	at, _ := slices.BinarySearchFunc(w.each[host.Name], host.For, func(h Host, whom string) int {
		return cmp.Or(cmp.Compare(h.For, whom), -1)
	})
	w.each[host.Name] = slices.Insert(w.each[host.Name], at, host)
	w.names[host.For] = append(w.names[host.For], host.Name)
	w.merge(host.Name)
}

func (w wishes) merge(name string) {
	each := w.each[name]
	if len(each) == 0 {
		delete(w.byName, name)
		delete(w.each, name)
		return
	}
	host := each[0]
	for _, other := range each[1:] {
		host = host.and(other)
	}
	w.byName[name] = host
}

// and is what two who share a host want of its certificate: the first pair that
// was given, and the CA's in reserve unless neither wants it.
func (h Host) and(other Host) Host {
	if h.Own == nil {
		h.Own = other.Own
	}
	h.Local = h.Local && other.Local
	return h
}
