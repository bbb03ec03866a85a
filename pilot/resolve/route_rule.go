package resolve

import (
	"cmp"
	"fmt"
	"slices"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// ruleSet translates the rules of one VirtualService for one place: a port as clients see it,
// for sidecars or at a gateway.
type ruleSet struct {
	*view
	vs *virtualService
	// port is the one that clients address; destinations without a port fall back on it.
	port uint32
	// gateways are the names under which the place is known: "mesh", or a gateway's namespace/name.
	gateways []string
	secure   bool // requests come within TLS
	anybody  bool // who connects is not asked, nor to which address

	owner  *model.Object // that has the present rule, where it is not vs
	broken bool          // the present rule or match, see sound
}

// ruleSet is about the rules of a VirtualService for a port as sidecars see it.
func (v *view) ruleSet(vs *virtualService, port uint32) *ruleSet {
	return &ruleSet{view: v, vs: vs, port: port, gateways: []string{model.MeshGateway}}
}

// httpRoutes translates the HTTP rules that apply here, in order. A broken rule or match is left
// out with a problem; what stands after a rule that takes every request is never reached.
func (s *ruleSet) httpRoutes() []*ir.Route {
	var out []*ir.Route
	defer func() { s.owner = nil }()
	for i := range s.vs.http {
		rule := &s.vs.http[i]
		s.owner = rule.owner
		field := rule.field()
		routes := s.httpRule(field, rule)
		out = append(out, routes...)
		if slices.ContainsFunc(routes, catchAll) {
			if rest := len(s.vs.http) - i - 1; rest > 0 && len(rule.spec.GetMatch()) == 0 {
				s.warn(field, model.ReasonConflict, fmt.Sprintf("it matches every request, so the %d rule(s) after it are never used; move it to the end", rest))
			}
			break
		}
	}
	return out
}

// httpRule gives a route for each match of a rule; a rule without matches takes everything.
func (s *ruleSet) httpRule(field string, from *httpRule) []*ir.Route {
	rule := from.spec
	matches := rule.GetMatch()
	if len(matches) == 0 {
		matches = []*networking.HTTPMatchRequest{nil}
	}
	var out []*ir.Route
	var action *ir.Route // the same for all matches of the rule
	for i, m := range matches {
		if !s.applies(m) || !from.carried(i, s.carries) {
			continue
		}
		var matches []ir.RouteMatch
		if !s.sound(func() { matches = s.match(fmt.Sprintf("%s.match[%d]", field, i), m) }) {
			continue
		}
		if action == nil && !s.sound(func() { action = s.action(field, rule) }) {
			return nil
		}
		for _, match := range matches {
			route := *action
			route.Match = match
			route.StatPrefix = m.GetStatPrefix()
			if m.GetName() != "" {
				route.Name = rule.GetName() + "." + m.GetName() // also without a rule's name, as in Istio
			}
			out = append(out, &route)
		}
		if catchAll(out[len(out)-1]) {
			break
		}
	}
	return out
}

// placed is what matches of all protocols say of the place and the client.
type placed interface {
	sourced
	GetPort() uint32
}

// applies evaluates what of a match is known about the place and the class, not the request. The labels and
// the namespace of the source are the proxy's own, at a gateway the gateway's.
func (s *ruleSet) applies(m placed) bool {
	return (m.GetPort() == 0 || m.GetPort() == s.port) && s.concerns(m)
}

// concerns evaluates the same for a place on whatever port.
func (s *ruleSet) concerns(m sourced) bool {
	if len(m.GetGateways()) > 0 && !s.here(m.GetGateways()) {
		return false
	}
	return (m.GetSourceNamespace() == "" || s.inNamespace(m.GetSourceNamespace())) && s.carries(m.GetSourceLabels())
}

// here tells whether one of a match's gateways is this place.
func (s *ruleSet) here(gateways []string) bool {
	return slices.ContainsFunc(gateways, func(g string) bool {
		return slices.Contains(s.gateways, model.GatewayName(g, s.vs.Namespace))
	})
}

// sound translates a rule, or a match, and tells whether it makes sense. Translation goes on behind what makes none, with
// any value in its place, and nothing of it counts then. Only the first fault is reported.
func (s *ruleSet) sound(translate func()) bool {
	translate()
	broken := s.broken
	s.broken = false
	return !broken
}

// action gives a route without its match.
func (s *ruleSet) action(field string, rule *networking.HTTPRoute) *ir.Route {
	out := &ir.Route{
		Name: rule.GetName(), Config: configPath(s.vs.Object, "virtual-service"),
	}
	var authority string
	out.Headers, authority = s.headers(field+".headers", rule.GetHeaders())
	out.CORS = cors(rule.GetCorsPolicy())
	out.Fault = s.fault(field+".fault", rule.GetFault())
	switch {
	case rule.GetRedirect() != nil:
		out.Redirect = s.redirect(rule.GetRedirect())
	case rule.GetDirectResponse() != nil:
		out.Direct = directResponse(rule.GetDirectResponse())
	default:
		out.Forward = s.forward(field, rule, authority)
		if len(rule.GetRoute()) == 1 && len(out.Forward.Clusters) == 1 {
			out.Headers = loneHeaders(out.Forward, out.Headers)
		}
	}
	return out
}

// catchAll tells whether a route takes every request.
func catchAll(r *ir.Route) bool {
	path := r.Match.Path
	everyPath := path.Kind == ir.MatchPresent || path.Kind == ir.MatchPrefix && (path.Value == "/" || path.Value == "")
	return everyPath && len(r.Match.Headers)+len(r.Match.Query)+len(r.Match.Claims) == 0
}

func (s *ruleSet) invalid(field, message string) {
	if !s.broken {
		s.report(s.written().ErrorAt(field, model.ReasonInvalid, message))
	}
	s.broken = true
}

func (s *ruleSet) warn(field string, reason model.Reason, message string) {
	if !s.broken {
		s.report(s.written().WarningAt(field, reason, message))
	}
}

// written gives the object in which the present rule is written.
func (s *ruleSet) written() *model.Object { return cmp.Or(s.owner, s.vs.Object) }
