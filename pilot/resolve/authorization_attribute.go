package resolve

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// attribute is something of a request or connection that rules ask for.
type attribute struct {
	http bool // connections do not have it
	// translate gives the conditions of which one has to hold for a value.
	translate func(t *ruleTranslator, value string) ([]ir.RBACCondition, error)
}

var (
	errMissing  = errors.New("is missing")
	errHTTPOnly = errors.New("is known of HTTP requests only")
	errEmpty    = errors.New("is empty")
)

// The attributes of rules, by the names of the lists. None has a state.
var (
	principals        = attribute{translate: translatePrincipal}
	namespaces        = identity(namespacePattern)
	serviceAccounts   = identity(serviceAccountPattern)
	trustDomainNames  = attribute{translate: translateTrustDomain}
	peerAddresses     = prefix(func(p netip.Prefix) ir.RBACCondition { return ir.PeerAddress{Prefix: p} })
	clientAddresses   = prefix(func(p netip.Prefix) ir.RBACCondition { return ir.ClientAddress{Prefix: p} })
	localAddresses    = prefix(func(p netip.Prefix) ir.RBACCondition { return ir.LocalAddress{Prefix: p} })
	localPorts        = attribute{translate: translatePort}
	serverNames       = one(false, func(v string) ir.RBACCondition { return ir.ServerName{Name: textMatch(v)} })
	requestPrincipals = attribute{http: true, translate: translateRequestPrincipal}
	hosts             = one(true, hostCondition)
	methods           = one(true, func(v string) ir.RBACCondition { return headerCondition(":method", v) })
	paths             = attribute{http: true, translate: translatePath}
)

// one is an attribute each value of which, if it is not empty, is one condition.
func one(http bool, condition func(value string) ir.RBACCondition) attribute {
	return attribute{http, func(_ *ruleTranslator, v string) ([]ir.RBACCondition, error) {
		if v == "" {
			return nil, errEmpty
		}
		return []ir.RBACCondition{condition(v)}, nil
	}}
}

// keyed are the attributes that keys of conditions name.
var keyed = map[string]attribute{
	"source.ip": peerAddresses, "remote.ip": clientAddresses, "source.namespace": namespaces, "source.serviceAccount": serviceAccounts,
	"source.principal": principals, "source.trustDomain": trustDomainNames, "request.auth.principal": requestPrincipals,
	"request.auth.audiences": claim("aud"), "request.auth.presenter": claim("azp"),
	"destination.ip": localAddresses, "destination.port": localPorts, "connection.sni": serverNames,
}

// keyedAttribute gives the attribute that a condition's key names, and whether it is one of the
// destination.
func keyedAttribute(key string) (_ attribute, ofTarget bool, _ error) {
	if a, ok := keyed[key]; ok {
		return a, strings.HasPrefix(key, "destination.") || key == "connection.sni", nil
	}
	if name, names, ok := model.BracketedKey(key); ok {
		switch {
		case name == "request.headers" && len(names) == 1 && headerName(names[0]):
			return one(true, func(v string) ir.RBACCondition { return headerCondition(names[0], v) }), false, nil
		case name == "request.auth.claims":
			return claim(names...), false, nil
		case strings.HasPrefix(name, "experimental.envoy.filters.") && len(names) == 1:
			return filterMetadata(strings.TrimPrefix(name, "experimental."), names[0]), true, nil
		}
	}
	return attribute{}, false, fmt.Errorf("%q is no key of Istio's reference of authorization conditions", key)
}

// textMatch reads the form that most values have: exact, prefix*, *suffix, or * for any that is not empty.
func textMatch(v string) ir.StringMatch {
	if v == "*" {
		return anyText
	}
	if suffix, ok := strings.CutPrefix(v, "*"); ok {
		return ir.StringMatch{Kind: ir.MatchSuffix, Value: suffix}
	}
	if prefix, ok := strings.CutSuffix(v, "*"); ok {
		return ir.StringMatch{Kind: ir.MatchPrefix, Value: prefix}
	}
	return exactText(v)
}

var anyText = ir.StringMatch{Kind: ir.MatchRegex, Value: ".+"}

func exactText(v string) ir.StringMatch { return ir.StringMatch{Kind: ir.MatchExact, Value: v} }

func headerCondition(name, v string) ir.RBACCondition {
	m := textMatch(v)
	if m == anyText {
		m = ir.StringMatch{} // presence, also of an empty one
	}
	return ir.RequestHeader{HeaderMatch: ir.HeaderMatch{Name: name, Value: m}}
}

