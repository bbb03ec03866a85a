package witness

import (
	"iter"
	"math/bits"
)

// Bits is a set of small numbers, e.g. of the rules of a list that can still hold.
type Bits string

// NewBits gives the set of those numbers below n that a function names.
func NewBits(n int, has func(int) bool) Bits {
	out := make([]byte, (n+7)/8)
	for i := range n {
		if has(i) {
			out[i/8] |= 1 << (i % 8)
		}
	}
	return Bits(out)
}

// Of gives the set of some numbers below n.
func Of(n int, numbers ...int) Bits {
	out := make([]byte, (n+7)/8)
	for _, i := range numbers {
		out[i/8] |= 1 << (i % 8)
	}
	return Bits(out)
}

// Has tells whether a number is in the set.
func (b Bits) Has(i int) bool { return b[i/8]&(1<<(i%8)) != 0 }

// And gives the numbers that are in both.
func (b Bits) And(o Bits) Bits {
	out := []byte(b)
	for i := range out {
		out[i] &= o[i]
	}
	return Bits(out)
}

// Meets tells whether any number is in both.
func (b Bits) Meets(o Bits) bool {
	for i := range len(b) {
		if b[i]&o[i] != 0 {
			return true
		}
	}
	return false
}

// Without gives the numbers but for some.
func (b Bits) Without(numbers ...int) Bits {
	out := []byte(b)
	for _, i := range numbers {
		out[i/8] &^= 1 << (i % 8)
	}
	return Bits(out)
}

// From gives the numbers that are not below a first one, in order.
func (b Bits) From(first int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for at := first / 8; at < len(b); at++ {
			for left := b[at]; left != 0; left &= left - 1 {
				if i := at*8 + bits.TrailingZeros8(left); i >= first && !yield(i) {
					return
				}
			}
		}
	}
}

// Field is something of a request that rules ask for. Of rules it gives values that tell these apart, each with those
// of them whose conditions on the field it meets.
type Field func(rules Bits) iter.Seq2[int, Bits]

// Fixed is a field of few values, given by the rules that each leaves.
func Fixed(values []Bits) Field {
	return func(rules Bits) iter.Seq2[int, Bits] {
		return func(yield func(int, Bits) bool) {
			for i, holds := range values {
				if !yield(i, rules.And(holds)) {
					return
				}
			}
		}
	}
}

// Choice is a value for each field, and the rules that they leave.
type Choice struct {
	Values []int
	Rules  Bits
}

// Combine gives a choice for each set of rules that values of all fields leave together: one with values as far in front
// as there is. keep says which sets are of interest; what it does not keep, no smaller set is kept of either. Of more
// than most sets those that were found first go on.
func Combine(fields []Field, all Bits, keep func(Bits) bool, most int) []Choice {
	states := []Choice{{Rules: all}}
	for _, values := range fields {
		seen := map[Bits]bool{}
		var next []Choice
		for _, s := range states {
			for value, left := range values(s.Rules) {
				if len(next) == most {
					break
				}
				if seen[left] || !keep(left) {
					continue
				}
				seen[left] = true
				next = append(next, Choice{append(s.Values[:len(s.Values):len(s.Values)], value), left})
			}
		}
		states = next
	}
	return states
}
