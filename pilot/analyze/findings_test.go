package analyze

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/inject"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// inEffectForNobody are rules that a control plane takes, and that nobody goes by.
const inEffectForNobody = `---
apiVersion: v1
kind: Pod
metadata: {name: edge-1, labels: {istio: edge}}
spec: {containers: [{name: istio-proxy, image: x, args: [proxy, router]}]}
status: {podIP: 10.9.0.9, phase: Running, conditions: [{type: Ready, status: "True"}]}
---
apiVersion: v1
kind: Service
metadata: {name: edge}
spec: {clusterIP: 10.96.0.9, selector: {istio: edge}, ports: [{name: https, port: 443, targetPort: web}]}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge}
spec:
  selector: {istio: edge}
  servers:
  - {port: {number: 443, name: tls, protocol: TLS}, tls: {mode: PASSTHROUGH}, hosts: [pass.example.com]}
  - {port: {number: 31400, name: tcp, protocol: TCP}, hosts: [tcp.example.com]}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: usual}
spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: misspelt}
spec: {hosts: [shop.example.com], gateways: [edgy], http: [{route: [{destination: {host: shop}}]}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: elsewhere}
spec: {hosts: [other.example.com], gateways: [edge], http: [{route: [{destination: {host: shop}}]}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: passed}
spec: {hosts: [pass.example.com], gateways: [edge], http: [{route: [{destination: {host: shop}}]}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: raitings}
spec: {host: raitings}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: nobody}
spec: {workloadSelector: {labels: {app: nobody}}, egress: [{hosts: ["./*"]}]}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: somebody}
spec: {workloadSelector: {labels: {app: client}}, egress: [{hosts: ["./*"]}]}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: shop}
spec: {selector: {matchLabels: {app: shop}}, portLevelMtls: {9999: {mode: STRICT}}}
---
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: machines}
spec: {workloadSelector: {labels: {app: vm}}}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: "refused:AuthorizationPolicy:odd"}
spec: {selector: {matchLabels: {app: nobody}}, rules: [{}]}
`

