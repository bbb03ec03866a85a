package analyze

import (
	"fmt"
	"strings"

	networking "istio.io/api/networking/v1alpha3"
	security "istio.io/api/security/v1beta1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// unknownNamespaces finds callers' namespaces of AuthorizationPolicies that do not exist.
func unknownNamespaces(m *mesh) {
	for _, p := range of[*security.AuthorizationPolicy](m, model.KindAuthorizationPolicy) {
		for i, rule := range p.spec.GetRules() {
			for k, from := range rule.GetFrom() {
				for field, names := range map[string][]string{"namespaces": from.GetSource().GetNamespaces(), "notNamespaces": from.GetSource().GetNotNamespaces()} {
					for n, name := range names {
						if !strings.Contains(name, "*") && !m.hasNamespace(name) {
							m.report(p.Object, fmt.Sprintf("spec.rules[%d].from[%d].source.%s[%d]", i, k, field, n), notFound, Warning,
								"there is no namespace %q with workloads, so no caller is of it; create it, or correct the name", name)
						}
					}
				}
			}
		}
	}
}

// hasNamespace tells whether there is a namespace, or a workload of it.
func (m *mesh) hasNamespace(name string) bool {
	return name == m.config.GetRootNamespace() ||
		m.namespace(name) != nil || len(m.index.workloads.byLabel[labelAt{namespace: name}]) > 0
}

// uncertainPatches finds patches of EnvoyFilters whose effect hangs on what other EnvoyFilters did before,
// though no priority says what comes first.
func uncertainPatches(m *mesh) {
	for _, f := range of[*networking.EnvoyFilter](m, model.KindEnvoyFilter) {
		if f.spec.GetPriority() != 0 {
			continue
		}
		for i, item := range f.spec.GetConfigPatches() {
			op := item.GetPatch().GetOperation()
			field := fmt.Sprintf("spec.configPatches[%d].patch.operation", i)
			relative := op == networking.EnvoyFilter_Patch_INSERT_BEFORE || op == networking.EnvoyFilter_Patch_INSERT_AFTER
			switch {
			case item.GetMatch().GetProxy().GetProxyVersion() != "" && (relative || op == networking.EnvoyFilter_Patch_REPLACE ||
				op == networking.EnvoyFilter_Patch_MERGE || op == networking.EnvoyFilter_Patch_MERGE_AND_REPLACE_LIST || op == networking.EnvoyFilter_Patch_REMOVE):
				m.report(f.Object, field, relativePatchOfVersion, Warning,
					"%s hangs on what there is already, and is for some versions of proxies only, so an upgrade may end it; set spec.priority, or use INSERT_FIRST or ADD", op)
			case relative || op == networking.EnvoyFilter_Patch_REPLACE:
				m.report(f.Object, field, relativePatch, Warning,
					"%s hangs on what other EnvoyFilters did before; set spec.priority, or use INSERT_FIRST or ADD", op)
			}
		}
	}
}
