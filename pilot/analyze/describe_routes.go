package analyze

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
)

// RoutedHere is a VirtualService with the rules that lead to a service.
type RoutedHere struct {
	Object    string   `json:"object"`
	Gateways  []string `json:"gateways,omitempty"` // "mesh" among them
	Clients   string   `json:"clients,omitempty"`  // that go by it, where not all do
	Rules     []string `json:"rules,omitempty"`
	Elsewhere int      `json:"rulesToOtherServices,omitempty"` // or to subsets that the workload is not in
}

// routing collects what a VirtualService does with a service.
type routing struct {
	RoutedHere
	of     *model.Object
	domain string
	host   string
	in     *[]string   // the subsets that the workload is in; nil for all of the service
	about  []model.Key // the VirtualService, and delegates that lead to the host
}

// routed tells which rules of a VirtualService lead to a host, and whether it is about the host at all. A delegate is
// told of where a VirtualService names it, since that says who goes by it.
func (t *Translation) routed(o *model.Object, vs *networking.VirtualService, host string, in *[]string) (*routing, bool) {
	out := &routing{of: o, domain: t.mesh.domain, host: host, in: in, about: []model.Key{o.Key}}
	out.Object, out.Gateways = o.Key.String(), vs.GetGateways()
	if m, made := o.MadeOf(""); made {
		out.Object, out.Gateways = m.Object.String(), []string{"the gateways of Ingresses"}
	}
	if len(vs.GetHosts()) == 0 {
		return out, false
	}
	var some bool
	if out.Clients, some = namespacesOf(model.VirtualServiceAudience(t.mesh.config, vs, o.Namespace)); !some {
		return out, false
	}
	if len(out.Gateways) == 0 {
		out.Gateways = []string{"mesh"}
	}
	for _, rule := range resolve.RulesInForce(t.mesh.reader, o) {
		out.http(rule)
	}
	for i, r := range vs.GetTcp() {
		out.note(streams(r.GetRoute()), o.Namespace, out.field(fmt.Sprintf("tcp[%d]", i)), nil)
	}
	for i, r := range vs.GetTls() {
		var match []string
		for _, m := range r.GetMatch() {
			match = append(match, "SNI "+strings.Join(m.GetSniHosts(), ", "))
		}
		out.note(streams(r.GetRoute()), o.Namespace, out.field(fmt.Sprintf("tls[%d]", i)), match)
	}
	names := slices.ContainsFunc(vs.GetHosts(), func(h string) bool { return model.ResolveHost(h, o.Namespace, t.mesh.domain) == host })
	return out, names || len(out.Rules) > 0
}

func (r *routing) http(rule resolve.RuleInForce) {
	var match []string
	for _, m := range rule.Spec.GetMatch() {
		match = append(match, matchText(m))
	}
	var to []weighted
	for _, d := range rule.Spec.GetRoute() {
		to = append(to, weighted{d.GetDestination(), d.GetWeight()})
	}
	field := r.field(fmt.Sprintf("http[%d]", rule.By))
	if rule.Owner != r.of {
		field += fmt.Sprintf(" by %s http[%d]", rule.Owner.Key, rule.Index)
		if r.here(to, rule.Owner.Namespace) && !slices.Contains(r.about, rule.Owner.Key) {
			r.about = append(r.about, rule.Owner.Key)
		}
	}
	r.note(to, rule.Owner.Namespace, field, match)
}

// weighted is a destination with its weight.
type weighted struct {
	*networking.Destination
	weight int32
}

func streams(routes []*networking.RouteDestination) []weighted {
	var out []weighted
	for _, d := range routes {
		out = append(out, weighted{d.GetDestination(), d.GetWeight()})
	}
	return out
}

// here tells whether one of the destinations that an object of a namespace names is the host, and the workload is in its
// subset.
func (r *routing) here(to []weighted, namespace string) bool {
	return slices.ContainsFunc(to, func(d weighted) bool {
		return r.leads(d.Destination, namespace) && (r.in == nil || d.GetSubset() == "" || slices.Contains(*r.in, d.GetSubset()))
	})
}

// leads tells whether a destination that an object of a namespace names is the host.
func (r *routing) leads(d *networking.Destination, namespace string) bool {
	return model.ResolveHost(d.GetHost(), namespace, r.domain) == r.host
}

// shares says how requests are shared out among destinations, "" for one that is the whole host.
func (r *routing) shares(to []weighted, namespace string) string {
	var out []string
	for _, d := range to {
		var parts []string
		if !r.leads(d.Destination, namespace) {
			parts = append(parts, d.GetHost())
		}
		if d.GetSubset() != "" {
			parts = append(parts, "subset "+d.GetSubset())
		}
		if len(to) > 1 {
			parts = append(parts, fmt.Sprintf("weight %d", d.weight))
		}
		if len(parts) > 0 {
			out = append(out, strings.Join(parts, " "))
		}
	}
	return strings.Join(out, ", ")
}

// field is that of the object which a user wrote.
func (r *routing) field(field string) string {
	if m, made := r.of.MadeOf("spec." + field); made {
		return strings.TrimPrefix(m.Field, "spec.")
	}
	return field
}

func (r *routing) note(to []weighted, namespace, field string, match []string) {
	if !r.here(to, namespace) {
		r.Elsewhere++
		return
	}
	if len(match) > 0 {
		field += ": " + strings.Join(match, " or ")
	}
	if shares := r.shares(to, namespace); shares != "" {
		field += " => " + shares
	}
	r.Rules = append(r.Rules, field)
}

// matchText says what a match asks for, in the words of the object.
func matchText(m *networking.HTTPMatchRequest) string {
	var out []string
	text := func(name string, s *networking.StringMatch) {
		switch v := s.GetMatchType().(type) {
		case *networking.StringMatch_Exact:
			out = append(out, name+" = "+v.Exact)
		case *networking.StringMatch_Prefix:
			out = append(out, name+" begins with "+v.Prefix)
		case *networking.StringMatch_Regex:
			out = append(out, name+" matches "+v.Regex)
		}
	}
	text("uri", m.GetUri())
	text("method", m.GetMethod())
	text("authority", m.GetAuthority())
	text("scheme", m.GetScheme())
	for _, h := range slices.Sorted(maps.Keys(m.GetHeaders())) {
		text("header "+h, m.GetHeaders()[h])
	}
	for _, q := range slices.Sorted(maps.Keys(m.GetQueryParams())) {
		text("query "+q, m.GetQueryParams()[q])
	}
	if m.GetPort() != 0 {
		out = append(out, fmt.Sprintf("port %d", m.GetPort()))
	}
	if len(out) == 0 {
		return "further conditions"
	}
	return strings.Join(out, ", ")
}
