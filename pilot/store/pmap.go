package store

import (
	"hash/maphash"
	"maps"
)

// fanOut is the number of buckets of a pmap. A change copies one bucket and the table, so at
// 10,000 rows it costs about 40 rows and 2 KB.
const fanOut = 256

// pmap is a map whose versions share what did not change: a reader keeps its version while the
// writer makes the next. The zero value is empty.
type pmap[K comparable, V any] struct {
	seed    maphash.Seed
	buckets *[fanOut]map[K]V
}

func (m pmap[K, V]) bucket(k K) int { return int(maphash.Comparable(m.seed, k) % fanOut) }

func (m pmap[K, V]) get(k K) (v V, ok bool) {
	if m.buckets != nil {
		v, ok = m.buckets[m.bucket(k)][k]
	}
	return v, ok
}

// row gives the value of k, or the zero value.
func (m pmap[K, V]) row(k K) V {
	v, _ := m.get(k)
	return v
}

// all visits every row, in no order.
func (m pmap[K, V]) all(visit func(K, V)) {
	if m.buckets == nil {
		return
	}
	for _, bucket := range m.buckets {
		for k, v := range bucket {
			visit(k, v)
		}
	}
}

// edit is a pmap that is being changed. It copies each bucket at most once, so that a batch of
// changes costs what it touches. Only its owner may use it.
type edit[K comparable, V any] struct {
	pmap[K, V]
	table bool         // the table is our own
	owned [fanOut]bool // the bucket is our own
}

// freeze gives the present version; later changes leave it alone.
func (e *edit[K, V]) freeze() pmap[K, V] {
	e.table, e.owned = false, [fanOut]bool{}
	return e.pmap
}

func (e *edit[K, V]) own(k K) map[K]V {
	if e.buckets == nil {
		e.seed, e.buckets, e.table = maphash.MakeSeed(), &[fanOut]map[K]V{}, true
	}
	if !e.table {
		table := *e.buckets
		e.buckets, e.table = &table, true
	}
	b := e.bucket(k)
	if !e.owned[b] {
		if e.buckets[b] == nil {
			e.buckets[b] = map[K]V{}
		} else {
			e.buckets[b] = maps.Clone(e.buckets[b])
		}
		e.owned[b] = true
	}
	return e.buckets[b]
}

func (e *edit[K, V]) set(k K, v V) { e.own(k)[k] = v }

func (e *edit[K, V]) delete(k K) {
	if _, ok := e.get(k); ok {
		delete(e.own(k), k)
	}
}
