package bootstrap

import "testing"

// Both spellings of a field that Envoy reads are the same field.
func TestOver(t *testing.T) {
	const patches = `{"layered_runtime":{"layers":[{"name":"b"}]},"stats_flush_interval":"4s"}`
	for override, want := range map[string]string{
		"": patches,
		"{layered_runtime: {layers: [{name: a}]}, stats_flush_interval: 3s}": `{"layered_runtime":{"layers":[{"name":"a"},{"name":"b"}]},"stats_flush_interval":"4s"}`,
		"{layeredRuntime: {layers: [{name: a}]}, statsFlushInterval: 3s}":    `{"layeredRuntime":{"layers":[{"name":"a"},{"name":"b"}]},"statsFlushInterval":"4s"}`,
	} {
		if got, err := Over(override, patches); err != nil || got != want {
			t.Errorf("%s: %s, %v, want %s", override, got, err, want)
		}
	}
}
