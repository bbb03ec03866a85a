package patch

import (
	"slices"
	"testing"

	networking "istio.io/api/networking/v1alpha3"
)

// Patches of the bootstrap stand in their order, whichever context they name, each with its own text.
func TestBootstrap(t *testing.T) {
	set, problems := patches(t,
		`{applyTo: BOOTSTRAP, match: {context: GATEWAY}, patch: {operation: MERGE, value: {stats_flush_interval: 5.5s, layered_runtime: {layers: [{name: a, static_layer: {x: 1}}]}}}}`,
		`{applyTo: BOOTSTRAP, patch: {operation: MERGE, value: {stats_flush_interval: 1s}}}`)
	all, more := set.Bootstrap()
	var got []string
	for _, p := range all {
		got = append(got, p.Name+" "+p.JSON)
	}
	want := []string{
		`EnvoyFilter/a/f spec.configPatches[0] {"stats_flush_interval":"5.500s","layered_runtime":{"layers":[{"name":"a","static_layer":{"x":1}}]}}`,
		`EnvoyFilter/a/f spec.configPatches[1] {"stats_flush_interval":"1s"}`,
	}
	if len(problems)+len(more) > 0 || !slices.Equal(got, want) {
		t.Errorf("got %s %v %v, want %s", got, problems, more, want)
	}
	if !set[0].In(networking.EnvoyFilter_SIDECAR_INBOUND) {
		t.Error("a patch that names gateways is not for every context")
	}
}
