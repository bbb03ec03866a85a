package status

import (
	"cmp"
	"math"
	"slices"
	"strconv"
)

// bound is one of a histogram's buckets, as a number and as it is written.
type bound struct {
	value float64
	text  string
}

// histogram is one of Envoy's, as it is read. Its last bucket, that of all, is its count.
type histogram struct {
	bounds     []bound   // ascending, whatever the order in which they come
	counts     []float64 // cumulative, by bound
	sum, count float64
}

func (h *histogram) reset() {
	*h = histogram{bounds: h.bounds[:0], counts: h.counts[:0]}
}

// bucket takes the next one.
func (h *histogram) bucket(b bound, count float64) {
	at := len(h.bounds)
	if !math.IsInf(b.value, 1) && (at == 0 || h.bounds[at-1].value < b.value) { // they come in order
		h.bounds, h.counts = append(h.bounds, b), append(h.counts, count)
		return
	}
	for at > 0 && h.bounds[at-1].value > b.value {
		at--
	}
	if math.IsInf(b.value, 1) || math.IsNaN(b.value) || at > 0 && h.bounds[at-1].value == b.value {
		return
	}
	h.bounds = slices.Insert(h.bounds, at, b)
	h.counts = slices.Insert(h.counts, at, count)
}

// add adds a histogram. Of histograms with different bounds the sum has only the bounds that all have: how many values
// one has up to another's bound, nobody knows.
func (s *series) add(h *histogram) {
	s.value += h.count
	s.sum += h.sum
	switch {
	case !s.added:
		if s.family.bounds == nil {
			s.family.bounds = slices.Clone(h.bounds)
		}
		s.bounds = s.family.bounds
		if !slices.Equal(s.bounds, h.bounds) {
			s.bounds = slices.Clone(h.bounds)
		}
		s.counts, s.added = slices.Clone(h.counts), true
	case slices.Equal(s.bounds, h.bounds):
		for i, count := range h.counts {
			s.counts[i] += count
		}
	default:
		s.addCommon(h)
	}
}

// addCommon keeps the bounds that both have.
func (s *series) addCommon(h *histogram) {
	var bounds []bound // those of s may be its family's as well
	var counts []float64
	for i, b := range s.bounds {
		at, found := slices.BinarySearchFunc(h.bounds, b.value, func(e bound, value float64) int {
			return cmp.Compare(e.value, value)
		})
		if found {
			bounds, counts = append(bounds, b), append(counts, s.counts[i]+h.counts[at])
		}
	}
	s.bounds, s.counts = bounds, counts
}

// boundAt gives the bound of the n-th bucket; nearly all histograms have the same.
func (t *translation) boundAt(n int, value float64) bound {
	if n < len(t.bounds) && t.bounds[n].value == value {
		return t.bounds[n]
	}
	return t.remember(n, bound{value, strconv.FormatFloat(value, 'f', -1, 64)})
}

// boundOf gives it by its text, which stays as it is. What is no number has no bucket.
func (t *translation) boundOf(n int, text string) bound {
	if n < len(t.bounds) && t.bounds[n].text == text {
		return t.bounds[n]
	}
	value, err := strconv.ParseFloat(text, 64)
	if err != nil {
		value = math.NaN()
	}
	return t.remember(n, bound{value, text})
}

func (t *translation) remember(n int, b bound) bound {
	if n < len(t.bounds) {
		t.bounds[n] = b
	} else {
		t.bounds = append(t.bounds, b)
	}
	return b
}