// foundIn gives the findings about a mesh, a line each: code, object, field.
func foundIn(t *testing.T, r *Running, said []model.Problem, files string) string {
	t.Helper()
	var named []File
	if files != "" {
		named = []File{{Name: "new.yaml", Data: []byte(files)}}
	}
	found, err := r.Findings(t.Context(), said, named)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, f := range found {
		out = append(out, strings.Join(strings.Fields(fmt.Sprintf("%s %s %s %s", f.Level, f.Code, f.Object, f.Field)), " "))
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}

// aliveOf gives a mesh with the rules, whose gateway and a machine are connected.
func aliveOf(t *testing.T) *Running {
	r := runningOf(t, runningShop+inEffectForNobody)
	for _, p := range []model.Proxy{
		{Type: model.RouterProxy, Name: "edge-1", IPs: []string{"10.9.0.9"}, Labels: map[string]string{"istio": "edge"}},
		{Type: model.SidecarProxy, Name: "vm", IPs: []string{"192.0.2.9"}, Labels: map[string]string{"app": "vm"}},
	} {
		p.Namespace, p.DNSDomain, p.ClusterID, p.Secrets = "default", "default.svc.cluster.local", "Kubernetes", true
		p.ID = string(p.Type) + "~" + p.IPs[0] + "~" + p.Name + ".default~x"
		r.Proxies = append(r.Proxies, p)
	}
	return r
}

const nobodyGoesBy = `Error IST0101 Gateway/default/usual spec.selector
Error IST0101 VirtualService/default/misspelt spec.gateways[0]
Info IST0102 Namespace/plain metadata.labels
Warning IST0101 DestinationRule/default/raitings spec.host
Warning IST0127 Sidecar/default/nobody spec.workloadSelector.labels
Warning IST0132 VirtualService/default/elsewhere spec.gateways[0]
Warning IST0162 Gateway/default/edge spec.servers[1].port.number
Warning Service/default/edge spec.ports[0].targetPort
Warning VirtualService/default/passed spec.http`

// What a control plane takes and nobody goes by is found in a mesh that runs, by its pods, proxies and Services.
func TestFindingsOfARunningMesh(t *testing.T) {
	if got := foundIn(t, aliveOf(t), nil, ""); got != nobodyGoesBy {
		t.Errorf("found\n%s", got)
	}
}

// saidOf gives what a control plane says of what proxies get.
func saidOf(t *testing.T, r *Running) []model.Problem {
	t.Helper()
	m := r.decoded(nil)
	m.apply(r.Objects)
	m.settle()
	told, err := m.told(t.Context(), m.proxies(r.Proxies), r.Settings)
	if err != nil || len(told) == 0 {
		t.Fatal(told, err)
	}
	return slices.Clone(told)
}

// What the control plane has said is told once, also where it is seen here, and what else it said as well.
func TestFindingsHaveWhatTheControlPlaneSays(t *testing.T) {
	r := aliveOf(t)
	said := append(saidOf(t, r), model.Problem{
		Object: model.Key{Kind: model.KindEnvoyFilter, Namespace: "default", Name: "bad"}, Severity: model.SeverityError, Reason: model.ReasonRejected, Message: "Envoy refuses it",
	})
	if got, want := foundIn(t, r, said, ""), "Error EnvoyFilter/default/bad\n"+nobodyGoesBy; got != want {
		t.Errorf("found\n%s", got)
	}
}

// Files are taken as if they were applied: what they mend is told no more, and what they break is.
func TestFindingsWithFiles(t *testing.T) {
	const files = `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edgy}
spec: {selector: {istio: edge}, servers: [{port: {number: 443, name: tls, protocol: TLS}, tls: {mode: PASSTHROUGH}, hosts: [shop.example.com]}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: raitings}
spec: {host: shop, subsets: [{name: v9, labels: {version: v9}}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: nobody}
spec: {selector: {matchLabels: {app: nobody}}, template: {metadata: {labels: {app: nobody}}, spec: {containers: [{name: app, image: x}]}}}
---
apiVersion: v1
kind: Namespace
metadata: {name: plain, labels: {istio-injection: disabled}}
`
	r := aliveOf(t)
	said := append(saidOf(t, r),
		model.Problem{Object: model.Key{Kind: model.KindDestinationRule, Namespace: "default", Name: "raitings"}, Severity: model.SeverityWarning, Message: "of what was"},
		model.Problem{Object: model.Key{Kind: model.KindEnvoyFilter, Namespace: "default", Name: "bad"}, Severity: model.SeverityError, Message: "of what stays"})
	const want = `Error EnvoyFilter/default/bad
Error IST0101 Gateway/default/usual spec.selector
Warning IST0127 DestinationRule/default/raitings spec.subsets[0].labels
Warning IST0132 VirtualService/default/elsewhere spec.gateways[0]
Warning IST0162 Gateway/default/edge spec.servers[1].port.number
Warning Service/default/edge spec.ports[0].targetPort
Warning VirtualService/default/misspelt spec.http
Warning VirtualService/default/passed spec.http`
	if got := foundIn(t, r, said, files); got != want {
		t.Errorf("found\n%s", got)
	}
}

// A pod that runs without the sidecar for which its namespace asks is told, and of replicas one; who waits for a proxy of
// its own, has one that is not connected, or has ended lacks none.
func TestFindingsOfPodsThatRun(t *testing.T) {
	pod := func(name, labels, annotations, status string) string {
		return fmt.Sprintf("---\napiVersion: v1\nkind: Pod\nmetadata: {name: %s, labels: {app: bare%s}, annotations: {%s}, ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: bare-5, uid: a}]}\n"+
			"spec: {containers: [{name: app, image: x}]}\nstatus: {podIP: 10.9.1.%d, phase: %s}\n", name, labels, annotations, len(name), status)
	}
	r := runningOf(t, runningShop+pod("bare-5-a", "", "", "Running")+pod("bare-5-bb", "", "", "Running")+
		pod("away-5-ccc", ", sidecar.istio.io/inject: 'false'", "", "Running")+
		pod("lone-5-dddd", ", a: b", "sidecar.istio.io/status: '{}'", "Running")+
		pod("done-5-eeeee", ", c: d", "", "Succeeded"))
	policy := inject.DefaultPolicy()
	r.Injection = &policy
	const want = "Info IST0102 Namespace/plain metadata.labels\nWarning IST0103 Pod/default/bare-5-a"
	if got := foundIn(t, r, nil, ""); got != want {
		t.Errorf("found\n%s", got)
	}
}

// Which servers have no sidecar is known of pods by their own names, of replicas too.
func TestFindingsOfServersWithoutSidecar(t *testing.T) {
	const more = `---
apiVersion: v1
kind: Pod
metadata: {name: old-5-zz, namespace: plain, labels: {app: old, pod-template-hash: "5"}, ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: old-5, uid: a}]}
spec: {containers: [{name: app, image: x}]}
status: {podIP: 10.9.0.4, phase: Running, conditions: [{type: Ready, status: "True"}]}
---
apiVersion: v1
kind: Service
metadata: {name: old, namespace: plain}
spec: {clusterIP: 10.96.0.5, selector: {app: old}, ports: [{name: http, port: 80}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: old, namespace: plain}
spec: {host: old, trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: shop}
spec: {host: shop, trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}}
`
	const want = "Error IST0113 DestinationRule/plain/old spec.trafficPolicy.tls.mode\nInfo IST0102 Namespace/plain metadata.labels"
	if got := foundIn(t, runningOf(t, runningShop+more), nil, ""); got != want {
		t.Errorf("found\n%s", got)
	}
}
