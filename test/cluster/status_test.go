package cluster

import (
	"context"
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
)

var virtualServices = schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1", Resource: "virtualservices"}

func virtualService(name string, spec map[string]any) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
		"metadata": map[string]any{"name": name, "namespace": "default"}, "spec": spec,
	}}
}

// othersTellProblems has an object of each other group that passes the webhook and names what is not there.
func (w *world) othersTellProblems(ctx context.Context, client dynamic.Interface) {
	w.Helper()
	provider := func(name string) map[string]any { return map[string]any{"name": name} }
	for resource, o := range map[schema.GroupVersionResource]*unstructured.Unstructured{
		{Group: "security.istio.io", Version: "v1", Resource: "authorizationpolicies"}: {Object: map[string]any{
			"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy", "metadata": map[string]any{"name": "nowhere", "namespace": "default"},
			"spec": map[string]any{"action": "CUSTOM", "provider": provider("nowhere"), "rules": []any{map[string]any{
				"to": []any{map[string]any{"operation": map[string]any{"paths": []any{"/nobody-asks"}}}}, // what the rule matches is denied
			}}},
		}},
		{Group: "telemetry.istio.io", Version: "v1", Resource: "telemetries"}: {Object: map[string]any{
			"apiVersion": "telemetry.istio.io/v1", "kind": "Telemetry", "metadata": map[string]any{"name": "nowhere", "namespace": "default"},
			"spec": map[string]any{"tracing": []any{map[string]any{"providers": []any{provider("nowhere")}}}},
		}},
	} {
		objects := client.Resource(resource).Namespace("default")
		if _, err := objects.Create(ctx, o, metav1.CreateOptions{}); err != nil {
			w.Fatal(err)
		}
		w.until(ctx, "the condition of a "+o.GetKind(), func(ctx context.Context) (bool, error) {
			now, err := objects.Get(ctx, o.GetName(), metav1.GetOptions{})
			if err != nil {
				return false, err
			}
			list, _, _ := unstructured.NestedSlice(now.Object, "status", "conditions")
			return len(list) == 1 && strings.Contains(fmt.Sprint(list[0]), "nowhere"), fmt.Errorf("conditions %v", list)
		})
		if err := objects.Delete(ctx, o.GetName(), metav1.DeleteOptions{}); err != nil {
			w.Error(err)
		}
	}
}

// statusTellsProblems has a problem come and go: the object's status and events tell of both.
func (w *world) statusTellsProblems(ctx context.Context) {
	w.Helper()
	client, err := dynamic.NewForConfig(w.config)
	if err != nil {
		w.Fatal(err)
	}
	routes := client.Resource(virtualServices).Namespace("default")
	delegates := virtualService("delegates", map[string]any{
		"hosts": []any{"delegates.example.com"}, "gateways": []any{"bookinfo-gateway"},
		"http": []any{map[string]any{"delegate": map[string]any{"name": "rules"}}},
	})
	if _, err := routes.Create(ctx, delegates, metav1.CreateOptions{}); err != nil {
		w.Fatal(err)
	}
	w.until(ctx, "a condition", func(ctx context.Context) (bool, error) {
		now, err := routes.Get(ctx, "delegates", metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		list, _, _ := unstructured.NestedSlice(now.Object, "status", "conditions")
		if len(list) != 1 {
			return false, fmt.Errorf("conditions %v", list)
		}
		c := list[0].(map[string]any)
		return c["status"] == "False" && c["reason"] == "UnresolvedReference" && c["observedGeneration"] == now.GetGeneration(), fmt.Errorf("%v", c)
	})
	w.kubectl(ctx, "", "wait", "--for=condition=Accepted=False", "virtualservice/delegates", "--timeout=1m")
	if out, err := w.pilotctl(ctx, "problems").CombinedOutput(); err != nil || !strings.Contains(string(out), "VirtualService/default/delegates") {
		w.Errorf("pilotctl problems: %v: %s", err, out)
	}
	rules := virtualService("rules", map[string]any{
		"http": []any{map[string]any{"route": []any{map[string]any{"destination": map[string]any{"host": "productpage"}}}}},
	})
	if _, err := routes.Create(ctx, rules, metav1.CreateOptions{}); err != nil {
		w.Fatal(err)
	}
	w.until(ctx, "the condition's end", func(ctx context.Context) (bool, error) {
		now, err := routes.Get(ctx, "delegates", metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		list, found, _ := unstructured.NestedSlice(now.Object, "status", "conditions")
		return !found, fmt.Errorf("conditions %v", list)
	})
	w.until(ctx, "events of both", func(ctx context.Context) (bool, error) {
		events, err := w.client.CoreV1().Events("default").List(ctx, metav1.ListOptions{FieldSelector: "involvedObject.name=delegates"})
		if err != nil {
			return false, err
		}
		of := map[string]int{}
		for _, e := range events.Items {
			of[e.Type+" "+e.Reason]++
		}
		return of["Warning UnresolvedReference"] == 1 && of["Normal Accepted"] == 1, fmt.Errorf("events %v", of)
	})
	if out, err := w.pilotctl(ctx, "problems").CombinedOutput(); err != nil || strings.Contains(string(out), "delegates") {
		w.Errorf("pilotctl problems, of what is solved: %v: %s", err, out)
	}
	for _, name := range []string{"delegates", "rules"} {
		if err := routes.Delete(ctx, name, metav1.DeleteOptions{}); err != nil {
			w.Error(err)
		}
	}
	w.othersTellProblems(ctx, client)
}
