package resolve

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"
	meshconfig "istio.io/api/mesh/v1alpha1"
	telemetryapi "istio.io/api/telemetry/v1alpha1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// providerPrometheus is the provider of metrics that every mesh has.
const providerPrometheus = "prometheus"

// isPrometheus tells whether a name is that of a provider of metrics that are made.
func isPrometheus(mesh *meshconfig.MeshConfig, name string) bool {
	if at := providerAt(mesh, name); at >= 0 {
		return mesh.GetExtensionProviders()[at].GetPrometheus() != nil
	}
	return strings.EqualFold(name, providerPrometheus)
}

func namesPrometheus(mesh *meshconfig.MeshConfig, m *telemetryapi.Metrics) bool {
	return slices.ContainsFunc(m.GetProviders(), func(p *telemetryapi.ProviderRef) bool { return isPrometheus(mesh, p.GetName()) })
}

// withMetricsThatAreMade gives the objects without what entries of their metrics change for other providers than
// Prometheus. An entry that names none is about those of the entry before, also of an object before, as in Istio. The
// first are about Prometheus, whatever the mesh's defaults are, for so are its metrics.
func withMetricsThatAreMade(mesh *meshconfig.MeshConfig, objects []*model.Object) []*model.Object {
	out := slices.Clone(objects)
	made := true
	for at, o := range objects {
		var kept *telemetryapi.Telemetry // a copy, as objects are the snapshot's
		for i, m := range telemetryOf(o).GetMetrics() {
			if len(m.GetProviders()) > 0 {
				made = namesPrometheus(mesh, m)
			}
			if made || m.GetReportingInterval() == nil && len(m.GetOverrides()) == 0 {
				continue
			}
			if kept == nil {
				kept = proto.CloneOf(telemetryOf(o))
				object := *o
				object.Spec, out[at] = kept, &object
			}
			kept.Metrics[i].Overrides, kept.Metrics[i].ReportingInterval = nil, nil
		}
	}
	return out
}

// metricNameProblems reports the providers of metrics that are not Prometheus. Metrics are for Prometheus all the
// same, so that nobody loses them.
func metricNameProblems(mesh *meshconfig.MeshConfig, objects []*model.Object) []model.Problem {
	var out []model.Problem
	check := func(o *model.Object, field, name, otherwise string) {
		if isPrometheus(mesh, name) {
			return
		}
		why := " is none of the mesh's extensionProviders, nor " + strconv.Quote(providerPrometheus) + ", which every mesh has"
		if providerAt(mesh, name) >= 0 {
			why = " is a provider that takes no metrics here; only prometheus does"
		}
		out = append(out, o.WarningAt(field, model.ReasonNotTranslated, strconv.Quote(name)+why+"; metrics are for Prometheus"+otherwise))
	}
	for i, name := range mesh.GetDefaultProviders().GetMetrics() {
		check(meshObject(), fmt.Sprintf("defaultProviders.metrics[%d]", i), name, "")
	}
	for _, o := range objects {
		for i, m := range telemetryOf(o).GetMetrics() {
			otherwise := ", and what is said of another provider's changes none"
			if namesPrometheus(mesh, m) {
				otherwise = ""
			}
			for j, p := range m.GetProviders() {
				check(o, fmt.Sprintf("spec.metrics[%d].providers[%d].name", i, j), p.GetName(), otherwise)
			}
		}
	}
	return out
}
