package resolve_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
	"github.com/pilothouse-mesh/pilothouse/proto/telemetry"
	"github.com/pilothouse-mesh/pilothouse/test/trap"
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

// What is counted, by which labels, and where it is logged, follows the object of each scope: of one scope the oldest
// counts, those of the mesh, the namespace and the workload count one after the other. Where they turn all metrics off
// nothing counts.
func TestTelemetryOfEachScope(t *testing.T) {
	const (
		app      = "selector: {matchLabels: {app: a}}, "
		none     = "metrics: [{overrides: [{disabled: true}]}]"
		noCount  = "metrics: [{overrides: [{match: {metric: REQUEST_COUNT}, disabled: true}]}]"
		aCount   = "metrics: [{overrides: [{match: {metric: REQUEST_COUNT}, disabled: false}]}]"
		all      = "metrics: [{overrides: [{disabled: false}]}]"
		noTime   = "metrics: [{overrides: [{match: {metric: REQUEST_DURATION}, disabled: true}]}]"
		noSizes  = "metrics: [{overrides: [{match: {metric: REQUEST_SIZE}, disabled: true}, {match: {metric: RESPONSE_SIZE}, disabled: true}, {match: {metric: GRPC_REQUEST_MESSAGES}, disabled: true}, {match: {metric: GRPC_RESPONSE_MESSAGES}, disabled: true}]}]"
		root, ns = "istio-system", "default"
		count    = telemetry.StatRequests
		duration = telemetry.StatDuration
	)
	toA, toB := "accessLogging: [{providers: [{name: a}]}]", "accessLogging: [{providers: [{name: b}]}]"
	few := telemetryObject(root, "few", "1", noSizes)
	without := func(label string) string {
		return "metrics: [{overrides: [{match: {metric: REQUEST_COUNT}, tagOverrides: {" + label + ": {operation: REMOVE}}}]}]"
	}
	fallen := map[string]struct {
		trap        string
		stats, logs []string
	}{
		"of one scope the oldest counts alone": {"one-telemetry-of-a-scope", nil, nil},
		"overrides accumulate":                 {"one-telemetry-of-a-scope", []string{count, telemetry.StatRequestBytes, telemetry.StatResponseBytes, telemetry.StatMessages}, nil},
		"providers replace":                    {"providers-replace", nil, []string{"/dev/stdout", "/dev/stderr"}},
	}
	every := []string{count, duration, telemetry.StatRequestBytes, telemetry.StatResponseBytes, telemetry.StatMessages}
	for name, c := range map[string]struct {
		input   string
		stats   []string
		logs    []string
		removed string // labels of what counts requests
	}{
		"nothing":                     {"", every, nil, ""},
		"a label of the mesh":         {telemetryObject(root, "m", "1", without("source_app")), every, nil, "!source_app"},
		"a namespace over the mesh":   {telemetryObject(root, "m", "1", all) + telemetryObject(ns, "n", "1", none), nil, nil, ""},
		"a workload over the mesh":    {telemetryObject(root, "m", "1", none) + telemetryObject(ns, "w", "1", app+all), every, nil, ""},
		"a workload over a namespace": {telemetryObject(ns, "n", "1", none) + telemetryObject(ns, "w", "1", app+all), every, nil, ""},
		"labels accumulate": {
			telemetryObject(root, "m", "1", without("source_app")) + telemetryObject(ns, "n", "1", without("source_version")) + telemetryObject(ns, "w", "1", app+without("source_workload")),
			every, nil, "!source_app!source_version!source_workload",
		},
		"nothing but sizes off":                      {few, []string{count, duration}, nil, ""},
		"overrides accumulate":                       {few + telemetryObject(ns, "n", "1", noTime), []string{count}, nil, ""},
		"a workload's come last":                     {few + telemetryObject(ns, "n", "1", noCount) + telemetryObject(ns, "w", "2", app+aCount), []string{count, duration}, nil, ""},
		"another workload's do not count":            {few + telemetryObject(ns, "w", "2", "selector: {matchLabels: {app: b}}, "+noCount), []string{count, duration}, nil, ""},
		"another namespace's do not count":           {few + telemetryObject("other", "n", "1", none), []string{count, duration}, nil, ""},
		"of one scope the oldest counts alone":       {few + telemetryObject(ns, "young", "3", none) + telemetryObject(ns, "old", "2", noTime), []string{count}, nil, ""},
		"of one workload as well":                    {few + telemetryObject(ns, "young", "3", app+none) + telemetryObject(ns, "old", "2", app+noTime), []string{count}, nil, ""},
		"all off takes the logger away":              {telemetryObject(root, "m", "1", none), nil, nil, ""},
		"a namespace takes it away from itself only": {telemetryObject(ns, "n", "1", none), nil, nil, ""},
		"providers of the mesh":                      {few + telemetryObject(ns, "n", "1", toA), []string{count, duration}, []string{"/dev/stdout"}, ""},
		"providers replace":                          {telemetryObject(root, "m", "1", toA) + telemetryObject(ns, "n", "1", toB+", "+none), nil, []string{"/dev/stderr"}, ""},
		"a workload's replace the namespace's":       {telemetryObject(ns, "n", "1", toB+", "+none) + telemetryObject(ns, "w", "2", app+toA), nil, []string{"/dev/stdout"}, ""},
		"they stay where only metrics are said": {
			telemetryObject(root, "m", "1", toA) + telemetryObject(ns, "n", "1", none), nil,
			[]string{"/dev/stdout"},
			"",
		},
		"what is said of another provider": {
			telemetryObject(root, "m", "1", "metrics: [{providers: [{name: other}], overrides: [{disabled: true}]}, {providers: [{name: prometheus}]}]"), every, nil, "",
		},
		"of one that is not there": {
			telemetryObject(root, "m", "1", "metrics: [{providers: [{name: gone}], overrides: [{disabled: true}]}]"), every, nil, "",
		},
		"who names no provider says it of the object's before": {
			telemetryObject(root, "m", "1", "metrics: [{providers: [{name: other}]}]") + telemetryObject(ns, "n", "1", none), every, nil, "",
		},
		"of Prometheus beside another": {
			few + telemetryObject(ns, "n", "1", "metrics: [{providers: [{name: other}, {name: PROMETHEUS}]}, {overrides: [{disabled: true}]}]"),
			nil, nil, "",
		},
		"of Prometheus by a name of the mesh's": {telemetryObject(root, "m", "1", "metrics: [{providers: [{name: p}], overrides: [{disabled: true}]}]"), nil, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := read(t, `{apiVersion: v1, kind: ConfigMap, metadata: {name: istio, namespace: istio-system}, data: {mesh: "extensionProviders: [{name: a, envoyFileAccessLog: {path: /dev/stdout}}, {name: b, envoyFileAccessLog: {path: /dev/stderr}}, {name: p, prometheus: {}}, {name: other, envoyHttpAls: {service: a, port: 80}}]"}}
---
{apiVersion: v1, kind: Service, metadata: {name: a, namespace: default}, spec: {clusterIP: 10.96.0.1, selector: {app: a}, ports: [{name: http, port: 80}]}}
`+c.input)
			class := resolve.Classify(r, &model.Proxy{Type: model.SidecarProxy, Name: "a-0", Namespace: ns, IPs: []string{"10.0.0.1"}, Labels: map[string]string{"app": "a"}})
			listeners, problems := resolve.Inbound(r, &class)
			for _, p := range problems {
				if !strings.Contains(p.Message, "metrics are for Prometheus") {
					t.Fatal(p)
				}
			}
			stats, logs, removed := observed(t, listeners)
			if !slices.Equal(stats, c.stats) {
				t.Errorf("it counts %v, want %v", stats, c.stats)
			}
			if !slices.Equal(logs, c.logs) {
				t.Errorf("it logs to %v, want %v", logs, c.logs)
			}
			if removed != c.removed {
				t.Errorf("labels %q are removed, want %q", removed, c.removed)
			}
			if c.stats == nil {
				trap.Apart(t, "no-metrics-no-filter", counts(listeners), true)
			}
			if fallen, ok := fallen[name]; ok {
				trap.Apart(t, fallen.trap, [][]string{stats, logs}, [][]string{fallen.stats, fallen.logs})
			}
		})
	}
}

