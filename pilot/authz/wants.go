package authz

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/proto/httpfilter"
)

// wantsShown is how many conditions of a clause are named.
const wantsShown = 5

// Wants says what a clause asks for, in the words of a policy.
func Wants(c ir.RBACClause) string {
	if len(c.AnyOf) == 0 {
		return map[bool]string{true: "anything", false: "nothing that there is"}[c.Not]
	}
	var all []string
	for i, k := range c.AnyOf {
		if i == wantsShown {
			all = append(all, fmt.Sprintf("%d more", len(c.AnyOf)-i))
			break
		}
		all = append(all, condition(k))
	}
	if c.Not {
		return "not " + strings.Join(all, ", nor ")
	}
	return strings.Join(all, " or ")
}

func condition(c ir.RBACCondition) string {
	switch k := c.(type) {
	case ir.Together:
		var all []string
		for _, part := range k {
			all = append(all, condition(part))
		}
		return strings.Join(all, " and ")
	case ir.PeerIdentity:
		return Identity(k.Name)
	case ir.PeerAddress:
		return "source address " + k.Prefix.String()
	case ir.ClientAddress:
		return "client address " + k.Prefix.String()
	case ir.LocalAddress:
		return "destination address " + k.Prefix.String()
	case ir.LocalPort:
		return fmt.Sprintf("port %d", k.Port)
	case ir.ServerName:
		return "SNI " + text(k.Name)
	case ir.RequestPath:
		return "path " + text(k.Path)
	case ir.RequestHeader:
		switch k.Name {
		case ":method":
			return "method " + text(k.Value)
		case ":authority":
			return "host " + text(k.Value)
		}
		if k.Value.Kind == ir.MatchPresent {
			return "header " + k.Name
		}
		return "header " + k.Name + ": " + text(k.Value)
	case ir.RequestMetadata:
		if k.Filter != httpfilter.JWT {
			return "metadata of " + k.Filter
		}
		return "claim " + strings.Join(k.Path[min(1, len(k.Path)):], ".") + ": " + text(k.Value)
	}
	return "what is not known here"
}

// text writes a match as policies do.
func text(m ir.StringMatch) string {
	switch m.Kind {
	case ir.MatchPrefix:
		return m.Value + "*"
	case ir.MatchSuffix:
		return "*" + m.Value
	case ir.MatchExact:
		return m.Value
	case ir.MatchRegex:
		if m.Value != ".+" && m.Value != ".*" {
			return "regex " + m.Value
		}
	}
	return "any"
}

// Patterns of pilot/resolve for a part of an identity.
var (
	ofNamespace   = regexp.MustCompile(`^spiffe://\.\*/ns/(.+)/\.\*$`)
	ofAccount     = regexp.MustCompile(`^spiffe://\.\+/ns/(.+)/\(\.\+/\)\?sa/(.+)\(/\.\+\)\?$`)
	ofTrustDomain = regexp.MustCompile(`^spiffe://(.+)/\.\*$`)
	unquoted      = strings.NewReplacer("[^/]*", "*", "[^/]+", "*", `\`, "")
)

// scheme begins every identity, and is left out where users read it.
const scheme = "spiffe://"

// Identity says a match of identities in the words of a policy.
func Identity(m ir.StringMatch) string {
	if m.Kind == ir.MatchRegex {
		if found := ofNamespace.FindStringSubmatch(m.Value); found != nil {
			return "namespace " + unquoted.Replace(found[1])
		}
		if found := ofAccount.FindStringSubmatch(m.Value); found != nil {
			return "service account " + unquoted.Replace(found[1]) + "/" + unquoted.Replace(found[2])
		}
		if found := ofTrustDomain.FindStringSubmatch(m.Value); found != nil {
			return "trust domain " + unquoted.Replace(found[1])
		}
	}
	m.Value = strings.TrimPrefix(m.Value, scheme)
	if said := text(m); said != "any" {
		return "identity " + said
	}
	return "any identity"
}