// hostCondition does not regard case, which means nothing in names (RFC 4343).
func hostCondition(v string) ir.RBACCondition {
	h := headerCondition(":authority", v).(ir.RequestHeader)
	h.Value.IgnoreCase = h.Value.Kind != ir.MatchPresent
	return h
}

// spiffe is what a peer's identity begins with and principals are written without.
const spiffe = "spiffe://"

func translatePrincipal(t *ruleTranslator, v string) ([]ir.RBACCondition, error) {
	if v == "" {
		return nil, errEmpty
	}
	var out []ir.RBACCondition
	for _, p := range expandPrincipals(v, t.domains) {
		m := textMatch(p)
		switch m.Kind {
		case ir.MatchSuffix: // a suffix of what comes after the scheme
			m = ir.StringMatch{Kind: ir.MatchRegex, Value: spiffe + ".*" + regexp.QuoteMeta(m.Value)}
		case ir.MatchExact, ir.MatchPrefix:
			m.Value = spiffe + m.Value
		}
		out = append(out, ir.PeerIdentity{Name: m})
	}
	return out, nil
}

// identity matches a pattern for the whole identity of a peer.
func identity(pattern func(t *ruleTranslator, v string) (string, error)) attribute {
	return attribute{translate: func(t *ruleTranslator, v string) ([]ir.RBACCondition, error) {
		if v == "" {
			return nil, errEmpty
		}
		p, err := pattern(t, v)
		if err != nil {
			return nil, err
		}
		return []ir.RBACCondition{ir.PeerIdentity{Name: ir.StringMatch{Kind: ir.MatchRegex, Value: p}}}, nil
	}}
}

// segment is a pattern for one part of an identity, in which "*" stands for any run of characters.
func segment(v string) string {
	return strings.ReplaceAll(regexp.QuoteMeta(v), `\*`, "[^/]*")
}

func namespacePattern(_ *ruleTranslator, v string) (string, error) {
	return spiffe + ".*/ns/" + segment(v) + "/.*", nil
}

// serviceAccountPattern reads namespace/name, or a name in the policy's own namespace. Further pairs of an
// identity may stand before and after the account's.
func serviceAccountPattern(t *ruleTranslator, v string) (string, error) {
	namespace, account, ok := strings.Cut(v, "/")
	if !ok {
		namespace, account = t.namespace, v
	}
	if namespace == "" || account == "" || strings.ContainsAny(v, "*") || strings.Contains(account, "/") {
		return "", fmt.Errorf("%q is no service account", v)
	}
	return spiffe + ".+/ns/" + regexp.QuoteMeta(namespace) + "/(.+/)?sa/" + regexp.QuoteMeta(account) + "(/.+)?", nil
}

// translateTrustDomain gives, for a trust domain of the mesh, all of the mesh's.
func translateTrustDomain(t *ruleTranslator, v string) ([]ir.RBACCondition, error) {
	if v == "" {
		return nil, errEmpty
	}
	domains := []string{v}
	if slices.Contains(t.domains, v) {
		domains = t.domains
	}
	var out []ir.RBACCondition
	for _, d := range domains {
		pattern := segment(d)
		if d == "*" {
			pattern = "[^/]+"
		}
		out = append(out, ir.PeerIdentity{Name: ir.StringMatch{Kind: ir.MatchRegex, Value: spiffe + pattern + "/.*"}})
	}
	return out, nil
}

// prefix is an attribute of addresses, written as address or CIDR.
func prefix(condition func(netip.Prefix) ir.RBACCondition) attribute {
	return attribute{translate: func(_ *ruleTranslator, v string) ([]ir.RBACCondition, error) {
		p, err := model.ParseAddressBlock(v)
		if err != nil {
			return nil, err
		}
		return []ir.RBACCondition{condition(p)}, nil
	}}
}

func translatePort(_ *ruleTranslator, v string) ([]ir.RBACCondition, error) {
	n, err := strconv.ParseUint(v, 10, 16)
	if err != nil || n == 0 {
		return nil, fmt.Errorf("%q is no port", v)
	}
	return []ir.RBACCondition{ir.LocalPort{Port: uint32(n)}}, nil
}

// translatePath reads the usual form, or a template.
func translatePath(_ *ruleTranslator, v string) ([]ir.RBACCondition, error) {
	switch {
	case v == "":
		return nil, errEmpty
	case !strings.ContainsAny(v, "{}"):
		return []ir.RBACCondition{ir.RequestPath{Path: textMatch(v)}}, nil
	}
	pattern, err := model.PathTemplate(v)
	if err != nil {
		return nil, err
	}
	return []ir.RBACCondition{ir.RequestPath{Path: ir.StringMatch{Kind: ir.MatchRegex, Value: pattern}}}, nil
}
