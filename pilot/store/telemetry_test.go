package store

import (
	"testing"
	"testing/synctest"

	"google.golang.org/protobuf/types/known/wrapperspb"
	telemetryapi "istio.io/api/telemetry/v1alpha1"
	typev1beta1 "istio.io/api/type/v1beta1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// TestOnlyTheFirstThatTurnsMetricsOnChanges edits Telemetry objects. What depends on whether somebody turns metrics on,
// which is the listeners of all sidecars, is made anew only where the answer changes.
func TestOnlyTheFirstThatTurnsMetricsOnChanges(t *testing.T) {
	of := func(namespace, name string, app string, off bool, mode telemetryapi.WorkloadMode) *model.Object {
		spec := &telemetryapi.Telemetry{Metrics: []*telemetryapi.Metrics{{Overrides: []*telemetryapi.MetricsOverrides{{
			Match: &telemetryapi.MetricSelector{Mode: mode}, Disabled: wrapperspb.Bool(off),
		}}}}}
		if app != "" {
			spec.Selector = &typev1beta1.WorkloadSelector{MatchLabels: map[string]string{"app": app}}
		}
		return &model.Object{Key: model.Key{Kind: model.KindTelemetry, Namespace: namespace, Name: name}, Spec: spec}
	}
	const both, client = telemetryapi.WorkloadMode_CLIENT_AND_SERVER, telemetryapi.WorkloadMode_CLIENT
	synctest.Test(t, func(t *testing.T) {
		a := newAsker(t, Reader.TurnsMetricsOn)
		for _, c := range []struct {
			what          string
			change        *model.Object
			goes          bool
			on, concerned bool
		}{
			{"the root namespace's for all", of(model.RootNamespace, "all", "", false, both), false, false, false},
			{"another turns them off", of("a", "off", "", true, both), false, false, false},
			{"at clients", of("a", "client", "", false, client), false, false, false},
			{"the first", of("a", "on", "", false, both), false, true, true},
			{"of a workload of the root namespace", of(model.RootNamespace, "some", "x", false, both), false, true, false},
			{"another", of("b", "on", "y", false, both), false, true, false},
			{"an edit", of("b", "on", "z", false, both), false, true, false},
			{"one goes", of("a", "on", "", false, both), true, true, false},
			{"the second goes", of(model.RootNamespace, "some", "x", false, both), true, true, false},
			{"the last goes", of("b", "on", "z", false, both), true, false, true},
		} {
			on, concerned, full := a.edit(t, c.what, c.change, c.goes)
			if on != c.on || concerned != c.concerned && !full {
				t.Errorf("%s: on is %v, want %v; it changes what depends on it: %v, want %v", c.what, on, c.on, concerned, c.concerned)
			}
		}
	})
}
