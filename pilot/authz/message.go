package authz

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	rbac "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	jwt "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/jwt_authn/v3"
	matcher "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
)

// Enforcement is an RBAC filter of Envoy, of requests or of connections.
type Enforcement interface {
	GetRules() *rbac.RBAC
	GetShadowRules() *rbac.RBAC
	GetShadowRulesStatPrefix() string
}

// Read gives the rules that Envoy runs, as pilot/envoy writes them. A clause has in its Field what it asks for, since
// a message does not say where that was written. The error names what this program does not know.
func Read(m Enforcement) (*ir.RBAC, error) {
	out := &ir.RBAC{ShadowPrefix: m.GetShadowRulesStatPrefix()}
	var err error
	for _, part := range []struct {
		rules *rbac.RBAC
		into  **ir.RBACRules
	}{{m.GetRules(), &out.Rules}, {m.GetShadowRules(), &out.Shadow}} {
		if part.rules == nil {
			continue
		}
		out.Action = map[rbac.RBAC_Action]ir.RBACAction{rbac.RBAC_DENY: ir.RBACDeny, rbac.RBAC_LOG: ir.RBACLog}[part.rules.GetAction()]
		if *part.into, err = readRules(part.rules); err != nil {
			return nil, err
		}
	}
	if out.Shadow != nil && len(*out.Shadow) > 0 {
		out.Provider = providerOf((*out.Shadow)[0].Name)
	}
	return out, nil
}

// customRule begins the names of rules of CUSTOM policies, before the provider's name.
const customRule = "istio-ext-authz-"

// providerOf gives the provider that the name of a CUSTOM policy's rule tells, "" for other rules.
func providerOf(rule string) string {
	rest, custom := strings.CutPrefix(rule, customRule)
	if at := strings.LastIndex(rest, "-ns["); custom && at >= 0 {
		return rest[:at]
	}
	return ""
}

func readRules(m *rbac.RBAC) (*ir.RBACRules, error) {
	out := ir.RBACRules{}
	for _, name := range slices.Sorted(maps.Keys(m.GetPolicies())) {
		p, rule := m.GetPolicies()[name], ir.RBACRule{Name: name}
		if p.GetCondition() != nil || p.GetCheckedCondition() != nil {
			return nil, fmt.Errorf("rule %s has a condition in CEL", name)
		}
		for _, to := range p.GetPermissions() {
			a, err := read(nodeOfPermission, to)
			if err != nil {
				return nil, fmt.Errorf("rule %s: %w", name, err)
			}
			rule.To = append(rule.To, a)
		}
		for _, from := range p.GetPrincipals() {
			a, err := read(nodeOfPrincipal, from)
			if err != nil {
				return nil, fmt.Errorf("rule %s: %w", name, err)
			}
			rule.From = append(rule.From, a)
		}
		out = append(out, rule)
	}
	return &out, nil
}

// node is one of Envoy's two kinds of trees of conditions, taken apart: one of its fields is set.
type node[N any] struct {
	any     bool
	not     *N
	and, or []*N
	asked   ir.RBACCondition
}

// read gives the alternative that a tree stands for.
func read[N any](of func(*N) (node[N], error), tree *N) (ir.RBACAlternative, error) {
	n, err := of(tree)
	if err != nil {
		return nil, err
	}
	all := []*N{tree}
	switch {
	case n.any:
		return nil, nil
	case n.and != nil:
		all = n.and
	}
	var out ir.RBACAlternative
	for _, part := range all {
		c, err := readClause(of, part)
		if err != nil {
			return nil, err
		}
		c.Field = Wants(c)
		out = append(out, c)
	}
	return out, nil
}

func readClause[N any](of func(*N) (node[N], error), tree *N) (out ir.RBACClause, err error) {
	n, err := of(tree)
	if err == nil && n.not != nil {
		out.Not, tree = true, n.not
		n, err = of(tree)
	}
	all := []*N{tree}
	switch {
	case err != nil:
		return out, err
	case n.any: // pilot/envoy writes "not any" for a clause without conditions
		out.Not = !out.Not
		return out, nil
	case n.not != nil: // twice, which pilot/envoy writes where a list without conditions is inverted
		inner, err := of(n.not)
		if err == nil && inner.any {
			return out, nil
		}
		out.Not, all = false, []*N{n.not}
	case n.or != nil:
		all = n.or
	}
	for _, part := range all {
		c, err := readCondition(of, part)
		if err != nil {
			return out, err
		}
		out.AnyOf = append(out.AnyOf, c)
	}
	return out, nil
}

