package legacy

import (
	"fmt"
	"slices"
	"strings"
)

// rbacConfig is a ClusterRbacConfig, or an RbacConfig, which is the same of an older version.
type rbacConfig struct {
	meta
	Spec struct {
		Mode            string     `json:"mode"`
		Inclusion       rbacTarget `json:"inclusion"`
		Exclusion       rbacTarget `json:"exclusion"`
		EnforcementMode string     `json:"enforcementMode"`
	} `json:"spec"`
}

type rbacTarget struct {
	Services   []string `json:"services"`
	Namespaces []string `json:"namespaces"`
}

// authorization translates where access is controlled, and then who has it.
func (t *Translator) authorization() {
	for _, c := range t.configs {
		t.config(c)
	}
	if len(t.configs) == 0 && len(t.roles) > 0 {
		t.say("there is no ClusterRbacConfig here: ServiceRoles are translated as if access were controlled, also where it was not")
	}
	for _, r := range t.roles {
		t.role(r)
	}
	for _, b := range t.bindings {
		if !slices.ContainsFunc(t.roles, func(r *serviceRole) bool { return b.of(r) }) {
			t.say("%s names the ServiceRole %q, which is not here; nothing stands for it", &b.meta, b.roleName())
		}
	}
}

// config writes the policies that allow nothing, to which those of roles add, or everything where access is not
// controlled.
func (t *Translator) config(c *rbacConfig) {
	from := "from " + c.String() + ", mode " + c.Spec.Mode
	nothing, everything := func() map[string]any { return map[string]any{} }, func() map[string]any { return map[string]any{"rules": []any{map[string]any{}}} }
	if c.Spec.EnforcementMode == "PERMISSIVE" {
		t.say("NO EQUAL: %s is on trial as a whole; annotate the policies with istio.io/dry-run: \"true\"", c)
	}
	each := func(name string, target rbacTarget, spec func() map[string]any) {
		for _, ns := range target.Namespaces {
			t.add("AuthorizationPolicy", ns, name, nil, spec(), from)
		}
		for _, host := range target.Services {
			service, ns := splitService(host, "default")
			labels, comment := t.workloads(ns, service)
			t.add("AuthorizationPolicy", ns, name+"-"+service, labels, spec(), said(from, comment)...)
		}
	}
	switch c.Spec.Mode {
	case "ON", "true": // YAML takes a plain ON for a boolean
		t.add("AuthorizationPolicy", rootNamespace, "deny-by-default", nil, nothing(), from)
	case "ON_WITH_INCLUSION":
		each("deny-by-default", c.Spec.Inclusion, nothing)
		t.say("%s: ServiceRoles of what it does not include had no effect, and have one now: remove what comes of them", c)
	case "ON_WITH_EXCLUSION":
		t.add("AuthorizationPolicy", rootNamespace, "deny-by-default", nil, nothing(), from)
		each("not-controlled", c.Spec.Exclusion, everything)
	default:
		t.say("%s has mode OFF: access was not controlled, and ServiceRoles had no effect; what comes of them below has one", c)
	}
}

// said leaves out empty comments.
func said(comments ...string) []string {
	return slices.DeleteFunc(comments, func(s string) bool { return s == "" })
}

// splitService gives a service's name and namespace, of NAME, NAME.NAMESPACE or NAME.NAMESPACE.svc.DOMAIN.
func splitService(host, namespace string) (string, string) {
	name, rest, found := strings.Cut(host, ".")
	if !found {
		return name, namespace
	}
	ns, _, _ := strings.Cut(rest, ".")
	return name, ns
}

// role writes a policy for each service of each rule of a role, for all who are bound to it.
func (t *Translator) role(r *serviceRole) {
	var enforced, trial []any
	var comments []string
	for _, b := range t.bindings {
		if !b.of(r) {
			continue
		}
		for i := range b.Spec.Subjects {
			who, complaint := b.Spec.Subjects[i].translate()
			switch {
			case complaint != "":
				comments = append(comments, fmt.Sprintf("NO EQUAL: subject %d of %s: %s; it gets no access", i, &b.meta, complaint))
			case b.Spec.Mode == "PERMISSIVE":
				trial = append(trial, who)
			default:
				enforced = append(enforced, who)
			}
		}
	}
	if len(enforced)+len(trial) == 0 {
		comments = append(comments, "nobody is bound to it")
	}
	for _, c := range comments {
		t.say("%s: %s", &r.meta, c)
	}
	for i := range r.Spec.Rules {
		t.rule(r, i, enforced, false)
		t.rule(r, i, trial, true)
	}
}

// rule writes a rule of a role for subjects. Those of today have one selector each, so each service has its own.
func (t *Translator) rule(r *serviceRole, i int, subjects []any, trial bool) {
	if len(subjects) == 0 {
		return
	}
	rule := &r.Spec.Rules[i]
	operation, when, labels, complaint := rule.translate()
	if complaint != "" {
		t.say("NO EQUAL: rule %d of %s: %s; it allows nothing", i, r, complaint)
		return
	}
	for j, service := range rule.Services {
		name := fmt.Sprintf("%s-%d", r.Metadata.Name, i)
		if len(rule.Services) > 1 {
			name = fmt.Sprintf("%s-%d", name, j)
		}
		if trial {
			name += "-trial"
		}
		selector, comment := map[string]string(nil), ""
		switch {
		case service == "*":
		case strings.Contains(service, "*"):
			t.say("NO EQUAL: rule %d of %s is for the services %q, and selectors are of labels; it allows nothing", i, r, service)
			continue
		default:
			name, ns := splitService(service, r.namespace())
			if ns != r.namespace() {
				t.say("rule %d of %s is for a service of another namespace, %s, and had no effect", i, r, service)
				continue
			}
			selector, comment = t.workloads(ns, name)
		}
		all := map[string]string{}
		for _, from := range []map[string]string{selector, labels} {
			for k, v := range from {
				all[k] = v
			}
		}
		object := t.add("AuthorizationPolicy", r.namespace(), name, all, map[string]any{"action": "ALLOW", "rules": rulesFor(subjects, operation, when)}, said("from "+r.String(), comment)...)
		if trial {
			object["metadata"].(map[string]any)["annotations"] = map[string]any{"istio.io/dry-run": "true"}
		}
	}
}

// rulesFor gives a rule for each subject.
func rulesFor(subjects []any, operation map[string]any, when []any) []any {
	var out []any
	for _, s := range subjects {
		who := s.(*who)
		rule := map[string]any{}
		if len(who.source) > 0 {
			rule["from"] = []any{map[string]any{"source": who.source}}
		}
		if len(operation) > 0 {
			rule["to"] = []any{map[string]any{"operation": operation}}
		}
		if all := slices.Concat(who.when, when); len(all) > 0 {
			rule["when"] = all
		}
		out = append(out, rule)
	}
	return out
}
