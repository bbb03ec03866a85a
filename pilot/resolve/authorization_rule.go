package resolve

import (
	"fmt"
	"strings"

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

// constraint is the values of one attribute, of which one has to hold and of which none may, in the lists FIELD and
// notFIELD.
type constraint struct {
	field    string
	any, not []string
	attribute
}

// alternative translates lists that have to hold together. Without any value something is missing.
func (t *ruleTranslator) alternative(path string, all ...constraint) ir.RBACAlternative {
	var out ir.RBACAlternative
	empty := true
	for _, v := range all {
		if len(v.any) > 0 {
			empty, out = false, t.clause(out, path+v.field, v.any, false, v.attribute)
		}
		if len(v.not) > 0 {
			empty, out = false, t.clause(out, path+"not"+strings.ToUpper(v.field[:1])+v.field[1:], v.not, true, v.attribute)
		}
	}
	if empty {
		t.cannot(path, errMissing)
	}
	return out
}

// clause adds a list to others, as a whole or not at all: with a value less it would match less, or, if it
// is inverted, more.
func (t *ruleTranslator) clause(to ir.RBACAlternative, field string, values []string, not bool, a attribute) ir.RBACAlternative {
	if a.http && t.tcp {
		t.cannot(field, errHTTPOnly)
		return to
	}
	out := ir.RBACClause{Field: field, Not: not}
	for _, v := range values {
		conditions, err := a.translate(t, v)
		if err != nil {
			t.cannot(field, err)
			return to
		}
		out.AnyOf = append(out.AnyOf, conditions...)
	}
	return append(to, out)
}

func (t *ruleTranslator) source(path string, s *security.Source) ir.RBACAlternative {
	return t.alternative(
		path,
		constraint{"principals", s.GetPrincipals(), s.GetNotPrincipals(), principals},
		constraint{"requestPrincipals", s.GetRequestPrincipals(), s.GetNotRequestPrincipals(), requestPrincipals},
		constraint{"serviceAccounts", s.GetServiceAccounts(), s.GetNotServiceAccounts(), serviceAccounts},
		constraint{"namespaces", s.GetNamespaces(), s.GetNotNamespaces(), namespaces},
		constraint{"trustDomains", s.GetTrustDomains(), s.GetNotTrustDomains(), trustDomainNames},
		constraint{"ipBlocks", s.GetIpBlocks(), s.GetNotIpBlocks(), peerAddresses},
		constraint{"remoteIpBlocks", s.GetRemoteIpBlocks(), s.GetNotRemoteIpBlocks(), clientAddresses},
	)
}

func (t *ruleTranslator) operation(path string, o *security.Operation) ir.RBACAlternative {
	return t.alternative(
		path,
		constraint{"hosts", o.GetHosts(), o.GetNotHosts(), hosts},
		constraint{"ports", o.GetPorts(), o.GetNotPorts(), localPorts},
		constraint{"methods", o.GetMethods(), o.GetNotMethods(), methods},
		constraint{"paths", o.GetPaths(), o.GetNotPaths(), paths},
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
		clauses := t.alternative(path, constraint{"values", c.GetValues(), c.GetNotValues(), a})
		if ofTarget {
			to = append(to, clauses...)
		} else {
			from = append(from, clauses...)
		}
	}
	return to, from
}