func readCondition[N any](of func(*N) (node[N], error), tree *N) (ir.RBACCondition, error) {
	n, err := of(tree)
	switch {
	case err != nil:
		return nil, err
	case n.asked != nil:
		return n.asked, nil
	case n.any:
		return ir.Together{}, nil
	case n.and == nil:
		return nil, fmt.Errorf("it has conditions that are nested deeper than those of policies")
	}
	out := ir.Together{}
	for _, part := range n.and {
		c, err := readCondition(of, part)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

func nodeOfPermission(p *rbac.Permission) (n node[rbac.Permission], err error) {
	switch r := p.GetRule().(type) {
	case *rbac.Permission_Any:
		n.any = r.Any
	case *rbac.Permission_NotRule:
		n.not = r.NotRule
	case *rbac.Permission_AndRules:
		n.and = r.AndRules.GetRules()
	case *rbac.Permission_OrRules:
		n.or = r.OrRules.GetRules()
	case *rbac.Permission_Header:
		n.asked, err = headerOf(r.Header)
	case *rbac.Permission_UrlPath:
		n.asked = ir.RequestPath{Path: textOf(r.UrlPath.GetPath())}
	case *rbac.Permission_DestinationIp:
		n.asked, err = addressOf(r.DestinationIp, func(p netip.Prefix) ir.RBACCondition { return ir.LocalAddress{Prefix: p} })
	case *rbac.Permission_DestinationPort:
		n.asked = ir.LocalPort{Port: r.DestinationPort}
	case *rbac.Permission_RequestedServerName:
		n.asked = ir.ServerName{Name: textOf(r.RequestedServerName)}
	case *rbac.Permission_SourcedMetadata:
		n.asked, err = metadataOf(r.SourcedMetadata.GetMetadataMatcher())
	default:
		err = fmt.Errorf("it asks for what is not known here (%T)", r)
	}
	return n, err
}

func nodeOfPrincipal(p *rbac.Principal) (n node[rbac.Principal], err error) {
	switch r := p.GetIdentifier().(type) {
	case *rbac.Principal_Any:
		n.any = r.Any
	case *rbac.Principal_NotId:
		n.not = r.NotId
	case *rbac.Principal_AndIds:
		n.and = r.AndIds.GetIds()
	case *rbac.Principal_OrIds:
		n.or = r.OrIds.GetIds()
	case *rbac.Principal_Authenticated_:
		if r.Authenticated.GetPrincipalName() == nil {
			return n, fmt.Errorf("it asks for any certificate, which is not known here")
		}
		n.asked = ir.PeerIdentity{Name: textOf(r.Authenticated.GetPrincipalName())}
	case *rbac.Principal_DirectRemoteIp:
		n.asked, err = addressOf(r.DirectRemoteIp, func(p netip.Prefix) ir.RBACCondition { return ir.PeerAddress{Prefix: p} })
	case *rbac.Principal_RemoteIp:
		n.asked, err = addressOf(r.RemoteIp, func(p netip.Prefix) ir.RBACCondition { return ir.ClientAddress{Prefix: p} })
	case *rbac.Principal_Header:
		n.asked, err = headerOf(r.Header)
	case *rbac.Principal_SourcedMetadata:
		n.asked, err = metadataOf(r.SourcedMetadata.GetMetadataMatcher())
	default:
		err = fmt.Errorf("it asks for what is not known here (%T)", r)
	}
	return n, err
}

func addressOf(r *core.CidrRange, condition func(netip.Prefix) ir.RBACCondition) (ir.RBACCondition, error) {
	a, err := netip.ParseAddr(r.GetAddressPrefix())
	if err != nil {
		return nil, err
	}
	return condition(netip.PrefixFrom(a, int(r.GetPrefixLen().GetValue()))), nil
}

func headerOf(h *routev3.HeaderMatcher) (ir.RBACCondition, error) {
	out := ir.RequestHeader{HeaderMatch: ir.HeaderMatch{Name: h.GetName()}}
	switch s := h.GetHeaderMatchSpecifier().(type) {
	case *routev3.HeaderMatcher_StringMatch:
		out.Value = textOf(s.StringMatch)
	case *routev3.HeaderMatcher_PresentMatch:
		if !s.PresentMatch {
			return nil, fmt.Errorf("it asks that header %s is missing", h.GetName())
		}
	default:
		return nil, fmt.Errorf("it asks for header %s by what is not known here (%T)", h.GetName(), s)
	}
	if h.GetInvertMatch() {
		return nil, fmt.Errorf("it inverts header %s by itself", h.GetName())
	}
	return out, nil
}

// textOf gives a match of a text. One without a pattern has to hold for any.
func textOf(m *matcher.StringMatcher) ir.StringMatch {
	out := ir.StringMatch{IgnoreCase: m.GetIgnoreCase()}
	switch p := m.GetMatchPattern().(type) {
	case *matcher.StringMatcher_Exact:
		out.Kind, out.Value = ir.MatchExact, p.Exact
	case *matcher.StringMatcher_Prefix:
		out.Kind, out.Value = ir.MatchPrefix, p.Prefix
	case *matcher.StringMatcher_Suffix:
		out.Kind, out.Value = ir.MatchSuffix, p.Suffix
	case *matcher.StringMatcher_SafeRegex:
		out.Kind, out.Value = ir.MatchRegex, p.SafeRegex.GetRegex()
	case *matcher.StringMatcher_Contains:
		out.Kind, out.Value = ir.MatchRegex, ".*\\Q"+p.Contains+"\\E.*"
	}
	return out
}

func metadataOf(m *matcher.MetadataMatcher) (ir.RBACCondition, error) {
	out := ir.RequestMetadata{Filter: m.GetFilter()}
	for _, s := range m.GetPath() {
		out.Path = append(out.Path, s.GetKey())
	}
	values := []*matcher.ValueMatcher{m.GetValue()}
	if or := m.GetValue().GetOrMatch(); or != nil {
		values = or.GetValueMatchers()
	}
	for _, v := range values {
		switch p := v.GetMatchPattern().(type) {
		case *matcher.ValueMatcher_StringMatch:
			out.Value = textOf(p.StringMatch)
		case *matcher.ValueMatcher_ListMatch:
			out.List, out.Value = true, textOf(p.ListMatch.GetOneOf().GetStringMatch())
		case *matcher.ValueMatcher_PresentMatch:
		default:
			return nil, fmt.Errorf("it asks for metadata of %s by what is not known here (%T)", m.GetFilter(), p)
		}
	}
	if m.GetInvert() {
		return nil, fmt.Errorf("it inverts metadata of %s by itself", m.GetFilter())
	}
	out.OnlyList = out.List && len(values) == 1
	out.List = out.List && !out.OnlyList
	return out, nil
}

// ReadTokens gives the check of tokens that Envoy runs, as far as it decides about requests.
func ReadTokens(m *jwt.JwtAuthentication) *ir.TokenCheck {
	out := &ir.TokenCheck{}
	for _, name := range slices.Sorted(maps.Keys(m.GetProviders())) {
		p := m.GetProviders()[name]
		out.Reroute = out.Reroute || p.GetClearRouteCache()
		var headers []ir.TokenHeader
		for _, h := range p.GetFromHeaders() {
			headers = append(headers, ir.TokenHeader{Name: h.GetName(), Prefix: h.GetValuePrefix()})
		}
		out.Providers = append(out.Providers, ir.TokenProvider{
			FromHeaders: headers, FromParams: p.GetFromParams(), FromCookies: p.GetFromCookies(),
			Name: name, Issuer: p.GetIssuer(), Audiences: p.GetAudiences(), Forward: p.GetForward(), Metadata: p.GetPayloadInMetadata(),
			SpaceDelimited: p.GetNormalizePayloadInMetadata().GetSpaceDelimitedClaims(),
		})
	}
	out.Lenient = slices.ContainsFunc(m.GetRules(), func(r *jwt.RequirementRule) bool {
		return slices.ContainsFunc(r.GetRequires().GetRequiresAny().GetRequirements(), func(q *jwt.JwtRequirement) bool {
			return q.GetAllowMissingOrFailed() != nil
		})
	})
	return out
}
