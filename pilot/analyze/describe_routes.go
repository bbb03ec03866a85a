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
	Elsewhere int      `json:"rulesToOtherServices,omitempty"`
}

// routing collects what a VirtualService does with a service.
type routing struct {
	RoutedHere
	of     *model.Object
	domain string
	host   string
	about  []model.Key // the VirtualService, and delegates that lead to the host
}

// routed tells which rules of a VirtualService lead to a host, and whether it is about the host at all. A delegate is
// told of where a VirtualService names it, since that says who goes by it.
func (t *Translation) routed(o *model.Object, vs *networking.VirtualService, host string) (*routing, bool) {
	out := &routing{of: o, domain: t.mesh.domain, host: host, about: []model.Key{o.Key}}
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
		out.note(slices.ContainsFunc(r.GetRoute(), out.bytes), out.field(fmt.Sprintf("tcp[%d]", i)), nil)
	}
	for i, r := range vs.GetTls() {
		var match []string
		for _, m := range r.GetMatch() {
			match = append(match, "SNI "+strings.Join(m.GetSniHosts(), ", "))
		}
		out.note(slices.ContainsFunc(r.GetRoute(), out.bytes), out.field(fmt.Sprintf("tls[%d]", i)), match)
	}
	names := slices.ContainsFunc(vs.GetHosts(), func(h string) bool { return model.ResolveHost(h, o.Namespace, t.mesh.domain) == host })
	return out, names || len(out.Rules) > 0
}

func (r *routing) http(rule resolve.RuleInForce) {
	var match []string
	for _, m := range rule.Spec.GetMatch() {
		match = append(match, matchText(m))
	}
	here := slices.ContainsFunc(rule.Spec.GetRoute(), func(d *networking.HTTPRouteDestination) bool {
		return r.leads(d.GetDestination(), rule.Owner.Namespace)
	})
	field := r.field(fmt.Sprintf("http[%d]", rule.By))
	if rule.Owner != r.of {
		field += fmt.Sprintf(" by %s http[%d]", rule.Owner.Key, rule.Index)
		if here && !slices.Contains(r.about, rule.Owner.Key) {
			r.about = append(r.about, rule.Owner.Key)
		}
	}
	r.note(here, field, match)
}

func (r *routing) bytes(d *networking.RouteDestination) bool {
	return r.leads(d.GetDestination(), r.of.Namespace)
}

// leads tells whether a destination that an object of a namespace names is the host.
func (r *routing) leads(d *networking.Destination, namespace string) bool {
	return model.ResolveHost(d.GetHost(), namespace, r.domain) == r.host
}

// field is that of the object which a user wrote.
func (r *routing) field(field string) string {
	if m, made := r.of.MadeOf("spec." + field); made {
		return strings.TrimPrefix(m.Field, "spec.")
	}
	return field
}

func (r *routing) note(here bool, field string, match []string) {
	if !here {
		r.Elsewhere++
		return
	}
	if len(match) > 0 {
		field += ": " + strings.Join(match, " or ")
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
