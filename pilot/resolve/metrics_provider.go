package resolve

import (
	"fmt"
	"strconv"

	meshconfig "istio.io/api/mesh/v1alpha1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// providerPrometheus is the provider of metrics that every mesh has.
const providerPrometheus = "prometheus"

// metricNameProblems reports the providers of metrics that are not Prometheus. Metrics are for Prometheus all the
// same, so that nobody loses them.
func metricNameProblems(mesh *meshconfig.MeshConfig, objects []*model.Object) []model.Problem {
	var out []model.Problem
	check := func(o *model.Object, field, name string) {
		at := providerAt(mesh, name)
		if at < 0 && name == providerPrometheus || at >= 0 && mesh.GetExtensionProviders()[at].GetPrometheus() != nil {
			return
		}
		why := " is none of the mesh's extensionProviders, nor " + strconv.Quote(providerPrometheus) + ", which every mesh has"
		if at >= 0 {
			why = " is a provider that takes no metrics here; only prometheus does"
		}
		out = append(out, model.Problem{
			Object: o.Key, Field: field, Severity: model.SeverityWarning, Reason: model.ReasonNotTranslated, Origin: o.Origin,
			Message: strconv.Quote(name) + why + "; metrics are for Prometheus",
		})
	}
	for i, name := range mesh.GetDefaultProviders().GetMetrics() {
		check(meshObject(), fmt.Sprintf("defaultProviders.metrics[%d]", i), name)
	}
	for _, o := range objects {
		for i, m := range telemetryOf(o).GetMetrics() {
			for j, p := range m.GetProviders() {
				check(o, fmt.Sprintf("spec.metrics[%d].providers[%d].name", i, j), p.GetName())
			}
		}
	}
	return out
}
