package resolve_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
)

const service = `
apiVersion: v1
kind: Service
metadata: {name: a, namespace: server}
spec: {clusterIP: 10.96.0.1, selector: {app: a}, ports: [{name: http, port: 80}]}
`

// rule makes a DestinationRule whose connect timeout tells which one is in force.
func rule(namespace, name, host, timeout, more string) string {
	return `
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: ` + name + `, namespace: ` + namespace + `}
spec: {host: "` + host + `", trafficPolicy: {connectionPool: {tcp: {connectTimeout: ` + timeout + `}}}` + more + `}
`
}

func TestDestinationRuleLookup(t *testing.T) {
	const host = "a.server.svc.cluster.local"
	const nothing = 10 * time.Second
	selector := `, workloadSelector: {matchLabels: {app: client}}`
	for name, c := range map[string]struct {
		input  string
		client string // namespace of the client; "client" if empty
		want   time.Duration
	}{
		"none":                              {"", "", nothing},
		"the client's namespace first":      {rule("client", "r", host, "1s", "") + rule("server", "r", host, "2s", "") + rule("istio-system", "r", host, "3s", ""), "", 1 * time.Second},
		"then the service's":                {rule("server", "r", host, "2s", "") + rule("istio-system", "r", host, "3s", ""), "", 2 * time.Second},
		"then the root namespace":           {rule("istio-system", "r", host, "3s", ""), "", 3 * time.Second},
		"no other namespace":                {rule("other", "r", host, "4s", ""), "", nothing},
		"a short name is local":             {rule("client", "r", "a", "1s", "") + rule("server", "r", "a", "2s", ""), "", 2 * time.Second},
		"exportTo hides":                    {rule("server", "r", host, "2s", `, exportTo: ["."]`) + rule("istio-system", "r", host, "3s", ""), "", 3 * time.Second},
		"case and a final dot mean nothing": {rule("client", "r", "A.Server.svc.Cluster.local.", "1s", ""), "", 1 * time.Second},
		"nor in a short name":               {rule("server", "r", "A", "1s", ""), "", 1 * time.Second},
		"nor in a wildcard":                 {rule("client", "r", "*.SERVER.svc.cluster.local.", "1s", ""), "", 1 * time.Second},
		"a wildcard matches":                {rule("client", "r", "*.server.svc.cluster.local", "1s", ""), "", 1 * time.Second},
		"the most specific host counts":     {rule("client", "a", "*.local", "1s", "") + rule("client", "b", "*.server.svc.cluster.local", "2s", ""), "", 2 * time.Second},
		"a wildcard near beats a name far": {
			rule("client", "r", "*.local", "1s", "") + rule("server", "r", host, "2s", ""), "",
			1 * time.Second,
		},
		"for a client in root the service's comes first": {
			rule("istio-system", "r", host, "3s", "") + rule("server", "r", host, "2s", ""),
			"istio-system", 2 * time.Second,
		},
		"but root's private one before it": {
			rule("istio-system", "r", host, "3s", `, exportTo: ["."]`) + rule("server", "r", host, "2s", ""),
			"istio-system", 3 * time.Second,
		},
		"a selected workload's stands alone": {rule("client", "a", host, "1s", "") + rule("client", "b", host, "2s", selector), "", 2 * time.Second},
		"the youngest of another exportTo":   {rule("client", "a", host, "1s", "") + rule("client", "b", host, "2s", `, exportTo: ["."]`), "", 2 * time.Second},
		"exportTo in any order is the same":  {rule("client", "a", host, "1s", `, exportTo: ["x", "."]`) + rule("client", "b", host, "2s", `, exportTo: [".", "x"]`), "", 1 * time.Second},
		"of a client in root a selecting one before the service's": {
			rule("istio-system", "r", host, "3s", selector) + rule("server", "r", host, "2s", ""),
			"istio-system", 3 * time.Second,
		},
		"a selector elsewhere has no effect": {rule("server", "b", host, "2s", selector), "", nothing},
		"nor for another workload":           {rule("client", "b", host, "2s", strings.Replace(selector, "client", "x", 1)), "", nothing},
	} {
		t.Run(name, func(t *testing.T) {
			r := read(t, service+c.input)
			ns := c.client
			if ns == "" {
				ns = "client"
			}
			class := resolve.Classify(r, &model.Proxy{Type: model.SidecarProxy, Namespace: ns, Labels: map[string]string{"app": "client"}})
			clusters := clustersOf(r, &class)
			for _, cl := range clusters {
				if cl.Name == "outbound|80||"+host {
					if cl.ConnectTimeout != c.want {
						t.Errorf("connect timeout %s, want %s (from %q)", cl.ConnectTimeout, c.want, cl.Metadata.Config)
					}
					return
				}
			}
			t.Error("the cluster is missing")
		})
	}
}

