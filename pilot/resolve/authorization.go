package resolve

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	security "istio.io/api/security/v1beta1"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// Authorization is who may call the workload of a class: what its RequestAuthentications and
// AuthorizationPolicies come to. It is part of every filter chain that takes traffic from others.
type Authorization struct {
	// http and tcp are the same policies for requests and for connections.
	http []placedFilter
	tcp  []ir.NetworkFilter
	// denials says how answers name who denied a request, nil where they do not.
	denials *ir.Denials
	// problems are of what is not in effect.
	problems []model.Problem
}

// policiesFor gives those policies for some workloads that mean one: of the root namespace, then of its
// own.
func policiesFor(r Reader, list func(namespace string) []*model.Object, p *model.Proxy, labels map[string]string) []model.Key {
	var out []model.Key
	for _, namespace := range rootAndOwn(r, p.Namespace) {
		for _, o := range list(namespace) {
			if model.PolicyTargetOf(o.Spec).Includes(labels, p.Type == model.RouterProxy, namespace == p.Namespace) {
				out = append(out, o.Key)
			}
		}
	}
	return out
}

// rootAndOwn are the namespaces whose policies and EnvoyFilters may be for a workload of a namespace, each once.
func rootAndOwn(r Reader, own string) []string {
	if root := rootNamespace(r); root != own {
		return []string{root, own}
	}
	return []string{own}
}

// attached gives the policies in force for a class: those for all workloads of its namespaces, and those
// that mean it among some.
func attached(r Reader, c *Class, all func(namespace string) []*model.Object, some []model.Key) []*model.Object {
	var out []*model.Object
	for _, namespace := range rootAndOwn(r, c.Namespace) {
		out = append(out, all(namespace)...)
	}
	for _, key := range some {
		if o := r.Object(key); o != nil {
			out = append(out, o)
		}
	}
	return out
}

// NewAuthorization decides about a class.
func NewAuthorization(r Reader, c *Class) *Authorization {
	out := &Authorization{}
	if c.Settings.NameDenials {
		out.denials = &ir.Denials{Header: deniedBy, NoRule: "no ALLOW policy matched", Noted: customNoted + "shadow_effective_policy_id"}
	}
	byAction := map[security.AuthorizationPolicy_Action][]*model.Object{}
	for _, o := range attached(r, c, r.AuthorizationPolicies, c.AuthorizationPolicies) {
		action := o.Spec.(*security.AuthorizationPolicy).GetAction()
		if !slices.Contains(model.AuthorizationOrder(), action) {
			action = security.AuthorizationPolicy_DENY // of a version to come
		}
		byAction[action] = append(byAction[action], o)
	}
	check, problems := newTokenCheck(r, c)
	if check != nil {
		out.http, out.problems = append(out.http, placedFilter{phaseAuthn, check}), problems
	}
	domains := trustDomains(r)
	for _, action := range model.AuthorizationOrder() {
		policies := byAction[action]
		switch {
		case len(policies) == 0:
		case action == security.AuthorizationPolicy_CUSTOM:
			out.ask(r, c, policies, domains)
		default:
			out.http = append(out.http, placedFilter{actions[action].phase, rbacOf(policies, action, ruleTranslator{domains: domains})})
			out.tcp = append(out.tcp, rbacOf(policies, action, ruleTranslator{domains: domains, tcp: true}))
		}
	}
	return out
}

// deniedBy is the header in which answers name who denied a request.
const deniedBy = "x-denied-by"

// Prefixes of what policies on trial count and note, which dashboards and istioctl read.
const (
	trialAllow = "istio_dry_run_allow_"
	trialDeny  = "istio_dry_run_deny_"
)

// rbacOf puts the policies of an action together.
func rbacOf(policies []*model.Object, action security.AuthorizationPolicy_Action, t ruleTranslator) *ir.RBAC {
	out := &ir.RBAC{Action: actions[action].action}
	t.narrow = action == security.AuthorizationPolicy_ALLOW
	for _, o := range policies {
		rules := &out.Rules
		if model.DryRun(o) {
			rules = &out.Shadow
		}
		if *rules == nil {
			*rules = &ir.RBACRules{}
		}
		**rules = append(**rules, t.policy(o)...)
	}
	if out.Shadow != nil {
		switch out.Action {
		case ir.RBACAllow:
			out.ShadowPrefix = trialAllow
		case ir.RBACDeny:
			out.ShadowPrefix = trialDeny
		}
	}
	for _, rules := range []*ir.RBACRules{out.Rules, out.Shadow} {
		if rules != nil {
			slices.SortFunc(*rules, func(a, b ir.RBACRule) int { return cmp.Compare(a.Name, b.Name) })
		}
	}
	return out
}

// actions tell for each action of policies where its filter stands, and what that does.
var actions = map[security.AuthorizationPolicy_Action]struct {
	phase  httpPhase
	action ir.RBACAction
}{
	security.AuthorizationPolicy_CUSTOM: {phaseCustomAuthz, ir.RBACDeny}, // where the provider cannot be asked
	security.AuthorizationPolicy_AUDIT:  {phaseAudit, ir.RBACLog},
	security.AuthorizationPolicy_DENY:   {phaseDeny, ir.RBACDeny},
	security.AuthorizationPolicy_ALLOW:  {phaseAllow, ir.RBACAllow},
}

// ruleName is what Envoy reports of a rule that matched, and what tools parse.
func ruleName(o *model.Object, i int) string {
	name := fmt.Sprintf("ns[%s]-policy[%s]-rule[%d]", o.Namespace, o.Name, i)
	if p := o.Spec.(*security.AuthorizationPolicy); p.GetAction() == security.AuthorizationPolicy_CUSTOM {
		name = customRule(p.GetProvider().GetName()) + name
	}
	return name
}

// guard puts the policies before the filters of a chain of connections.
func (a *Authorization) guard(filters []ir.NetworkFilter) []ir.NetworkFilter {
	return append(slices.Clone(a.tcp), filters...)
}

// trustDomains are the mesh's own and its aliases.
func trustDomains(r Reader) []string {
	return append([]string{trustDomain(r)}, r.Mesh().GetTrustDomainAliases()...)
}

// expandPrincipals gives a principal in each of the mesh's trust domains, if it is of one of them;
// cluster.local stands for all, as policies are written before the domain is chosen. One that leaves the
// domain open stays as it is.
func expandPrincipals(principal string, domains []string) []string {
	domain, rest, _ := strings.Cut(principal, "/")
	if strings.Count(rest, "/") != 3 || domain == "*" {
		return []string{principal}
	}
	known := domain == defaultTrustDomain || slices.ContainsFunc(domains, func(d string) bool { return likeDomain(d, domain) })
	if !known {
		return []string{principal}
	}
	var out []string
	for _, d := range domains {
		next := d + "/" + rest
		if suffix, ok := strings.CutPrefix(domain, "*"); ok && strings.HasSuffix(d, suffix) {
			next = principal
		}
		if !slices.Contains(out, next) {
			out = append(out, next)
		}
	}
	return out
}

// defaultTrustDomain is that of a mesh which names none.
const defaultTrustDomain = "cluster.local"

// likeDomain tells whether one of two domains, either of which may begin or end with "*", covers the
// other.
func likeDomain(a, b string) bool { return covers(a, b) || covers(b, a) }

func covers(pattern, text string) bool {
	if suffix, ok := strings.CutPrefix(pattern, "*"); ok {
		return strings.HasSuffix(text, suffix)
	}
	if prefix, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(text, prefix)
	}
	return pattern == text
}
