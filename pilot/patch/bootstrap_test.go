package patch

import "testing"

// Patches of the bootstrap are merged in their order, in whichever context, and give one text.
func TestBootstrap(t *testing.T) {
	set, problems := patches(t,
		`{applyTo: BOOTSTRAP, match: {context: GATEWAY}, patch: {operation: MERGE, value: {stats_flush_interval: 5.5s, layered_runtime: {layers: [{name: a, static_layer: {x: 1}}]}}}}`,
		`{applyTo: BOOTSTRAP, patch: {operation: MERGE, value: {stats_flush_interval: 1s, layered_runtime: {layers: [{name: b, admin_layer: {}}]}}}}`,
		`{applyTo: CLUSTER, patch: {operation: MERGE, value: {connect_timeout: 1s}}}`)
	got, more := set.Bootstrap()
	want := `{"stats_flush_interval":"1s","layered_runtime":{"layers":[{"name":"a","static_layer":{"x":1}},{"name":"b","admin_layer":{}}]}}`
	if len(problems)+len(more) > 0 || got != want {
		t.Errorf("got %s %v %v, want %s", got, problems, more, want)
	}
	if got, _ := (Set{}).Bootstrap(); got != "" {
		t.Errorf("nothing gives %s", got)
	}
}
