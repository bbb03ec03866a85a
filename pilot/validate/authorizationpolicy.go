package validate

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"istio.io/api/annotation"
	security "istio.io/api/security/v1beta1"
	typev1beta1 "istio.io/api/type/v1beta1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// Limits of Istio's schema of AuthorizationPolicy.
const (
	maxPolicyRules = 512
	maxTargetRefs  = 16
)

// authorizationPolicy checks what Istio's webhook does. An error keeps a policy from being taken over; what
// is in effect until then lets no more pass than the policy would without the fault.
func (c *checker) authorizationPolicy(p *security.AuthorizationPolicy) {
	c.policyTarget(p)
	if value, ok := c.object.Annotations[annotation.IoIstioDryRun.Name]; ok {
		field := "metadata.annotations[" + annotation.IoIstioDryRun.Name + "]"
		if _, err := strconv.ParseBool(value); err != nil {
			c.warn(field, "%q is neither true nor false, so the policy is enforced", value)
		} else if model.DryRun(c.object) && p.GetAction() == security.AuthorizationPolicy_AUDIT {
			c.warn(field, "nothing is denied by an AUDIT policy anyway, and on trial it marks nothing for the log")
		}
	}
	custom := p.GetAction() == security.AuthorizationPolicy_CUSTOM
	if len(p.GetRules()) == 0 && (custom || p.GetAction() == security.AuthorizationPolicy_DENY) {
		c.fail("spec.rules", "are missing, so that no request is ever meant; write a rule {} if all are")
	}
	if len(p.GetRules()) > maxPolicyRules {
		c.fail("spec.rules", "are more than %d", maxPolicyRules)
	}
	switch {
	case custom && p.GetProvider().GetName() == "":
		c.missing("spec.provider.name")
	case !custom && p.GetProvider() != nil:
		c.fail("spec.provider", "is for the action CUSTOM only")
	}
	for i, rule := range p.GetRules() {
		c.authorizationRule(at("spec.rules", i), rule, custom)
	}
}

// targeted is a policy of security.istio.io, or a Telemetry object.
type targeted interface {
	GetSelector() *typev1beta1.WorkloadSelector
	GetTargetRef() *typev1beta1.PolicyTargetReference
	GetTargetRefs() []*typev1beta1.PolicyTargetReference
}

// policyTarget checks what a policy is attached to.
func (c *checker) policyTarget(p targeted) {
	selector, one, refs := p.GetSelector(), p.GetTargetRef(), p.GetTargetRefs()
	c.labels("spec.selector.matchLabels", selector.GetMatchLabels())
	if selector != nil && (len(refs) > 0 || one != nil) {
		c.fail("spec.targetRefs", "stand beside a selector; write one of them")
	}
	if len(refs) > maxTargetRefs {
		c.fail("spec.targetRefs", "are more than %d", maxTargetRefs)
	}
	if one != nil {
		c.warn("spec.targetRef", "is an old form; write a list targetRefs")
		c.targetRef("spec.targetRef", one)
	}
	for i, ref := range refs {
		c.targetRef(at("spec.targetRefs", i), ref)
	}
}

func (c *checker) targetRef(field string, ref *typev1beta1.PolicyTargetReference) {
	switch {
	case ref.GetName() == "":
		c.missing(field + ".name")
	case ref.GetKind() == "":
		c.missing(field + ".kind")
	case ref.GetNamespace() != "":
		c.fail(field+".namespace", "a policy is attached to what is in its own namespace only; leave it out")
	case !model.GatewayAPIGateway(ref):
		c.warn(field, "a policy for %s %q is for waypoints, as in Istio, and there are none: no proxy enforces it; use a selector", ref.GetKind(), ref.GetName())
	}
}

func (c *checker) authorizationRule(path string, rule *security.Rule, custom bool) {
	if rule == nil {
		c.fail(path, "is empty; write {} for a rule that means every request")
		return
	}
	for i, from := range rule.GetFrom() {
		c.source(at(path+".from", i)+".source", from.GetSource(), custom)
	}
	for i, to := range rule.GetTo() {
		c.operation(at(path+".to", i)+".operation", to.GetOperation())
	}
	for i, when := range rule.GetWhen() {
		c.condition(at(path+".when", i), when, custom)
	}
}

// values is a list of a rule with its name.
type values struct {
	name string
	list []string
	// check tells what is wrong with a value; nil for nothing.
	check func(string) error
	// means is the key of the condition that they are of; "" for a list of its own.
	means string
}

// lists checks the values of lists that belong together, of which one has to be there.
func (c *checker) lists(path string, lists ...values) {
	some := false
	for _, l := range lists {
		for i, v := range l.list {
			some = true
			field := at(path+"."+l.name, i)
			if v == "" {
				c.fail(field, "is empty")
				continue
			}
			if l.check != nil {
				if err := l.check(v); err != nil {
					c.fail(field, "%v", err)
					continue
				}
			}
			c.neverMet(field, cmp.Or(l.means, l.name), v)
			if inner := strings.Trim(v, "*"); strings.Contains(inner, "*") && !strings.Contains(inner, "{*") || strings.HasPrefix(v, "*") && strings.HasSuffix(v, "*") && len(v) > 1 {
				c.warn(field, "in %q only a star at one end stands for anything; the other is taken as it is", v)
			}
		}
	}
	if !some {
		c.fail(path, "says nothing; leave it out, or name what it means")
	}
}

