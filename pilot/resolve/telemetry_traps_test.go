package resolve_test

import (
	"slices"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
	"github.com/pilothouse-mesh/pilothouse/proto/telemetry"
)

// telemetryObject makes one document; created orders objects by age.
func telemetryObject(namespace, name, created, spec string) string {
	return `
---
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: ` + name + `, namespace: ` + namespace + `, creationTimestamp: "2026-01-0` + created + `T00:00:00Z"}
spec: {` + spec + `}
`
}

// What is counted, and where it is logged, follows the object of each scope: the mesh's, the namespace's, the
// workload's.
func TestTelemetryOfEachScope(t *testing.T) {
	const (
		app      = "selector: {matchLabels: {app: a}}, "
		none     = "metrics: [{overrides: [{disabled: true}]}]"
		noCount  = "metrics: [{overrides: [{match: {metric: REQUEST_COUNT}, disabled: true}]}]"
		aCount   = "metrics: [{overrides: [{match: {metric: REQUEST_COUNT}, disabled: false}]}]"
		noTime   = "metrics: [{overrides: [{match: {metric: REQUEST_DURATION}, disabled: true}]}]"
		noSizes  = "metrics: [{overrides: [{match: {metric: REQUEST_SIZE}, disabled: true}, {match: {metric: RESPONSE_SIZE}, disabled: true}, {match: {metric: GRPC_REQUEST_MESSAGES}, disabled: true}, {match: {metric: GRPC_RESPONSE_MESSAGES}, disabled: true}]}]"
		root, ns = "istio-system", "default"
		count    = telemetry.StatRequests
		duration = telemetry.StatDuration
	)
	toA, toB := "accessLogging: [{providers: [{name: a}]}]", "accessLogging: [{providers: [{name: b}]}]"
	few := telemetryObject(root, "few", "1", noSizes)
	for name, c := range map[string]struct {
		input string
		stats []string
		logs  []string
	}{
		"nothing but sizes off":                      {few, []string{count, duration}, nil},
		"overrides accumulate":                       {few + telemetryObject(ns, "n", "1", noTime), []string{count}, nil},
		"a workload's come last":                     {few + telemetryObject(ns, "n", "1", noCount) + telemetryObject(ns, "w", "2", app+aCount), []string{count, duration}, nil},
		"another workload's do not count":            {few + telemetryObject(ns, "w", "2", "selector: {matchLabels: {app: b}}, "+noCount), []string{count, duration}, nil},
		"another namespace's do not count":           {few + telemetryObject("other", "n", "1", none), []string{count, duration}, nil},
		"of one scope the oldest counts alone":       {few + telemetryObject(ns, "young", "3", none) + telemetryObject(ns, "old", "2", noTime), []string{count}, nil},
		"of one workload as well":                    {few + telemetryObject(ns, "young", "3", app+none) + telemetryObject(ns, "old", "2", app+noTime), []string{count}, nil},
		"all off takes the logger away":              {telemetryObject(root, "m", "1", none), nil, nil},
		"a namespace takes it away from itself only": {telemetryObject(ns, "n", "1", none), nil, nil},
		"providers of the mesh":                      {few + telemetryObject(ns, "n", "1", toA), []string{count, duration}, []string{"/dev/stdout"}},
		"providers replace":                          {telemetryObject(root, "m", "1", toA) + telemetryObject(ns, "n", "1", toB+", "+none), nil, []string{"/dev/stderr"}},
		"a workload's replace the namespace's":       {telemetryObject(ns, "n", "1", toB+", "+none) + telemetryObject(ns, "w", "2", app+toA), nil, []string{"/dev/stdout"}},
		"they stay where only metrics are said": {
			telemetryObject(root, "m", "1", toA) + telemetryObject(ns, "n", "1", none), nil,
			[]string{"/dev/stdout"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := read(t, `{apiVersion: v1, kind: ConfigMap, metadata: {name: istio, namespace: istio-system}, data: {mesh: "extensionProviders: [{name: a, envoyFileAccessLog: {path: /dev/stdout}}, {name: b, envoyFileAccessLog: {path: /dev/stderr}}]"}}
---
{apiVersion: v1, kind: Service, metadata: {name: a, namespace: default}, spec: {clusterIP: 10.96.0.1, selector: {app: a}, ports: [{name: http, port: 80}]}}
`+c.input)
			class := resolve.Classify(r, &model.Proxy{Type: model.SidecarProxy, Name: "a-0", Namespace: ns, IPs: []string{"10.0.0.1"}, Labels: map[string]string{"app": "a"}})
			stats, logs := observed(t, r, &class)
			if !slices.Equal(stats, c.stats) {
				t.Errorf("it counts %v, want %v", stats, c.stats)
			}
			if !slices.Equal(logs, c.logs) {
				t.Errorf("it logs to %v, want %v", logs, c.logs)
			}
		})
	}
}

// observed gives the statistics that the port of HTTP counts, and the files that it logs to.
func observed(t *testing.T, r resolve.Reader, c *resolve.Class) (stats, logs []string) {
	t.Helper()
	listeners, problems := resolve.Inbound(r, c)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	for _, chain := range listeners[0].Chains {
		for _, f := range chain.Filters {
			m, ok := f.(*ir.HTTPConnectionManager)
			if !ok || m.Routes == nil || m.Routes.Name != "inbound|80||" {
				continue
			}
			stats, logs = nil, nil
			for _, l := range m.AccessLog {
				switch l := l.(type) {
				case *ir.StatsLog:
					for _, s := range l.Stats {
						stats = append(stats, s.Name)
					}
				case *ir.FileLog:
					logs = append(logs, l.Path)
				}
			}
			return stats, logs
		}
	}
	t.Fatal("there is no HTTP on port 80")
	return nil, nil
}
