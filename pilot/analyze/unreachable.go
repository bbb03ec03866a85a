package analyze

import (
	"fmt"

	"google.golang.org/protobuf/proto"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// repeatedMatches finds rules and matches that an earlier rule takes all requests of.
func repeatedMatches(m *mesh) {
	for _, vs := range of[*networking.VirtualService](m, model.KindVirtualService) {
		var http, tcp, tls []matching
		for _, rule := range vs.spec.GetHttp() {
			r := matching{partly: rule.GetDelegate() != nil}
			for _, match := range rule.GetMatch() {
				match = proto.CloneOf(match)
				match.Name = ""
				r.matches = append(r.matches, match)
			}
			http = append(http, r)
		}
		for _, rule := range vs.spec.GetTcp() {
			tcp = append(tcp, matching{matches: messages(rule.GetMatch())})
		}
		for _, rule := range vs.spec.GetTls() {
			tls = append(tls, matching{matches: messages(rule.GetMatch())})
		}
		m.repeated(vs.Object, "spec.http", http)
		m.repeated(vs.Object, "spec.tcp", tcp)
		m.repeated(vs.Object, "spec.tls", tls)
	}
}

// matching is what a rule goes by.
type matching struct {
	matches []proto.Message // without what does not decide
	partly  bool            // it may leave requests to later rules, as one does that delegates them
}

func messages[M proto.Message](all []M) []proto.Message {
	var out []proto.Message
	for _, match := range all {
		out = append(out, match)
	}
	return out
}

// earlierRules finds the first rule that takes all that a match asks for.
type earlierRules struct {
	same     map[string]int // by the match's content
	prefixes map[string]int // by a prefix of paths that is all that the rule asks for
}

// taking gives that rule, and in words what it takes.
func (e *earlierRules) taking(match proto.Message) (rule int, what string, found bool) {
	if rule, found = e.same[contentOf(match)]; found {
		return rule, "has the same match", true
	}
	path, ok := pathOf(match)
	for n := range len(path) + 1 {
		if rule, found = e.prefixes[path[:n]]; found && ok {
			return rule, fmt.Sprintf("takes all paths that begin with %q", path[:n]), true
		}
	}
	return 0, "", false
}

// note adds a match of a rule.
func (e *earlierRules) note(match proto.Message, rule int) {
	e.same[contentOf(match)] = rule
	http, ok := match.(*networking.HTTPMatchRequest)
	prefix, isPrefix := http.GetUri().GetMatchType().(*networking.StringMatch_Prefix)
	if !ok || !isPrefix || !proto.Equal(http, &networking.HTTPMatchRequest{Uri: http.GetUri()}) {
		return
	}
	if _, known := e.prefixes[prefix.Prefix]; !known {
		e.prefixes[prefix.Prefix] = rule
	}
}

func contentOf(match proto.Message) string {
	content, _ := proto.MarshalOptions{Deterministic: true}.Marshal(match) // the files' text was read into it
	return string(content)
}

// pathOf gives what all paths begin with that a match takes, in upper and lower case as it stands.
func pathOf(match proto.Message) (path string, ok bool) {
	http, isHTTP := match.(*networking.HTTPMatchRequest)
	if !isHTTP || http.GetIgnoreUriCase() {
		return "", false
	}
	switch uri := http.GetUri().GetMatchType().(type) {
	case *networking.StringMatch_Exact:
		return uri.Exact, true
	case *networking.StringMatch_Prefix:
		return uri.Prefix, true
	}
	return "", false
}

// repeated looks at the matches of the rules of one protocol, in order.
func (m *mesh) repeated(vs *model.Object, path string, rules []matching) {
	everything := -1 // the first rule without a match
	earlier := &earlierRules{map[string]int{}, map[string]int{}}
	for i, rule := range rules {
		field := fmt.Sprintf("%s[%d]", path, i)
		if everything >= 0 {
			m.report(vs, field, unreachableRule, Warning, "rule %d before it has no match and takes everything; move that one to the end", everything)
			continue
		}
		if len(rule.matches) == 0 {
			if !rule.partly {
				everything = i
			}
			continue
		}
		m.taken(vs, field, rule, earlier)
		for _, match := range rule.matches {
			if _, _, found := earlier.taking(match); !found && !rule.partly {
				earlier.note(match, i)
			}
		}
	}
}

// taken tells of the matches of a rule that earlier rules take all of.
func (m *mesh) taken(vs *model.Object, field string, rule matching, earlier *earlierRules) {
	type finding struct {
		field, what string
		rule        int
	}
	var all []finding
	for j, match := range rule.matches {
		if by, what, found := earlier.taking(match); found {
			all = append(all, finding{fmt.Sprintf("%s.match[%d]", field, j), what, by})
		}
	}
	switch {
	case len(all) == len(rule.matches) && len(all) == 1:
		m.report(vs, field, unreachableRule, Warning, "rule %d before it %s, so it is never used; remove it, or move it up", all[0].rule, all[0].what)
	case len(all) == len(rule.matches):
		m.report(vs, field, unreachableRule, Warning, "earlier rules take all that its matches ask for, so it is never used; remove it, or move it up")
	default:
		for _, f := range all {
			m.report(vs, f.field, ineffectiveMatch, Info, "rule %d %s, so this one is never used; remove it, or move it up", f.rule, f.what)
		}
	}
}
