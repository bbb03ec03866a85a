package resolve_test

import (
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
)

// The messages of calls of gRPC are noted for each request only where somebody counts or logs them.
func TestMessagesAreNotedForSomebody(t *testing.T) {
	const (
		off   = "metrics: [{overrides: [{disabled: true}]}]"
		on    = "metrics: [{overrides: [{disabled: true}, {match: {metric: GRPC_RESPONSE_MESSAGES, mode: SERVER}, disabled: false}]}]"
		label = "metrics: [{overrides: [{disabled: true}, {match: {metric: REQUEST_COUNT, mode: SERVER}, disabled: false, tagOverrides: {messages: {value: "
		tag   = ", tracing: [{providers: [{name: spans}], customTags: {messages: {formatter: {value: "
		log   = ", accessLogging: [{providers: [{name: "
	)
	for name, c := range map[string]struct {
		telemetry string
		noted     bool
	}{
		"metrics":                 {"", true},
		"no metrics":              {off, false},
		"one of the two alone":    {on, true},
		"a label without them":    {label + "request.method}}}]}]", false},
		"a label":                 {label + "'filter_state[\"envoy.filters.http.grpc_stats\"]'}}}]}]", true},
		"a tag without them":      {off + tag + "'%REQ(a)%'}}}}]", false},
		"a tag":                   {off + tag + "'%FILTER_STATE(envoy.filters.http.grpc_stats:PLAIN)%'}}}}]", true},
		"a log without them":      {off + log + "plain}]}]", false},
		"a log in text":           {off + log + "text}]}]", true},
		"a log in JSON":           {off + log + "json}]}]", true},
		"a log to a service":      {off + log + "service}]}]", true},
		"a filter that asks them": {off + log + "plain}], filter: {expression: '\"envoy.filters.http.grpc_stats\" in filter_state'}}]", true},
	} {
		t.Run(name, func(t *testing.T) {
			r := read(t, `{apiVersion: v1, kind: ConfigMap, metadata: {name: istio, namespace: istio-system}, data: {mesh: "extensionProviders: [
{name: spans, opentelemetry: {service: a.default.svc.cluster.local, port: 80}},
{name: plain, envoyFileAccessLog: {path: /dev/stdout}},
{name: text, envoyFileAccessLog: {path: /dev/stdout, logFormat: {text: '%FILTER_STATE(envoy.filters.http.grpc_stats)%'}}},
{name: json, envoyFileAccessLog: {path: /dev/stdout, logFormat: {labels: {in: {messages: '%FILTER_STATE(envoy.filters.http.grpc_stats)%'}}}}},
{name: service, envoyHttpAls: {service: a.default.svc.cluster.local, port: 80, filterStateObjectsToLog: [envoy.filters.http.grpc_stats]}}]"}}
---
{apiVersion: v1, kind: Service, metadata: {name: a, namespace: default}, spec: {clusterIP: 10.96.0.1, selector: {app: a}, ports: [{name: http, port: 80}]}}
`+telemetryObject("default", "t", "1", c.telemetry))
			class := resolve.Classify(r, &model.Proxy{Type: model.SidecarProxy, Name: "a-0", Namespace: "default", IPs: []string{"10.0.0.1"}, Labels: map[string]string{"app": "a"}})
			listeners, problems := resolve.Inbound(r, &class)
			if len(problems) > 0 {
				t.Fatal(problems)
			}
			managers := 0
			for _, chain := range listeners[0].Chains {
				for _, f := range chain.Filters {
					m, ok := f.(*ir.HTTPConnectionManager)
					if !ok {
						continue
					}
					for _, f := range m.Filters {
						if stats, ok := f.(ir.GRPCStats); ok {
							managers++
							if stats.OnDemand == c.noted {
								t.Errorf("in %s messages are noted: %v, want %v", chain.Name, !stats.OnDemand, c.noted)
							}
						}
					}
				}
			}
			if managers == 0 {
				t.Error("the filter is nowhere")
			}
		})
	}
}

// That a proxy names a port of its own as that of its HTTP proxy is a warning, as validation has it of the mesh's word for
// all: it harms nothing else.
func TestAPortOfTheProxysOwnIsAWarning(t *testing.T) {
	r := read(t, `{apiVersion: v1, kind: Service, metadata: {name: a, namespace: default}, spec: {clusterIP: 10.96.0.1, selector: {app: a}, ports: [{name: http, port: 80}]}}`)
	class := resolve.Classify(r, &model.Proxy{Type: model.SidecarProxy, Name: "a-0", Namespace: "default", IPs: []string{"10.0.0.1"}, HTTPProxyPort: 15006})
	problems := resolve.NewPlan(r, &class).Problems
	if len(problems) != 1 || problems[0].Severity != model.SeverityWarning {
		t.Errorf("%v, want one warning", problems)
	}
}
