package store

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// TestLostNodes has the pods of a service in every state that nodes and applications bring them into.
func TestLostNodes(t *testing.T) {
	const (
		ready, lost, broken = "{type: Ready, status: 'True'}, {type: ContainersReady, status: 'True'}", "{type: Ready, status: 'False'}, {type: ContainersReady, status: 'True'}", "{type: Ready, status: 'False'}, {type: ContainersReady, status: 'False'}"
		gate                = "readinessGates: [{conditionType: example.com/gate}], "
		leaving             = ", deletionTimestamp: '2026-01-01T00:00:00Z'"
	)
	type pod struct{ conditions, spec, meta string }
	for name, c := range map[string]struct {
		pods []pod
		want []model.Health
	}{
		"all nodes are lost":                {[]pod{{conditions: lost}, {conditions: lost}}, []model.Health{model.Healthy, model.Healthy}},
		"one node is lost":                  {[]pod{{conditions: lost}, {conditions: ready}}, []model.Health{model.Unhealthy, model.Healthy}},
		"a node is lost, an other is sick":  {[]pod{{conditions: lost}, {conditions: broken}}, []model.Health{model.Healthy, model.Unhealthy}},
		"all are sick":                      {[]pod{{conditions: broken}, {conditions: broken}}, []model.Health{model.Unhealthy, model.Unhealthy}},
		"a pod of a lost node was deleted":  {[]pod{{conditions: lost, meta: leaving}, {conditions: broken}}, []model.Health{model.Draining, model.Unhealthy}},
		"what a pod waits for has not come": {[]pod{{conditions: lost, spec: gate}}, []model.Health{model.Unhealthy}},
	} {
		for _, sliced := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, slices %t", name, sliced), func(t *testing.T) {
				text := "apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: default}\nspec: {selector: {app: a}, ports: [{name: http, port: 80}]}\n"
				slice := "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: a, namespace: default, labels: {kubernetes.io/service-name: a}}\naddressType: IPv4\nports: [{name: http, port: 80}]\nendpoints:\n"
				for i, p := range c.pods {
					text += fmt.Sprintf("---\napiVersion: v1\nkind: Pod\nmetadata: {name: p%d, namespace: default, labels: {app: a}%s}\nspec: {%scontainers: [{name: c}]}\nstatus: {podIP: 10.0.0.%d, conditions: [%s]}\n", i, p.meta, p.spec, i, p.conditions)
					slice += fmt.Sprintf("- {addresses: [10.0.0.%d], conditions: {ready: %t, terminating: %t}, targetRef: {kind: Pod, name: p%d}}\n", i, p.conditions == ready, p.meta == leaving, i)
				}
				if sliced {
					text += slice
				}
				got := FromObjects(decode(t, strings.TrimSpace(text)), Options{}).Endpoints(model.ServiceID{Namespace: "default", Hostname: "a.default.svc.cluster.local"})
				if len(got) != len(c.want) {
					t.Fatalf("endpoints %v", got)
				}
				for i, e := range got {
					if e.Health != c.want[i] {
						t.Errorf("endpoint %d: %v, not %v", i, e.Health, c.want[i])
					}
				}
			})
		}
	}
}

// A slice of Kubernetes' own controller comes a moment after what its pods say; one of somebody else's means it.
func TestASliceThatIsLate(t *testing.T) {
	for by, want := range map[string]model.Health{"endpointslice-controller.k8s.io": model.Healthy, "somebody": model.Unhealthy} {
		text := "apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: default}\nspec: {selector: {app: a}, ports: [{name: http, port: 80}]}\n" +
			"---\napiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: default, labels: {app: a}}\nspec: {containers: [{name: c}]}\nstatus: {podIP: 10.0.0.1, conditions: [{type: Ready, status: 'True'}, {type: ContainersReady, status: 'True'}]}\n" +
			"---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: a, namespace: default, labels: {kubernetes.io/service-name: a, endpointslice.kubernetes.io/managed-by: " + by + "}}\n" +
			"addressType: IPv4\nports: [{name: http, port: 80}]\nendpoints: [{addresses: [10.0.0.1], conditions: {ready: false}, targetRef: {kind: Pod, name: p}}]"
		got := FromObjects(decode(t, text), Options{}).Endpoints(model.ServiceID{Namespace: "default", Hostname: "a.default.svc.cluster.local"})
		if len(got) != 1 || got[0].Health != want {
			t.Errorf("by %s: %v, not %v", by, got, want)
		}
	}
}

// TestAPortThatOnlyALostNodeServes has a pod in service for one port, and only a lost one for the other.
func TestAPortThatOnlyALostNodeServes(t *testing.T) {
	text := "apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: default}\nspec: {selector: {app: a}, ports: [{name: grpc, port: 81, targetPort: grpc}, {name: http, port: 80, targetPort: http}]}\n" +
		"---\napiVersion: v1\nkind: Pod\nmetadata: {name: lost, namespace: default, labels: {app: a}}\nspec: {containers: [{name: c, ports: [{name: grpc, containerPort: 9091}, {name: http, containerPort: 9090}]}]}\nstatus: {podIP: 10.0.0.1, conditions: [{type: Ready, status: 'False'}, {type: ContainersReady, status: 'True'}]}\n" +
		"---\napiVersion: v1\nkind: Pod\nmetadata: {name: ready, namespace: default, labels: {app: a}}\nspec: {containers: [{name: c, ports: [{name: http, containerPort: 9090}]}]}\nstatus: {podIP: 10.0.0.2, conditions: [{type: Ready, status: 'True'}, {type: ContainersReady, status: 'True'}]}"
	got := map[string]model.Health{}
	for _, e := range FromObjects(decode(t, text), Options{}).Endpoints(model.ServiceID{Namespace: "default", Hostname: "a.default.svc.cluster.local"}) {
		got[e.ServicePort+" "+e.Pod] = e.Health
	}
	if want := map[string]model.Health{"grpc lost": model.Healthy, "http lost": model.Unhealthy, "http ready": model.Healthy}; !maps.Equal(got, want) {
		t.Errorf("health %v, not %v", got, want)
	}
}
