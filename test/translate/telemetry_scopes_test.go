package translate

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/prototext"
)

// telemetryOf gives a Telemetry; created orders them by age.
func telemetryOf(namespace, name, created, spec string) string {
	return "\n---\napiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata: {name: " + name + ", namespace: " + namespace +
		", creationTimestamp: \"2026-01-0" + created + "T00:00:00Z\"}\nspec: {" + spec + "}\n"
}

// Of one scope the oldest Telemetry counts, those of the mesh, the namespace and the workload count one after the other, and
// where they turn all metrics off nothing counts them.
func TestTelemetryByScopes(t *testing.T) {
	const off, on = "metrics: [{overrides: [{disabled: true}]}]", "metrics: [{overrides: [{disabled: false}]}]"
	without := func(label string) string {
		return "metrics: [{overrides: [{match: {metric: REQUEST_COUNT}, tagOverrides: {" + label + ": {operation: REMOVE}}}]}]"
	}
	const own = "selector: {matchLabels: {app: web}}, "
	for name, c := range map[string]struct {
		input string
		has   []string // of the inbound listener
		not   []string
	}{
		"nothing":                     {"", []string{"stats_scope"}, []string{"!source_app"}},
		"of the mesh":                 {telemetryOf("istio-system", "mesh", "1", without("source_app")), []string{"!source_app "}, nil},
		"of another namespace":        {telemetryOf("other", "x", "1", off), []string{"stats_scope"}, nil},
		"the oldest of a scope":       {telemetryOf("shop", "a", "2", off) + telemetryOf("shop", "b", "1", without("source_app")), []string{"!source_app "}, nil},
		"the oldest of a workload":    {telemetryOf("shop", "a", "2", own+off) + telemetryOf("shop", "b", "1", own+without("source_app")), []string{"!source_app "}, nil},
		"off":                         {telemetryOf("shop", "a", "1", off), nil, []string{"stats_scope", "envoy.extensions.access_loggers.stats"}},
		"a namespace over the mesh":   {telemetryOf("istio-system", "mesh", "1", on) + telemetryOf("shop", "a", "1", off), nil, []string{"stats_scope"}},
		"a workload over a namespace": {telemetryOf("shop", "a", "1", off) + telemetryOf("shop", "b", "1", own+on), []string{"stats_scope"}, nil},
		"a workload over the mesh":    {telemetryOf("istio-system", "mesh", "1", off) + telemetryOf("shop", "b", "1", own+on), []string{"stats_scope"}, nil},
		"another workload":            {telemetryOf("shop", "b", "1", "selector: {matchLabels: {app: quiet}}, "+off), []string{"stats_scope"}, nil},
		"overrides accumulate": {
			telemetryOf("istio-system", "mesh", "1", without("source_app")) + telemetryOf("shop", "a", "1", without("source_version")) + telemetryOf("shop", "b", "1", own+without("source_workload")),
			[]string{"!source_app!source_version!source_workload "},
			nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			res := translate(t, workloadYAML+c.input, Proxy{Name: "web-0", Namespace: "shop", IPs: []string{"10.0.0.1"}})
			var text string
			for _, r := range res.ByType["listeners"] {
				if r.Name == "virtualInbound" {
					text = strings.Join(strings.Fields(prototext.Format(r.Body)), " ")
				}
			}
			if text == "" {
				t.Fatal("there is no inbound listener")
			}
			for _, part := range c.has {
				if !strings.Contains(text, part) {
					t.Errorf("the inbound listener has no %q", part)
				}
			}
			for _, part := range c.not {
				if strings.Contains(text, part) {
					t.Errorf("the inbound listener has %q", part)
				}
			}
		})
	}
}
