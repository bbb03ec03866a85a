package envoy

import (
	"net/netip"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	rbac "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	rbachttp "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	rbacnet "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/rbac/v3"
	matcher "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
)

// filterNetworkRBAC notes which rule matched under its own name, as the filter of HTTP does.
const filterNetworkRBAC = "envoy.filters.network.rbac"

func httpRBAC(f *ir.RBAC) *rbachttp.RBAC {
	return &rbachttp.RBAC{
		Rules: rbacRules(f.Action, f.Rules), ShadowRules: rbacRules(f.Action, f.Shadow), ShadowRulesStatPrefix: f.ShadowPrefix,
	}
}

func networkRBAC(f *ir.RBAC) *rbacnet.RBAC {
	return &rbacnet.RBAC{
		Rules: rbacRules(f.Action, f.Rules), ShadowRules: rbacRules(f.Action, f.Shadow), ShadowRulesStatPrefix: f.ShadowPrefix,
		StatPrefix: "tcp.",
	}
}

// rbacRules gives nil for none.
func rbacRules(action ir.RBACAction, rules *ir.RBACRules) *rbac.RBAC {
	if rules == nil {
		return nil
	}
	out := &rbac.RBAC{Policies: map[string]*rbac.Policy{}}
	switch action {
	case ir.RBACAllow:
		out.Action = rbac.RBAC_ALLOW
	case ir.RBACDeny:
		out.Action = rbac.RBAC_DENY
	case ir.RBACLog:
		out.Action = rbac.RBAC_LOG
	}
	for _, r := range *rules {
		p := &rbac.Policy{}
		for _, to := range r.To {
			p.Permissions = append(p.Permissions, permission(to))
		}
		for _, from := range r.From {
			p.Principals = append(p.Principals, principal(from))
		}
		out.Policies[r.Name] = p
	}
	return out
}

// tree builds one of Envoy's two kinds of trees of conditions.
type tree[N any] struct {
	any     func() *N
	not     func(*N) *N
	and, or func([]*N) *N
	asked   func(ir.RBACCondition) *N // nil for a condition of the other kind
}

func (t *tree[N]) alternative(a ir.RBACAlternative) *N {
	all := make([]*N, 0, len(a))
	for _, c := range a {
		all = append(all, t.clause(c))
	}
	switch len(all) {
	case 0:
		return t.any()
	case 1:
		return all[0]
	}
	return t.and(all)
}

func (t *tree[N]) clause(c ir.RBACClause) *N {
	out := t.not(t.any()) // where there is no condition
	switch nodes := t.conditions(c.AnyOf); len(nodes) {
	case 0:
	case 1:
		out = nodes[0]
	default:
		out = t.or(nodes)
	}
	if c.Not {
		out = t.not(out)
	}
	return out
}

func (t *tree[N]) conditions(conditions []ir.RBACCondition) []*N {
	out := make([]*N, 0, len(conditions))
	for _, c := range conditions {
		if all, ok := c.(ir.Together); ok {
			out = append(out, t.and(t.conditions(all)))
			continue
		}
		n := t.asked(c)
		if n == nil {
			panic(unknownFilter(c))
		}
		out = append(out, n)
	}
	return out
}

func permission(a ir.RBACAlternative) *rbac.Permission {
	return (&tree[rbac.Permission]{
		any: func() *rbac.Permission { return &rbac.Permission{Rule: &rbac.Permission_Any{Any: true}} },
		not: func(p *rbac.Permission) *rbac.Permission {
			return &rbac.Permission{Rule: &rbac.Permission_NotRule{NotRule: p}}
		},
		and: func(all []*rbac.Permission) *rbac.Permission {
			return &rbac.Permission{Rule: &rbac.Permission_AndRules{AndRules: &rbac.Permission_Set{Rules: all}}}
		},
		or: func(all []*rbac.Permission) *rbac.Permission {
			return &rbac.Permission{Rule: &rbac.Permission_OrRules{OrRules: &rbac.Permission_Set{Rules: all}}}
		},
		asked: askedOfDestination,
	}).alternative(a)
}

