package witness

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

// Has tells whether a number is in the set.
func (b Bits) Has(i int) bool { return b[i/8]&(1<<(i%8)) != 0 }

// and gives the numbers that are in both.
func (b Bits) and(o Bits) Bits {
	out := []byte(b)
	for i := range out {
		out[i] &= o[i]
	}
	return Bits(out)
}

// Field is something of a request that rules ask for. Each of its values leaves the rules whose conditions on the field
// it meets.
type Field []Bits

// Choice is a value for each field, by its place, and the rules that they leave.
type Choice struct {
	Values []int
	Rules  Bits
}

// Combine gives a choice for each set of rules that values of all fields leave together: one with values as far in front
// as there is. keep says which sets are of interest; what it does not keep, no smaller set is kept of either. Of more
// than most sets those that were found first go on.
func Combine(fields []Field, all Bits, keep func(Bits) bool, most int) []Choice {
	states := []Choice{{Rules: all}}
	for _, f := range fields {
		seen := map[Bits]bool{}
		var next []Choice
		for _, s := range states {
			for i, holds := range f {
				left := s.Rules.and(holds)
				if seen[left] || len(next) == most || !keep(left) {
					continue
				}
				seen[left] = true
				next = append(next, Choice{append(s.Values[:len(s.Values):len(s.Values)], i), left})
			}
		}
		states = next
	}
	return states
}
