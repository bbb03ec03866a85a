package envoy

import (
	"strings"

	xdscore "github.com/cncf/xds/go/xds/core/v3"
	xdsmatcher "github.com/cncf/xds/go/xds/type/matcher/v3"
	rbac "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	rbacnet "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/rbac/v3"
	ssl "github.com/envoyproxy/go-control-plane/envoy/extensions/matching/common_inputs/ssl/v3"
	"google.golang.org/protobuf/proto"
	meshconfig "istio.io/api/mesh/v1alpha1"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
)

// TrustBundle gives the message by which node agents learn of roots, which is Istio's ProxyConfig. Trust domains
// with roots of their own, which Istio's agents do not know, are in its metadata: "trust-domain:DOMAIN" has these
// roots in PEM, or nothing where the certificates of the message count. An agent of Istio's trusts none of them, nor
// does one of Pilothouse that has no secret ROOTCA without them: it looked for "spiffe://DOMAIN".
func TrustBundle(b *ir.TrustBundle) *meshconfig.ProxyConfig {
	out := &meshconfig.ProxyConfig{CaCertificatesPem: b.Roots}
	if len(b.Domains) > 0 {
		out.ProxyMetadata = map[string]string{}
	}
	for _, d := range b.Domains {
		out.ProxyMetadata["trust-domain:"+d.Name] = strings.Join(d.Roots, "\n")
	}
	return out
}

// filterOneIdentity names the filter of oneIdentity, under which Envoy notes what it denied.
const filterOneIdentity = "one_identity"

// oneIdentity denies connections whose client has a certificate of several URIs, or one with an identity in the place
// of a DNS name. SPIFFE forbids the former (X.509-SVID, 2), but Envoy's validator goes by the first URI, while its
// match of names, its principals and the header of a client's certificate take every name (spiffe_validator.cc,
// rbac/matchers.cc). So a CA of one trust domain could have its clients pass for those of another.
func oneIdentity() *rbacnet.RBAC {
	return &rbacnet.RBAC{StatPrefix: "tcp.", Matcher: &xdsmatcher.Matcher{
		MatcherType: &xdsmatcher.Matcher_MatcherList_{MatcherList: &xdsmatcher.Matcher_MatcherList{
			Matchers: []*xdsmatcher.Matcher_MatcherList_FieldMatcher{
				denyContaining(&ssl.UriSanInput{}, ","), // which stands between several
				denyContaining(&ssl.DnsSanInput{}, "://"),
			},
		}},
		OnNoMatch: rbacAct(rbac.RBAC_ALLOW),
	}}
}

func denyContaining(input proto.Message, text string) *xdsmatcher.Matcher_MatcherList_FieldMatcher {
	return &xdsmatcher.Matcher_MatcherList_FieldMatcher{
		Predicate: &xdsmatcher.Matcher_MatcherList_Predicate{MatchType: &xdsmatcher.Matcher_MatcherList_Predicate_SinglePredicate_{
			SinglePredicate: &xdsmatcher.Matcher_MatcherList_Predicate_SinglePredicate{
				Input: &xdscore.TypedExtensionConfig{Name: "input", TypedConfig: Any(input)},
				Matcher: &xdsmatcher.Matcher_MatcherList_Predicate_SinglePredicate_ValueMatch{
					ValueMatch: &xdsmatcher.StringMatcher{MatchPattern: &xdsmatcher.StringMatcher_Contains{Contains: text}},
				},
			},
		}},
		OnMatch: rbacAct(rbac.RBAC_DENY),
	}
}

func rbacAct(action rbac.RBAC_Action) *xdsmatcher.Matcher_OnMatch {
	return &xdsmatcher.Matcher_OnMatch{OnMatch: &xdsmatcher.Matcher_OnMatch_Action{Action: &xdscore.TypedExtensionConfig{
		Name: "action", TypedConfig: Any(&rbac.Action{Name: filterOneIdentity, Action: action}),
	}}}
}
