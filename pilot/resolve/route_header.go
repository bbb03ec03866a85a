package resolve

import (
	"cmp"
	"iter"
	"maps"
	"regexp"
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// headers translates changes of headers. Envoy lets nobody add or remove the host; setting it
// on a request, or adding it, is what authority says instead.
func (s *ruleSet) headers(field string, h *networking.Headers) (out ir.HeaderOperations, authority string) {
	if h == nil {
		return out, ""
	}
	var host string
	out.Request, authority = s.headerOperation(field+".request", h.GetRequest())
	out.Response, host = s.headerOperation(field+".response", h.GetResponse())
	if host != "" {
		s.invalid(field+".response", "a response has no host; the rule is left out")
	}
	return out, authority
}

// then gives the operation that does both, the later one last: what it sets wins.
func then(first, last ir.HeaderOperation) ir.HeaderOperation {
	named := func(in []ir.Header, name string) bool {
		return slices.ContainsFunc(in, func(h ir.Header) bool { return strings.EqualFold(h.Name, name) })
	}
	replaced := func(h ir.Header) bool { return named(last.Set, h.Name) }
	out := ir.HeaderOperation{
		Set:    append(slices.DeleteFunc(slices.Clone(first.Set), replaced), last.Set...),
		Add:    append(slices.DeleteFunc(slices.Clone(first.Add), replaced), last.Add...),
		Remove: distinct(append(slices.Clone(first.Remove), last.Remove...)),
	}
	byName := func(x, y ir.Header) int { return cmp.Compare(x.Name, y.Name) }
	slices.SortStableFunc(out.Set, byName)
	slices.SortStableFunc(out.Add, byName)
	return out
}

func (s *ruleSet) headerOperation(field string, op *networking.Headers_HeaderOperations) (out ir.HeaderOperation, authority string) {
	each := func(part string, names iter.Seq[string], values map[string]string, take func(ir.Header)) {
		for _, name := range slices.Sorted(names) {
			at, value := field+"."+part+"["+name+"]", values[name]
			if part != "remove" && isHost(name) && singleLine(value) {
				authority = cmp.Or(authority, value) // set comes first
			} else if !s.noHeader(at, name) {
				s.headerValue(at, name, value)
				take(ir.Header{Name: name, Value: value})
			}
		}
	}
	each("set", maps.Keys(op.GetSet()), op.GetSet(), func(h ir.Header) { out.Set = append(out.Set, h) })
	each("add", maps.Keys(op.GetAdd()), op.GetAdd(), func(h ir.Header) { out.Add = append(out.Add, h) })
	each("remove", slices.Values(op.GetRemove()), nil, func(h ir.Header) { out.Remove = append(out.Remove, h.Name) })
	return out, authority
}

// noHeader reports a name that no header can have, such as one with a blank. What is to be done to
// it is not done: servers refuse requests with such a header.
func (s *ruleSet) noHeader(field, name string) bool {
	if name == "" || strings.HasPrefix(name, ":") || headerName(name) {
		return false
	}
	s.warn(field, model.ReasonInvalid, "no header can have this name; it is left alone")
	return true
}

func isHost(name string) bool {
	return strings.EqualFold(name, "host") || strings.EqualFold(name, ":authority")
}

// headerValue checks what Envoy would refuse the whole route configuration for.
func (s *ruleSet) headerValue(field, name, value string) {
	switch {
	case !headerName(name) || strings.HasPrefix(name, ":") || isHost(name):
		s.invalid(field, "this is no name of a header that can be changed; the rule is left out")
	case !singleLine(value):
		s.invalid(field, "the value has a line break or a zero byte; the rule is left out")
	case !formatString(value):
		s.invalid(field, "% starts a command of Envoy such as %REQ(name)%, and this is none; write %% for a percent sign, until then the rule is left out")
	}
}

// substitution tells whether a rewrite names only groups that its pattern has. The pattern parses.
func substitution(pattern, rewrite string) bool {
	groups := regexp.MustCompile(pattern).NumSubexp()
	for i := 0; i < len(rewrite); i++ {
		if rewrite[i] != '\\' {
			continue
		}
		i++
		switch {
		case i == len(rewrite):
			return false
		case rewrite[i] == '\\':
		case rewrite[i] < '0' || rewrite[i] > '9' || int(rewrite[i]-'0') > groups:
			return false
		}
	}
	return true
}
