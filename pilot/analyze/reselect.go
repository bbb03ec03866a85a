package analyze

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

func keysOf(objects []*model.Object) map[model.Key]bool {
	out := map[model.Key]bool{}
	for _, o := range objects {
		out[o.Key] = true
	}
	return out
}

// reselected gives the Services whose EndpointSlices say no more what pods they would have: Services of the files
// (own), and those that a template of the files gives pods to or takes some from.
func reselected(now, next *mesh, own map[model.Key]bool, changed map[model.Key]podChange) map[model.Key]bool {
	touched := map[string][]map[string]string{} // labels of pods by namespace
	for key, c := range changed {
		if key.Cluster == "" {
			touched[key.Namespace] = append(touched[key.Namespace], c.was.Labels, c.next.Labels)
		}
	}
	for _, o := range next.objects {
		if w := templated(o); w != nil {
			touched[o.Namespace] = append(touched[o.Namespace], w.meta.Labels)
		}
	}
	former := selectorsOf(now)
	out := map[model.Key]bool{}
	for key, selector := range selectorsOf(next) {
		out[key] = own[key] || slices.ContainsFunc(touched[key.Namespace], func(labels map[string]string) bool {
			return model.Selects(selector, labels) || model.Selects(former[key], labels)
		})
	}
	return out
}

// selectorsOf gives the selectors of the Services that have one.
func selectorsOf(m *mesh) map[model.Key]map[string]string {
	out := map[model.Key]map[string]string{}
	for _, svc := range of[*corev1.Service](m, model.KindService) {
		if len(svc.spec.Spec.Selector) > 0 && svc.Cluster == "" {
			out[svc.Key] = svc.spec.Spec.Selector
		}
	}
	return out
}

// unslice leaves out the EndpointSlices of Services, so that these select by the labels of pods. A Service without a
// selector keeps its own.
func (m *mesh) unslice(again map[model.Key]bool) {
	selects := selectorsOf(m)
	m.objects = slices.DeleteFunc(m.objects, func(o *model.Object) bool {
		svc := model.Key{Kind: model.KindService, Namespace: o.Namespace, Name: o.Labels[discoveryv1.LabelServiceName]}
		return o.Kind == model.KindEndpointSlice && o.Cluster == "" && again[svc] && selects[svc] != nil
	})
}
