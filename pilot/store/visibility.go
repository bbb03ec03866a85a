package store

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	meshconfig "istio.io/api/mesh/v1alpha1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// visibility is how far ServiceEntries may be seen, which MeshConfig's serviceEntryVisibility says by the labels of
// their namespaces. It bounds what their exportTo says, and never widens it.
type visibility struct {
	byDefault meshconfig.ServiceEntryVisibility_Visibility
	policies  []visibilityPolicy
}

// visibilityPolicy decides about the namespaces that all its selectors match.
type visibilityPolicy struct {
	says      meshconfig.ServiceEntryVisibility_Visibility
	selectors []labels.Selector
}

// newVisibility reads the setting; nil where proxies of Envoy are not to heed it. A rule that is no selector matches
// nothing.
func newVisibility(v *meshconfig.ServiceEntryVisibility) *visibility {
	if !v.GetApplyToSidecars() {
		return nil
	}
	out := &visibility{byDefault: v.GetDefaultVisibility()}
	for _, p := range v.GetPolicies() {
		policy := visibilityPolicy{says: p.GetVisibility()}
		for _, rule := range p.GetMatchingRules() {
			selector, err := model.NamespaceSelector(rule.GetNamespaceSelector())
			if err != nil || rule.GetNamespaceSelector() == nil {
				selector = labels.Nothing()
			}
			policy.selectors = append(policy.selectors, selector)
		}
		out.policies = append(out.policies, policy)
	}
	return out
}

// of gives the visibility of what is in a namespace: that of the first policy that matches.
func (v *visibility) of(namespace labels.Set) meshconfig.ServiceEntryVisibility_Visibility {
	for _, p := range v.policies {
		if !slices.ContainsFunc(p.selectors, func(s labels.Selector) bool { return !s.Matches(namespace) }) {
			return p.says
		}
	}
	return v.byDefault
}

// boundedExport gives what a ServiceEntry is exported to, within its visibility.
func (s *state) boundedExport(namespace string, exportTo []string) []string {
	if s.visibility == nil {
		return exportTo
	}
	switch s.visibility.of(s.namespaceLabels(namespace)) {
	case meshconfig.ServiceEntryVisibility_NONE:
		return []string{"~"}
	case meshconfig.ServiceEntryVisibility_NAMESPACE:
		if model.ExportTo(exportTo, nil, namespace).Has(namespace) {
			return []string{"."}
		}
		return []string{"~"}
	}
	return exportTo
}

// namespaceLabels gives a namespace's labels with its name, which an API server adds to them.
func (s *state) namespaceLabels(name string) labels.Set {
	out := labels.Set{corev1.LabelMetadataName: name}
	if o := s.object(model.Key{Kind: model.KindNamespace, Name: name}); o != nil {
		maps.Copy(out, o.Labels)
	}
	return out
}

// moveNamespace derives the services of a namespace again: all of them where it prefers other endpoints, and those of
// ServiceEntries, whose visibility may be another.
func (s *state) moveNamespace(key model.Key, old, next *model.Object) {
	of := model.Key{Namespace: key.Name, Cluster: key.Cluster}
	moved := func(kind model.Kind) {
		for _, o := range s.siblings(kind, of) {
			s.dirtyServices.add(o.Key)
		}
	}
	prefers := func(o *model.Object) string {
		if o == nil {
			return ""
		}
		return o.Annotations[trafficDistribution]
	}
	if prefers(old) != prefers(next) {
		moved(model.KindService)
		moved(model.KindServiceEntry)
	} else if s.visibility != nil {
		moved(model.KindServiceEntry)
	}
}
