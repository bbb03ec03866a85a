package authz

import (
	"slices"
	"strings"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/witness"
)

// table has the alternatives of one side of rules, from or to, by numbers.
type table struct {
	alternatives []ir.RBACAlternative
	owner        []int // rules, by alternative
	count        int   // of rules
	possible     []bool
}

func newTable(rules []ir.RBACRule, side func(ir.RBACRule) []ir.RBACAlternative) *table {
	t := &table{count: len(rules)}
	for i, r := range rules {
		for _, a := range side(r) {
			t.alternatives, t.owner, t.possible = append(t.alternatives, a), append(t.owner, i), append(t.possible, true)
		}
	}
	return t
}

// field is something that conditions are about, and values by which they are told apart.
type field struct {
	values []value
}

// value is one of a field.
type value struct {
	name  string // in the words of policies; "" for what no rule is about
	set   func(*Caller, *Operation)
	holds witness.Bits // alternatives of which the clauses about the field hold
}

// clauses tells which alternatives a value leaves: those of which all clauses about the field hold.
func (t *table) left(about func(ir.RBACCondition) bool, is func(ir.RBACCondition) bool) witness.Bits {
	return witness.NewBits(len(t.alternatives), func(i int) bool {
		for _, c := range t.alternatives[i] {
			if len(c.AnyOf) > 0 && slices.ContainsFunc(flat(c.AnyOf), about) && slices.ContainsFunc(c.AnyOf, is) == c.Not {
				return false
			}
		}
		return true
	})
}

// fix leaves out the alternatives that conditions rule out which are known to hold or not.
func (t *table) fix(known func(ir.RBACCondition) (holds, known bool)) {
	is := func(k ir.RBACCondition) bool { holds, ok := known(k); return ok && holds }
	about := func(k ir.RBACCondition) bool { _, ok := known(k); return ok }
	left := t.left(about, is)
	for i, c := range t.alternatives {
		never := slices.ContainsFunc(c, func(c ir.RBACClause) bool { return len(c.AnyOf) == 0 && !c.Not })
		t.possible[i] = left.Has(i) && !never
	}
}

// conditions gives those of all clauses that are about a field, each once.
func (t *table) conditions(about func(ir.RBACCondition) bool) []ir.RBACCondition {
	var out []ir.RBACCondition
	seen := map[string]bool{}
	for _, a := range t.alternatives {
		for _, c := range a {
			if !slices.ContainsFunc(flat(c.AnyOf), about) {
				continue
			}
			for _, k := range c.AnyOf {
				if words := condition(k); !seen[words] {
					seen[words] = true
					out = append(out, k)
				}
			}
		}
	}
	return out
}

// combine gives values of all fields by which alternatives are told apart.
func (t *table) combine(fields []*field) []witness.Choice {
	all := witness.NewBits(len(t.alternatives), func(i int) bool { return t.possible[i] })
	var narrowing []witness.Field
	for _, f := range fields {
		var holds []witness.Bits
		for _, v := range f.values {
			holds = append(holds, v.holds)
		}
		narrowing = append(narrowing, witness.Fixed(holds))
	}
	return witness.Combine(narrowing, all, func(witness.Bits) bool { return true }, toldMost)
}

// rulesOf gives the rules of which one of some alternatives is.
func (t *table) rulesOf(alternatives witness.Bits) witness.Bits {
	of := make([]bool, t.count)
	for i, rule := range t.owner {
		of[rule] = of[rule] || alternatives.Has(i)
	}
	return witness.NewBits(t.count, func(i int) bool { return of[i] })
}

// rules gives those that are about a call, as far as this side says.
func (t *table) rules(call *Call) witness.Bits {
	return t.rulesOf(witness.NewBits(len(t.alternatives), func(i int) bool {
		return t.possible[i] && !slices.ContainsFunc(t.alternatives[i], func(c ir.RBACClause) bool { return !holds(c, call) })
	}))
}

// grouped gives values of a field, those that leave the same alternatives as one that has the names of all.
func grouped(all []value) *field {
	at, names := map[witness.Bits]int{}, map[int][]string{}
	out := &field{}
	for _, v := range all {
		i, ok := at[v.holds]
		if !ok {
			i = len(out.values)
			at[v.holds] = i
			out.values = append(out.values, v)
		}
		if v.name != "" && !slices.Contains(names[i], v.name) {
			names[i] = append(names[i], v.name)
		}
	}
	for i := range out.values {
		if out.values[i].name != "" {
			out.values[i].name = either(names[i])
		}
	}
	return out
}

// eitherMost is how many of a list are named.
const eitherMost = 3

func either(names []string) string {
	if more := len(names) - eitherMost; more > 1 {
		names = append(names[:eitherMost:eitherMost], "others")
	}
	return strings.Join(names, " or ")
}

// flat gives conditions with those that have to hold together one by one.
func flat(conditions []ir.RBACCondition) []ir.RBACCondition {
	var out []ir.RBACCondition
	for _, k := range conditions {
		if all, ok := k.(ir.Together); ok {
			out = append(out, flat(all)...)
		} else {
			out = append(out, k)
		}
	}
	return out
}
