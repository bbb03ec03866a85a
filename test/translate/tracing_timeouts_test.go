package translate

import (
	"fmt"
	"testing"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tracev3 "github.com/envoyproxy/go-control-plane/envoy/config/trace/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	samplers "github.com/envoyproxy/go-control-plane/envoy/extensions/tracers/opentelemetry/samplers/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// Each kind of tracer has the timeout that Istio's API gives it, unless its provider says another. Its name is found in any
// case.
func TestTimeoutsOfTracers(t *testing.T) {
	zipkin := func(t *testing.T, tracer *anypb.Any) *core.HttpService {
		return unmarshalled(t, tracer, &tracev3.ZipkinConfig{}).GetCollectorService()
	}
	spans := func(t *testing.T, tracer *anypb.Any) *core.HttpService {
		return unmarshalled(t, tracer, &tracev3.OpenTelemetryConfig{}).GetHttpService()
	}
	sampler := func(t *testing.T, tracer *anypb.Any) *core.HttpService {
		in := unmarshalled(t, tracer, &tracev3.OpenTelemetryConfig{}).GetSampler().GetTypedConfig()
		return unmarshalled(t, in, &samplers.DynatraceSamplerConfig{}).GetHttpService()
	}
	const (
		at    = "service: a.default.svc.cluster.local, port: 80"
		asked = "dynatraceSampler: {tenant: t, clusterId: 1"
	)
	for _, c := range []struct {
		provider string
		service  func(*testing.T, *anypb.Any) *core.HttpService
		want     time.Duration
	}{
		{"zipkin: {" + at + ", headers: [{name: x, value: z}]}", zipkin, 5 * time.Second},
		{"zipkin: {" + at + ", timeout: 7s}", zipkin, 7 * time.Second},
		{"opentelemetry: {" + at + ", http: {path: /v1/traces}}", spans, 3 * time.Second},
		{"opentelemetry: {" + at + ", http: {path: /v1/traces, timeout: 7s}}", spans, 7 * time.Second},
		{"opentelemetry: {" + at + ", http: {path: /v1/traces}, " + asked + "}}", sampler, 3 * time.Second},
		{"opentelemetry: {" + at + ", " + asked + ", httpService: {" + at + ", http: {path: /ask}}}}", sampler, 3 * time.Second},
		{"opentelemetry: {" + at + ", " + asked + ", httpService: {" + at + ", http: {path: /ask, timeout: 7s}}}}", sampler, 7 * time.Second},
	} {
		t.Run(c.provider, func(t *testing.T) {
			res := translate(t, fmt.Sprintf(`{apiVersion: v1, kind: ConfigMap, metadata: {name: istio, namespace: istio-system}, data: {mesh: "{extensionProviders: [{name: p, %s}], defaultProviders: {tracing: [P]}}"}}
---
{apiVersion: v1, kind: Service, metadata: {name: a, namespace: default}, spec: {clusterIP: 10.96.0.1, selector: {app: a}, ports: [{name: http, port: 80}]}}
`, c.provider), Proxy{Name: "a", Namespace: "default", IPs: []string{"10.1.0.9"}, Labels: map[string]string{"app": "a"}})
			validateAll(t, res)
			tracers := 0
			for _, l := range inlined(t, res) {
				for _, chain := range append(l.GetFilterChains(), l.GetDefaultFilterChain()) {
					for _, f := range chain.GetFilters() {
						m := &hcm.HttpConnectionManager{}
						if !f.GetTypedConfig().MessageIs(m) {
							continue
						}
						tracers++
						tracer := unmarshalled(t, f.GetTypedConfig(), m).GetTracing().GetProvider().GetTypedConfig()
						if got := c.service(t, tracer).GetHttpUri().GetTimeout().AsDuration(); got != c.want {
							t.Errorf("%s: %s, want %s", l.GetName(), got, c.want)
						}
					}
				}
			}
			if tracers == 0 {
				t.Error("nothing is traced")
			}
		})
	}
}

// unmarshalled reads a message into another of its type.
func unmarshalled[M proto.Message](t *testing.T, from *anypb.Any, into M) M {
	t.Helper()
	if err := from.UnmarshalTo(into); err != nil {
		t.Fatal(err)
	}
	return into
}