// observed gives the statistics that the port of HTTP counts, the files that it logs to, and which labels those who count
// requests leave out.
func observed(t *testing.T, listeners []*ir.Listener) (stats, logs []string, removed string) {
	t.Helper()
	for _, chain := range listeners[0].Chains {
		for _, f := range chain.Filters {
			m, ok := f.(*ir.HTTPConnectionManager)
			if !ok || m.Routes == nil || m.Routes.Name != "inbound|80||" {
				continue
			}
			for _, l := range m.AccessLog {
				switch l := l.(type) {
				case *ir.StatsLog:
					for _, s := range l.Stats {
						stats = append(stats, s.Name)
						if s.Name == telemetry.StatRequests {
							removed, _, _ = strings.Cut(s.Labels[0].Format[1:], " ")
						}
					}
				case *ir.FileLog:
					logs = append(logs, l.Path)
				}
			}
			return stats, logs, removed
		}
	}
	t.Fatal("there is no HTTP on port 80")
	return nil, nil, ""
}

// counts tells whether anything in some listeners counts requests or connections.
func counts(listeners []*ir.Listener) bool {
	counting := func(l ir.AccessLogger) bool {
		switch l.(type) {
		case *ir.StatsLog, *ir.BytesLog:
			return true
		}
		return false
	}
	in := func(c *ir.FilterChain) bool {
		return c != nil && slices.ContainsFunc(c.Filters, func(f ir.NetworkFilter) bool {
			switch f := f.(type) {
			case *ir.HTTPConnectionManager:
				return slices.ContainsFunc(f.AccessLog, counting)
			case *ir.TCPProxy:
				return slices.ContainsFunc(f.AccessLog, counting)
			}
			return false
		})
	}
	return slices.ContainsFunc(listeners, func(l *ir.Listener) bool { return in(l.Default) || slices.ContainsFunc(l.Chains, in) })
}
