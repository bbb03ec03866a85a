package main

import (
	"bytes"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pilothouse-mesh/pilothouse/localnode"
	"github.com/pilothouse-mesh/pilothouse/localnode/pod"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// A Gateway is not in effect that no gateway has the labels of, be it connected to whatever control plane; sidecars
// that have them serve nothing.
func TestIdleGateways(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "mesh.yaml"), `
{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: served}, spec: {selector: {istio: edge}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}}
---
{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: idle}, spec: {selector: {istio: egress, a: b}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}}
---
{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: beside}, spec: {selector: {app: x}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}}
`)
	one := controlPlane(t, dir, "sidecar~10.9.0.1~x-1.default~default.svc.cluster.local app=x")
	other := controlPlane(t, dir, "router~10.9.0.2~edge-1.default~default.svc.cluster.local istio=edge")
	m := cluster(t, map[string]http.Handler{"istiod-a-1": one, "istiod-b-1": other})
	found, silent := idle(t.Context(), m)
	if len(silent) > 0 || len(found) != 2 || found[0].Object.Name != "beside" || !strings.Contains(found[1].String(), "Gateway/default/idle spec.selector: no gateway that is connected has the labels a=b,istio=egress") {
		t.Errorf("%v, %v", found, silent)
	}
	m = cluster(t, map[string]http.Handler{"istiod-a-1": one, "istiod-b-1": nil})
	if found, silent := idle(t.Context(), m); len(silent) != 1 || len(found) > 0 {
		t.Errorf("with a control plane that does not answer: %v, %v", found, silent)
	}
}

// A pod that waits for an image is told with the container, and one that waits for something else is not.
func TestPodsWithoutImage(t *testing.T) {
	waits := func(reason string) corev1.ContainerStatus {
		return corev1.ContainerStatus{Name: "c", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: "no image x"}}}
	}
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"}}
	p.Status.ContainerStatuses = []corev1.ContainerStatus{waits("ContainerCreating"), waits("ErrImagePull")}
	p.Status.InitContainerStatuses = []corev1.ContainerStatus{{Name: "done"}}
	found := withoutImage(p)
	if len(found) != 1 || found[0].String() != "Pod/shop/web spec.containers[1].image: container c does not start: no image x" {
		t.Errorf("%v", found)
	}
}

// What an object has no more problem of is solved, not what it has another one of.
func TestTroublesThatAreSolved(t *testing.T) {
	of := func(name, message string) model.Problem {
		return model.Problem{Object: model.Key{Kind: model.KindService, Namespace: "a", Name: name}, Message: message}
	}
	file := model.Problem{Message: "does not parse", Origin: model.Origin{File: "x.yaml", Line: 3}}
	var known troubles
	for i, step := range []struct {
		all           []model.Problem
		fresh, solved []string
	}{
		{[]model.Problem{of("b", "one"), file}, []string{"Service/a/b: one", "x.yaml:3: does not parse"}, nil},
		{[]model.Problem{of("b", "two"), file}, []string{"Service/a/b: two"}, nil},
		{[]model.Problem{of("b", "two")}, nil, []string{"x.yaml"}},
		{nil, nil, []string{"Service/a/b"}},
		{nil, nil, nil},
	} {
		problems, solved := known.become(step.all)
		var fresh []string
		for _, p := range problems {
			fresh = append(fresh, p.String())
		}
		if !slices.Equal(fresh, step.fresh) || !slices.Equal(solved, step.solved) {
			t.Errorf("step %d: new %q, solved %q", i, fresh, solved)
		}
	}
}

// What goes on is told with the level that the problem itself has, as `problems` tells it.
func TestUpTellsTheLevelOfAProblem(t *testing.T) {
	var out bytes.Buffer
	p := &progress{stderr: &out, said: map[string]time.Time{}}
	p.tell(model.Problem{Severity: model.SeverityError, Message: "does not parse"})
	p.tell(model.Problem{Severity: model.SeverityWarning, Message: "has no effect"})
	p.event(localnode.Event{Kind: localnode.EventWarning, Severity: model.SeverityError, Event: pod.Event{Warning: true, Message: "is defined twice"}})
	p.event(localnode.Event{Kind: localnode.EventWarning, Event: pod.Event{Warning: true, Message: "is not ready"}})
	for _, want := range []string{"error: does not parse", "warning: has no effect", "error: is defined twice", "warning: is not ready"} {
		if !strings.Contains(out.String(), "] "+want+"\n") {
			t.Errorf("%q is not told: %s", want, out.String())
		}
	}
}
