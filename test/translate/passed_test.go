package translate

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	accesslog "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	statsaccesslog "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/stats/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// TestWhatARequestPasses bounds what each request costs by what it passes, as `make dataplane` measures it in time: the
// HTTP filters that Envoy makes for it, the loggers whose filter it takes an expression to ask, and the labels that are
// composed.
func TestWhatARequestPasses(t *testing.T) {
	const metricsThere = `
---
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: loud, namespace: elsewhere}
spec: {metrics: [{overrides: [{disabled: false}]}]}
`
	const router, grpc, state, header = "router", "grpc_stats", "set_filter_state", "header_mutation"
	for name, c := range map[string]struct {
		more    string
		out, in []string
		labels  int
	}{
		"metrics":             {"", []string{grpc, state, header, router}, []string{state, header, grpc, router}, 4},
		"no metrics":          {metricsOff, []string{state, router}, []string{router}, 0},
		"metrics of somebody": {metricsOff + metricsThere, []string{state, header, router}, []string{router}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			input := fmt.Sprintf(twoHopsYAML, 8080, 8081) + c.more
			out := translate(t, input, Proxy{Labels: map[string]string{"app": "productpage"}})
			in := translate(t, input, Proxy{Name: "reviews-v1-0", Labels: map[string]string{"app": "reviews", "version": "v1"}, IPs: []string{"10.0.1.1"}})
			passes(t, out, "0.0.0.0_9080", c.out, c.labels)
			passes(t, in, model.VirtualInboundListener, c.in, c.labels)
		})
	}
}

// passes checks the connection managers of a listener; at servers those that are reached by mutual TLS.
func passes(t *testing.T, res Resources, listener string, filters []string, labels int) {
	t.Helper()
	checked := 0
	for _, l := range inlined(t, res) {
		if l.GetName() != listener {
			continue
		}
		for _, m := range managers(l) {
			checked++
			var got []string
			for _, f := range m.GetHttpFilters() {
				if !f.GetDisabled() {
					got = append(got, strings.TrimPrefix(f.GetName(), "envoy.filters.http."))
				}
			}
			if !slices.Equal(got, filters) {
				t.Errorf("%s %s: requests pass %v, want %v", listener, m.GetStatPrefix(), got, filters)
			}
			composed := 0
			for _, log := range m.GetAccessLog() {
				if byExpression(log.GetFilter()) {
					t.Errorf("%s %s: an expression decides whether logger %s is for a request", listener, m.GetStatPrefix(), log.GetName())
				}
				if config := (&statsaccesslog.Config{}); log.GetFilter() == nil && log.GetTypedConfig().UnmarshalTo(config) == nil {
					composed += len(config.GetCounters()) + len(config.GetHistograms())
				}
			}
			if composed != labels {
				t.Errorf("%s %s: %d labels are composed for each request, want %d", listener, m.GetStatPrefix(), composed, labels)
			}
		}
	}
	if checked == 0 {
		t.Errorf("%s has no connection manager", listener)
	}
}

// byExpression tells whether a logger's filter asks an expression first.
func byExpression(f *accesslog.AccessLogFilter) bool {
	if all := f.GetAndFilter().GetFilters(); len(all) > 0 {
		return byExpression(all[0])
	}
	return f.GetExtensionFilter() != nil
}

func managers(l *listenerv3.Listener) []*hcm.HttpConnectionManager {
	var out []*hcm.HttpConnectionManager
	for _, c := range append(slices.Clone(l.GetFilterChains()), l.GetDefaultFilterChain()) {
		if l.GetName() == model.VirtualInboundListener && c.GetTransportSocket() == nil {
			continue
		}
		for _, f := range c.GetFilters() {
			if m := (&hcm.HttpConnectionManager{}); f.GetTypedConfig().UnmarshalTo(m) == nil {
				out = append(out, m)
			}
		}
	}
	return out
}
