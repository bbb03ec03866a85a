package analyze

import (
	"fmt"
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"
	networkingv1beta1 "istio.io/api/networking/v1beta1"
	telemetry "istio.io/api/telemetry/v1alpha1"
	"istio.io/api/type/v1beta1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// clientsOf says which clients go by a DestinationRule for a service, "" for all. ok is false where none do: a rule of
// another namespace than the service's is for that namespace's clients alone, and exportTo may leave these out.
func (m *mesh) clientsOf(dr object[*networking.DestinationRule], svc *model.Service) (who string, ok bool) {
	a := model.ExportTo(dr.spec.GetExportTo(), m.config.GetDefaultDestinationRuleExportTo(), dr.Namespace)
	labels := dr.spec.GetWorkloadSelector().GetMatchLabels()
	near := dr.Namespace == svc.Namespace || dr.Namespace == m.config.GetRootNamespace()
	if !near || len(labels) > 0 {
		if !a.Has(dr.Namespace) {
			return "", false
		}
		a = model.Audience{Namespaces: []string{dr.Namespace}}
	}
	who, ok = namespacesOf(a)
	if len(labels) > 0 {
		who = model.LabelSet(labels) + " " + who
	}
	return who, ok
}

// namespacesOf says which namespaces see an object, "" for all; ok is false for none.
func namespacesOf(a model.Audience) (who string, ok bool) {
	switch {
	case a.Everyone:
		return "", true
	case len(a.Namespaces) == 0:
		return "", false
	}
	return "in namespace " + strings.Join(a.Namespaces, ", "), true
}

// selecting gives the objects that select a workload by its labels, those too that another one overrides.
func (m *mesh) selecting(namespace string, labels map[string]string) []model.Key {
	var out []model.Key
	for _, kind := range []model.Kind{
		model.KindSidecar, model.KindEnvoyFilter, model.KindTelemetry, model.KindProxyConfig,
		model.KindPeerAuthentication, model.KindRequestAuthentication, model.KindAuthorizationPolicy,
	} {
		for _, o := range m.ofKind(kind) {
			if near := o.Namespace == namespace || o.Namespace == m.config.GetRootNamespace(); near && model.HasLabels(labels, selectorOf(o)) {
				out = append(out, o.Key)
			}
		}
	}
	return out
}

// overridden tells, of objects of which the oldest alone counts for a workload, of the others.
func (m *mesh) overridden(namespace string, labels map[string]string) []model.Problem {
	var out []model.Problem
	for _, all := range [][]selecting{m.sidecars(), m.telemetries()} {
		first := map[bool]selecting{} // those with a selector go before those without
		for _, o := range all {
			if o.Namespace != namespace || !model.HasLabels(labels, o.selector) {
				continue
			}
			if older, ok := first[len(o.selector) > 0]; ok {
				out = append(out, o.WarningAt(o.field, model.ReasonConflict, fmt.Sprintf("%s is for the workload as well, and the older one counts; keep one of them", older.Key)))
				continue
			}
			first[len(o.selector) > 0] = o
		}
	}
	return out
}

// selectorOf gives the labels of the workloads that an object is for, none for all.
func selectorOf(o *model.Object) map[string]string {
	switch spec := o.Spec.(type) {
	case *networking.Sidecar:
		return spec.GetWorkloadSelector().GetLabels()
	case *networking.EnvoyFilter:
		return spec.GetWorkloadSelector().GetLabels()
	case *telemetry.Telemetry:
		return spec.GetSelector().GetMatchLabels()
	case *networkingv1beta1.ProxyConfig:
		return spec.GetSelector().GetMatchLabels()
	case interface {
		GetSelector() *v1beta1.WorkloadSelector
	}:
		return spec.GetSelector().GetMatchLabels()
	}
	return nil
}

// DescribeBare tells what is about the pods of a workload that have no proxy: the services that lead to them.
func (t *Translation) DescribeBare(namespace, name string, labels map[string]string, why string) Description {
	out := Description{Workload: name + "." + namespace, Outside: why}
	for _, svc := range t.mesh.reader.ServicesSelecting("", namespace, labels) {
		e, about := t.exposed(svc, labels)
		out.Services, out.About = append(out.Services, e), append(out.About, about...)
	}
	return out.Told()
}

// DescribeOutside does so for a workload of the files; ok is false where its pods have a proxy, or there is none.
func (t *Translation) DescribeOutside(namespace, name string) (out Description, ok bool) {
	w := t.mesh.bareWorkload(namespace, name)
	if w == nil {
		return out, false
	}
	return t.DescribeBare(namespace, name, w.meta.Labels, t.mesh.whyBare(w)), true
}

// Merge adds what another control plane tells of the same service.
func (d Description) Merge(o Description) Description {
	for _, mode := range o.MutualTLS {
		if !slices.Contains(d.MutualTLS, mode) {
			d.MutualTLS = append(d.MutualTLS, mode)
		}
	}
	for _, p := range o.Policies {
		if !slices.Contains(d.Policies, p) {
			d.Policies = append(d.Policies, p)
		}
	}
	d.About, d.Of, d.Problems = append(d.About, o.About...), append(d.Of, o.Of...), append(d.Problems, o.Problems...)
	return d.Told()
}