func (c *checker) source(path string, s *security.Source, custom bool) {
	identities := []values{
		{"principals", s.GetPrincipals(), nil, ""},
		{"notPrincipals", s.GetNotPrincipals(), nil, ""},
		{"requestPrincipals", s.GetRequestPrincipals(), nil, ""},
		{"notRequestPrincipals", s.GetNotRequestPrincipals(), nil, ""},
		{"namespaces", s.GetNamespaces(), nil, ""},
		{"notNamespaces", s.GetNotNamespaces(), nil, ""},
		{"serviceAccounts", s.GetServiceAccounts(), serviceAccount, ""},
		{"notServiceAccounts", s.GetNotServiceAccounts(), serviceAccount, ""},
		{"trustDomains", s.GetTrustDomains(), nil, ""},
		{"notTrustDomains", s.GetNotTrustDomains(), nil, ""},
	}
	c.lists(path, append(identities, []values{
		{"ipBlocks", s.GetIpBlocks(), addressBlock, ""},
		{"notIpBlocks", s.GetNotIpBlocks(), addressBlock, ""},
		{"remoteIpBlocks", s.GetRemoteIpBlocks(), addressBlock, ""},
		{"notRemoteIpBlocks", s.GetNotRemoteIpBlocks(), addressBlock, ""},
	}...)...)
	accounts := len(s.GetServiceAccounts())+len(s.GetNotServiceAccounts()) > 0
	if accounts && len(s.GetPrincipals())+len(s.GetNotPrincipals())+len(s.GetNamespaces())+len(s.GetNotNamespaces()) > 0 {
		c.fail(path+".serviceAccounts", "stand beside principals or namespaces, which say the same; write one of them")
	}
	if !custom {
		return
	}
	for _, l := range identities {
		if len(l.list) > 0 {
			c.fail(path+"."+l.name, "is not supported with the action CUSTOM; match by operation or address, and let the provider decide by identity")
		}
	}
}

func (c *checker) operation(path string, o *security.Operation) {
	c.lists(
		path,
		values{"hosts", o.GetHosts(), nil, ""},
		values{"notHosts", o.GetNotHosts(), nil, ""},
		values{"ports", o.GetPorts(), portText, ""},
		values{"notPorts", o.GetNotPorts(), portText, ""},
		values{"methods", o.GetMethods(), nil, ""},
		values{"notMethods", o.GetNotMethods(), nil, ""},
		values{"paths", o.GetPaths(), pathText, ""},
		values{"notPaths", o.GetNotPaths(), pathText, ""},
	)
}

func (c *checker) condition(path string, when *security.Condition, custom bool) {
	key := when.GetKey()
	if key == "" {
		c.missing(path + ".key")
		return
	}
	check, err := conditionValue(key)
	if err != nil {
		c.fail(path+".key", "%v", err)
		return
	}
	c.lists(path, values{"values", when.GetValues(), check, key}, values{"notValues", when.GetNotValues(), check, key})
	identity := slices.Contains([]string{"source.namespace", "source.principal", "source.serviceAccount", "source.trustDomain"}, key)
	if custom && (identity || strings.HasPrefix(key, "request.auth.")) {
		c.fail(path+".key", "%s is not supported with the action CUSTOM; match by operation or address, and let the provider decide by identity", key)
	}
}

// conditionValue gives the check of a condition's values.
func conditionValue(key string) (func(string) error, error) {
	switch key {
	case "source.ip", "remote.ip", "destination.ip":
		return addressBlock, nil
	case "destination.port":
		return portText, nil
	case "source.serviceAccount":
		return serviceAccount, nil
	case "source.namespace", "source.principal", "source.trustDomain", "connection.sni",
		"request.auth.principal", "request.auth.audiences", "request.auth.presenter":
		return nil, nil
	}
	name, names, ok := model.BracketedKey(key)
	switch {
	case ok && name == "request.headers" && len(names) == 1 && isHeaderName(strings.TrimPrefix(names[0], ":")),
		ok && name == "request.auth.claims",
		ok && strings.HasPrefix(name, "experimental.envoy.filters.") && len(names) == 1:
		return nil, nil
	}
	return nil, fmt.Errorf("%q is no key of a condition; see Istio's reference of authorization conditions", key)
}

func addressBlock(v string) error {
	_, err := model.ParseAddressBlock(v)
	return err
}

func portText(v string) error {
	if n, err := strconv.ParseUint(v, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("%q is no port; use 1 to 65535", v)
	}
	return nil
}

func pathText(v string) error {
	if !strings.ContainsAny(v, "{}") {
		return nil
	}
	_, err := model.PathTemplate(v)
	return err
}

func serviceAccount(v string) error {
	namespace, name, ok := strings.Cut(v, "/")
	if !ok {
		namespace, name = "default", v
	}
	if len(validation.IsDNS1123Label(namespace)) > 0 || len(validation.IsDNS1123Subdomain(name)) > 0 {
		return fmt.Errorf("%q is no service account; write namespace/name or name", v)
	}
	return nil
}