func TestHashPolicies(t *testing.T) {
	ttl := time.Minute
	for hash, want := range map[string][]ir.HashPolicy{
		"{httpHeaderName: x-user}":                           {{Header: "x-user"}},
		"{httpQueryParameterName: q}":                        {{QueryParam: "q"}},
		"{useSourceIp: true}":                                {{SourceIP: true}},
		"{httpCookie: {name: c, path: /p, ttl: 60s}}":        {{Cookie: &ir.HashCookie{Name: "c", Path: "/p", TTL: &ttl}}},
		"{httpHeaderName: x-user, maglev: {tableSize: 251}}": {{Header: "x-user"}},
	} {
		t.Run(hash, func(t *testing.T) {
			r := read(t, service+`
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a, namespace: server}
spec: {host: a, subsets: [{name: v1, trafficPolicy: {loadBalancer: {consistentHash: `+hash+`}}}]}
`)
			class := resolve.Classify(r, &model.Proxy{Type: model.SidecarProxy, Namespace: "client"})
			svc := r.Service("client", "a.server.svc.cluster.local")
			if diff := cmp.Diff(want, resolve.HashPolicies(r, &class, svc, &svc.Ports[0], "v1")); diff != "" {
				t.Error(diff)
			}
			if got := resolve.HashPolicies(r, &class, svc, &svc.Ports[0], ""); got != nil {
				t.Errorf("without the subset: %v", got)
			}
		})
	}
}

func TestTCPPolicyTakesThePortsSettings(t *testing.T) {
	r := read(t, service+`
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a, namespace: server}
spec:
  host: a
  trafficPolicy:
    connectionPool: {tcp: {idleTimeout: 5s, maxConnectionDuration: 3600s}}
    portLevelSettings: [{port: {number: 81}, connectionPool: {tcp: {idleTimeout: 7s}}}]
`)
	class := resolve.Classify(r, &model.Proxy{Type: model.SidecarProxy, Namespace: "client"})
	svc := r.Service("client", "a.server.svc.cluster.local")
	rest, own := 5*time.Second, 7*time.Second
	for port, want := range map[uint32]ir.TCPPolicy{
		80: {IdleTimeout: &rest, MaxConnectionDuration: time.Hour},
		81: {IdleTimeout: &own},
	} {
		if diff := cmp.Diff(want, resolve.TCPPolicy(r, &class, svc, &model.ServicePort{Port: port}, "")); diff != "" {
			t.Errorf("port %d: %s", port, diff)
		}
	}
}

// Failures of connections have a default of their own, which 0 asks for as well; of answers 0 means never.
func TestEjectionByFailuresOfConnections(t *testing.T) {
	for field, want := range map[string]*uint32{"consecutiveLocalOriginFailures: 0, ": nil, "consecutiveLocalOriginFailures: 3, ": new(uint32(3)), "": nil} {
		r := read(t, service+`
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a, namespace: server}
spec: {host: a, trafficPolicy: {outlierDetection: {`+field+`consecutive5xxErrors: 0, splitExternalLocalOriginErrors: true}}}
`)
		class := resolve.Classify(r, &model.Proxy{Type: model.SidecarProxy, Namespace: "client"})
		for _, cl := range clustersOf(r, &class) {
			if diff := cmp.Diff(&ir.OutlierDetection{Consecutive5xx: new(uint32(0)), SplitLocalOrigin: true, ConsecutiveLocalOrigin: want}, cl.Outlier); diff != "" {
				t.Errorf("{%s}: %s", field, diff)
			}
		}
	}
}

// Settings of a port inherit nothing, also not what they cannot have themselves.
func TestRetryBudgetOfAPort(t *testing.T) {
	r := read(t, strings.Replace(service, "ports: [", "ports: [{name: other, port: 81}, ", 1)+`
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a, namespace: server}
spec:
  host: a
  trafficPolicy:
    retryBudget: {percent: 50}
    portLevelSettings: [{port: {number: 81}, connectionPool: {tcp: {maxConnections: 7}}}]
`)
	class := resolve.Classify(r, &model.Proxy{Type: model.SidecarProxy, Namespace: "client"})
	budgets := map[string]*ir.RetryBudget{}
	for _, cl := range clustersOf(r, &class) {
		budgets[cl.Name] = cl.Breakers.RetryBudget
	}
	want := map[string]*ir.RetryBudget{
		"outbound|80||a.server.svc.cluster.local": {Percent: 50, Least: 3},
		"outbound|81||a.server.svc.cluster.local": nil,
	}
	if diff := cmp.Diff(want, budgets); diff != "" {
		t.Error(diff)
	}
}

// clustersOf makes the clusters of all services that a class sends to.
func clustersOf(r resolve.Reader, c *resolve.Class) []*ir.Cluster {
	plan := resolve.NewPlan(r, c)
	var out []*ir.Cluster
	for _, svc := range plan.Services() {
		clusters, _ := plan.ServiceClusters(r, svc.Hostname)
		out = append(out, clusters...)
	}
	return out
}
