package authz

import (
	"net/http"
	"slices"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
)

// leftOutMost bounds how many operations are given that rules leave out.
const leftOutMost = 8

// aspect is a part of an operation that lists of rules name values of.
type aspect struct {
	// named gives the values that a condition wants; false for a condition about something else.
	named func(ir.RBACCondition) (ir.StringMatch, bool)
	set   func(o *Operation, value string)
	// values are known ones. The first that no rule names stands for all such.
	values []string
}

func (u Usual) aspects() []aspect {
	header := func(name string) func(k ir.RBACCondition) (ir.StringMatch, bool) {
		return func(k ir.RBACCondition) (ir.StringMatch, bool) {
			h, ok := k.(ir.RequestHeader)
			return h.Value, ok && h.Name == name
		}
	}
	path := func(k ir.RBACCondition) (ir.StringMatch, bool) {
		p, ok := k.(ir.RequestPath)
		return p.Path, ok
	}
	return []aspect{
		{header(":method"), func(o *Operation, v string) { o.Method = v }, []string{
			http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch, http.MethodHead, http.MethodOptions,
		}},
		{path, func(o *Operation, v string) { o.Path = v }, []string{"/", "/" + anything, "/other", "/" + anything + "/other"}},
		{header(":authority"), func(o *Operation, v string) { o.Host = v }, u.Hosts},
	}
}

// leftOut gives for each list of methods, paths or hosts an operation that it leaves out, for which the other lists of
// the alternative hold. Best is a value that no rule names. Where every known value is in the list there is none.
func leftOut(to []ir.RBACAlternative, usual Usual) []Operation {
	aspects := usual.aspects()
	everywhere := make([][]ir.StringMatch, len(aspects))
	for i := range aspects {
		for _, c := range slices.Concat(to...) {
			everywhere[i] = append(everywhere[i], aspects[i].of(c)...)
		}
	}
	var out []Operation
	for _, a := range to {
		for at, c := range a {
			for i := range aspects {
				own := aspects[i].of(c)
				if len(own) == 0 {
					continue
				}
				value, ok := aspects[i].beside(everywhere[i])
				if !ok {
					value, ok = aspects[i].beside(own)
				}
				if !ok {
					continue
				}
				o := Operation{}
				for _, k := range flat(pick(a, at)) {
					o.meet(k)
				}
				aspects[i].set(&o, value)
				out = append(out, o)
			}
		}
	}
	return out
}

// of gives the values that a clause is about.
func (a *aspect) of(c ir.RBACClause) []ir.StringMatch {
	var out []ir.StringMatch
	for _, k := range flat(c.AnyOf) {
		if m, ok := a.named(k); ok {
			out = append(out, m)
		}
	}
	return out
}

// beside gives a value that is not among others.
func (a *aspect) beside(others []ir.StringMatch) (string, bool) {
	i := slices.IndexFunc(a.values, func(v string) bool {
		return !slices.ContainsFunc(others, func(m ir.StringMatch) bool { return matches(m, v) })
	})
	if i < 0 {
		return "", false
	}
	return a.values[i], true
}

// NamePorts tells whether rules are about some ports and not about others.
func NamePorts(filters []*ir.RBAC) bool {
	isPort := func(k ir.RBACCondition) bool {
		_, ok := k.(ir.LocalPort)
		return ok
	}
	for _, r := range deciding(filters) {
		for _, c := range slices.Concat(r.To...) {
			if slices.ContainsFunc(flat(c.AnyOf), isPort) {
				return true
			}
		}
	}
	return false
}
