package resolve

import (
	"strings"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/proto/httpfilter"
)

// jwtPayload is where the filter that checks tokens notes the claims of the one that it found valid.
const jwtPayload = ir.TokenPayload

// claim is an attribute of a valid token, under a path of names. Its value is a text or a list of texts.
func claim(names ...string) attribute {
	return one(true, func(v string) ir.RBACCondition { return claimCondition(textMatch(v), true, names...) })
}

func claimCondition(value ir.StringMatch, list bool, names ...string) ir.RBACCondition {
	return ir.RequestMetadata{Filter: httpfilter.JWT, Path: append([]string{jwtPayload}, names...), Value: value, List: list}
}

// translateRequestPrincipal reads issuer/subject. The last slash divides them, since issuers are mostly
// URLs; those of a scheme do not.
func translateRequestPrincipal(_ *ruleTranslator, v string) ([]ir.RBACCondition, error) {
	if v == "" {
		return nil, errEmpty
	}
	issuer, subject := v, ""
	at := strings.LastIndexByte(v, '/')
	divided := at >= 0 && !(at > 0 && v[at-1] == '/')
	if divided {
		issuer, subject = v[:at], v[at+1:]
	}
	matchIssuer, matchSubject := exactText(issuer), exactText(subject)
	switch {
	case v == "*":
		matchIssuer, matchSubject = anyText, anyText
	case strings.HasPrefix(v, "*") && divided:
		matchIssuer = textMatch(issuer)
	case strings.HasPrefix(v, "*"):
		matchIssuer, matchSubject = anyText, textMatch(v)
	case strings.HasSuffix(v, "*") && divided:
		matchSubject = textMatch(subject)
	case strings.HasSuffix(v, "*"):
		matchIssuer, matchSubject = textMatch(v), anyText
	}
	return []ir.RBACCondition{ir.Together{
		claimCondition(matchIssuer, false, "iss"), claimCondition(matchSubject, false, "sub"),
	}}, nil
}

// filterMetadata is what a filter of Envoy noted under a name. A value in brackets asks for a list that
// has it.
func filterMetadata(filter, name string) attribute {
	return one(false, func(v string) ir.RBACCondition {
		out := ir.RequestMetadata{Filter: filter, Path: []string{name}, Value: textMatch(v)}
		if inner, ok := strings.CutPrefix(v, "["); ok && strings.HasSuffix(inner, "]") {
			out.OnlyList, out.Value = true, textMatch(strings.TrimSuffix(inner, "]"))
		}
		return out
	})
}
