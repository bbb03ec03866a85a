package resolve

import (
	"cmp"
	"iter"
	"maps"
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// headers translates changes of headers. Envoy lets nobody add or remove the host; setting it
// on a request, or adding it, is what authority says instead.
func (s *ruleSet) headers(field string, h *networking.Headers) (out ir.HeaderOperations, authority string) {
	out.Request, authority = s.headerOperation(field+".request", h.GetRequest())
	out.Response, _ = s.headerOperation(field+".response", h.GetResponse()) // which has no host
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
	if op == nil { // as for most rules
		return out, ""
	}
	each := func(part string, names iter.Seq[string], values map[string]string, take func(ir.Header)) {
		for _, name := range slices.Sorted(names) {
			at, value := field+"."+part+"["+name+"]", values[name]
			switch {
			case isHost(name):
				authority = cmp.Or(authority, value) // set comes first
			case !headerName(name): // servers refuse requests with such a header
				s.warn(at, model.ReasonInvalid, "no header can have this name; it is left alone")
			case !formatString(value): // Envoy would refuse the whole route configuration
				s.invalid(at, "% starts a command of Envoy such as %REQ(name)%, and this is none; write %% for a percent sign, until then the rule is left out")
			default:
				take(ir.Header{Name: name, Value: value})
			}
		}
	}
	each("set", maps.Keys(op.GetSet()), op.GetSet(), func(h ir.Header) { out.Set = append(out.Set, h) })
	each("add", maps.Keys(op.GetAdd()), op.GetAdd(), func(h ir.Header) { out.Add = append(out.Add, h) })
	each("remove", slices.Values(op.GetRemove()), nil, func(h ir.Header) { out.Remove = append(out.Remove, h.Name) })
	return out, authority
}

func isHost(name string) bool {
	return strings.EqualFold(name, "host") || strings.EqualFold(name, ":authority")
}
