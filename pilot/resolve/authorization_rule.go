package resolve

import (
	"fmt"

	security "istio.io/api/security/v1beta1"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// ruleTranslator turns rules of policies into those of Envoy. What it cannot translate never lets more
// pass: it voids the rule that allows, and of another it drops what narrows it.
type ruleTranslator struct {
	domains []string // trust domains of the mesh
	tcp     bool     // for connections, of which nothing of HTTP is known
	narrow  bool     // the rules allow
	// untranslated is told of each list that could not be translated; nil for nobody.
	untranslated func(field string, why error)

	namespace string // of the policy
	void      bool   // of the rule: it allows nothing
}

// policy translates all rules of an object. One without rules matches nothing, and of an allowing kind
// it lets nobody in.
func (t ruleTranslator) policy(o *model.Object) []ir.RBACRule {
	rules := o.Spec.(*security.AuthorizationPolicy).GetRules()
	if len(rules) == 0 {
		never := []ir.RBACAlternative{{{}}}
		return []ir.RBACRule{{Name: ruleName(o, 0), To: never, From: never}}
	}
	var out []ir.RBACRule
	for i, rule := range rules {
		t.namespace, t.void = o.Namespace, false
		translated := t.rule(rule)
		if !t.void {
			translated.Name = ruleName(o, i)
			out = append(out, translated)
		}
	}
	return out
}

func (t *ruleTranslator) rule(rule *security.Rule) ir.RBACRule {
	if rule == nil {
		t.cannot("", errMissing)
	}
	whenTo, whenFrom := t.when(rule.GetWhen())
	out := ir.RBACRule{To: []ir.RBACAlternative{whenTo}, From: []ir.RBACAlternative{whenFrom}}
	if len(rule.GetFrom()) > 0 {
		out.From = nil
	}
	for i, from := range rule.GetFrom() {
		out.From = append(out.From, append(t.source(fmt.Sprintf("from[%d].source.", i), from.GetSource()), whenFrom...))
	}
	if len(rule.GetTo()) > 0 {
		out.To = nil
	}
	for i, to := range rule.GetTo() {
		out.To = append(out.To, append(t.operation(fmt.Sprintf("to[%d].operation.", i), to.GetOperation()), whenTo...))
	}
	return out
}

// cannot notes something that is not translated.
func (t *ruleTranslator) cannot(field string, why error) {
	t.void = t.void || t.narrow
	if t.untranslated != nil {
		t.untranslated(field, why)
	}
}

// list is the values of one attribute and where they are written.
type list struct {
	field  string
	values []string
	not    bool
	attribute
}

// alternative translates lists that have to hold together. Without any value something is missing.
func (t *ruleTranslator) alternative(path string, lists ...list) ir.RBACAlternative {
	var out ir.RBACAlternative
	empty := true
	for _, l := range lists {
		if len(l.values) == 0 {
			continue
		}
		empty = false
		l.field = path + l.field
		if clause, ok := t.clause(l); ok {
			out = append(out, clause)
		}
	}
	if empty {
		t.cannot(path, errMissing)
	}
	return out
}

// clause translates one list, as a whole or not at all: with a value less it would match less, or, if it
// is inverted, more.
func (t *ruleTranslator) clause(l list) (ir.RBACClause, bool) {
	out := ir.RBACClause{Field: l.field, Not: l.not}
	if l.http && t.tcp {
		t.cannot(l.field, errHTTPOnly)
		return out, false
	}
	for _, v := range l.values {
		conditions, err := l.translate(t, v)
		if err != nil {
			t.cannot(l.field, err)
			return out, false
		}
		out.AnyOf = append(out.AnyOf, conditions...)
	}
	return out, true
}

func (t *ruleTranslator) source(path string, s *security.Source) ir.RBACAlternative {
	return t.alternative(
		path,
		list{"principals", s.GetPrincipals(), false, principals},
		list{"notPrincipals", s.GetNotPrincipals(), true, principals},
		list{"requestPrincipals", s.GetRequestPrincipals(), false, requestPrincipals},
		list{"notRequestPrincipals", s.GetNotRequestPrincipals(), true, requestPrincipals},
		list{"serviceAccounts", s.GetServiceAccounts(), false, serviceAccounts},
		list{"notServiceAccounts", s.GetNotServiceAccounts(), true, serviceAccounts},
		list{"namespaces", s.GetNamespaces(), false, namespaces},
		list{"notNamespaces", s.GetNotNamespaces(), true, namespaces},
		list{"trustDomains", s.GetTrustDomains(), false, trustDomainNames},
		list{"notTrustDomains", s.GetNotTrustDomains(), true, trustDomainNames},
		list{"ipBlocks", s.GetIpBlocks(), false, peerAddresses},
		list{"notIpBlocks", s.GetNotIpBlocks(), true, peerAddresses},
		list{"remoteIpBlocks", s.GetRemoteIpBlocks(), false, clientAddresses},
		list{"notRemoteIpBlocks", s.GetNotRemoteIpBlocks(), true, clientAddresses},
	)
}

func (t *ruleTranslator) operation(path string, o *security.Operation) ir.RBACAlternative {
	return t.alternative(
		path,
		list{"hosts", o.GetHosts(), false, hosts},
		list{"notHosts", o.GetNotHosts(), true, hosts},
		list{"ports", o.GetPorts(), false, localPorts},
		list{"notPorts", o.GetNotPorts(), true, localPorts},
		list{"methods", o.GetMethods(), false, methods},
		list{"notMethods", o.GetNotMethods(), true, methods},
		list{"paths", o.GetPaths(), false, paths},
		list{"notPaths", o.GetNotPaths(), true, paths},
	)
}

// when translates the conditions of a rule, of which Envoy asks some of the destination and others of the
// source.
func (t *ruleTranslator) when(conditions []*security.Condition) (to, from ir.RBACAlternative) {
	for i, c := range conditions {
		path := fmt.Sprintf("when[%d].", i)
		a, ofTarget, err := keyedAttribute(c.GetKey())
		if err != nil {
			t.cannot(path+"key", err)
			continue
		}
		clauses := t.alternative(path, list{"values", c.GetValues(), false, a}, list{"notValues", c.GetNotValues(), true, a})
		if ofTarget {
			to = append(to, clauses...)
		} else {
			from = append(from, clauses...)
		}
	}
	return to, from
}