func askedOfDestination(c ir.RBACCondition) *rbac.Permission {
	switch c := c.(type) {
	case ir.RequestHeader:
		return &rbac.Permission{Rule: &rbac.Permission_Header{Header: headerMatch(c.HeaderMatch)}}
	case ir.RequestPath:
		return &rbac.Permission{Rule: &rbac.Permission_UrlPath{UrlPath: pathMatch(c.Path)}}
	case ir.LocalAddress:
		return &rbac.Permission{Rule: &rbac.Permission_DestinationIp{DestinationIp: cidr(c.Prefix)}}
	case ir.LocalPort:
		return &rbac.Permission{Rule: &rbac.Permission_DestinationPort{DestinationPort: c.Port}}
	case ir.ServerName:
		return &rbac.Permission{Rule: &rbac.Permission_RequestedServerName{RequestedServerName: stringMatch(c.Name)}}
	case ir.RequestMetadata:
		return &rbac.Permission{Rule: &rbac.Permission_SourcedMetadata{SourcedMetadata: &rbac.SourcedMetadata{MetadataMatcher: metadataMatch(c)}}}
	}
	return nil
}

func principal(a ir.RBACAlternative) *rbac.Principal {
	return (&tree[rbac.Principal]{
		any: func() *rbac.Principal { return &rbac.Principal{Identifier: &rbac.Principal_Any{Any: true}} },
		not: func(p *rbac.Principal) *rbac.Principal {
			return &rbac.Principal{Identifier: &rbac.Principal_NotId{NotId: p}}
		},
		and: func(all []*rbac.Principal) *rbac.Principal {
			return &rbac.Principal{Identifier: &rbac.Principal_AndIds{AndIds: &rbac.Principal_Set{Ids: all}}}
		},
		or: func(all []*rbac.Principal) *rbac.Principal {
			return &rbac.Principal{Identifier: &rbac.Principal_OrIds{OrIds: &rbac.Principal_Set{Ids: all}}}
		},
		asked: askedOfSource,
	}).alternative(a)
}

func askedOfSource(c ir.RBACCondition) *rbac.Principal {
	switch c := c.(type) {
	case ir.PeerIdentity:
		return &rbac.Principal{Identifier: &rbac.Principal_Authenticated_{Authenticated: &rbac.Principal_Authenticated{PrincipalName: stringMatch(c.Name)}}}
	case ir.PeerAddress:
		return &rbac.Principal{Identifier: &rbac.Principal_DirectRemoteIp{DirectRemoteIp: cidr(c.Prefix)}}
	case ir.ClientAddress:
		return &rbac.Principal{Identifier: &rbac.Principal_RemoteIp{RemoteIp: cidr(c.Prefix)}}
	case ir.RequestHeader:
		return &rbac.Principal{Identifier: &rbac.Principal_Header{Header: headerMatch(c.HeaderMatch)}}
	case ir.RequestMetadata:
		return &rbac.Principal{Identifier: &rbac.Principal_SourcedMetadata{SourcedMetadata: &rbac.SourcedMetadata{MetadataMatcher: metadataMatch(c)}}}
	}
	return nil
}

func pathMatch(m ir.StringMatch) *matcher.PathMatcher {
	return &matcher.PathMatcher{Rule: &matcher.PathMatcher_Path{Path: stringMatch(m)}}
}

func metadataMatch(m ir.RequestMetadata) *matcher.MetadataMatcher {
	out := &matcher.MetadataMatcher{Filter: m.Filter}
	for _, key := range m.Path {
		out.Path = append(out.Path, &matcher.MetadataMatcher_PathSegment{Segment: &matcher.MetadataMatcher_PathSegment_Key{Key: key}})
	}
	text := &matcher.ValueMatcher{MatchPattern: &matcher.ValueMatcher_StringMatch{StringMatch: stringMatch(m.Value)}}
	in := &matcher.ValueMatcher{MatchPattern: &matcher.ValueMatcher_ListMatch{
		ListMatch: &matcher.ListMatcher{MatchPattern: &matcher.ListMatcher_OneOf{OneOf: text}},
	}}
	switch {
	case m.Value.Kind == ir.MatchPresent:
		out.Value = &matcher.ValueMatcher{MatchPattern: &matcher.ValueMatcher_PresentMatch{PresentMatch: true}}
	case m.OnlyList:
		out.Value = in
	case m.List:
		out.Value = &matcher.ValueMatcher{MatchPattern: &matcher.ValueMatcher_OrMatch{
			OrMatch: &matcher.OrMatcher{ValueMatchers: []*matcher.ValueMatcher{text, in}},
		}}
	default:
		out.Value = text
	}
	return out
}

func cidr(p netip.Prefix) *core.CidrRange {
	return &core.CidrRange{AddressPrefix: p.Addr().String(), PrefixLen: wrapperspb.UInt32(uint32(p.Bits()))}
}
