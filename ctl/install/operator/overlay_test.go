package operator

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/deploy/charts"
)

// TestOverlays lays patches as those of Istio's documentation over what the charts make.
func TestOverlays(t *testing.T) {
	text, err := os.ReadFile("testdata/overlays.yaml")
	if err != nil {
		t.Fatal(err)
	}
	all := objects(t, Settings{Files: []File{{Name: "overlays.yaml", Text: text}}})
	pods := func(name string) map[string]any {
		pod, _ := field(all["Deployment/"+name], "spec", "template", "spec").(map[string]any)
		return pod
	}
	container, _ := field(pods("istiod"), "containers", 0).(map[string]any)
	if args := field(container, "args").([]any); !slices.Contains(args, any("--keepaliveMaxServerConnectionAge=60m")) || slices.Contains(args, any("--monitoringAddr=:15014")) {
		t.Errorf("arguments: %v", args)
	}
	for _, p := range field(container, "ports").([]any) {
		if p.(map[string]any)["name"] == "http-debug" && field(p.(map[string]any), "containerPort") != int64(1234) {
			t.Errorf("port: %v", p)
		}
	}
	for _, e := range field(container, "env").([]any) {
		e := e.(map[string]any)
		if e["name"] == "REVISION" || e["name"] == "POD_NAMESPACE" && field(e, "valueFrom", "fieldRef", "fieldPath") != "metadata.myPath" {
			t.Errorf("variable: %v", e)
		}
	}
	if field(container, "securityContext") != nil {
		t.Error("the securityContext is still there")
	}
	if got := field(container, "readinessProbe", "periodSeconds"); got != int64(9) {
		t.Errorf("readinessProbe: %v", got)
	}
	if got := field(pods("istiod"), "securityContext", "fsGroup"); got != int64(1337) {
		t.Errorf("securityContext of the pods: %v", got)
	}
	if got := field(pods("istio-ingressgateway"), "securityContext", "runAsUser"); got != int64(7) {
		t.Errorf("securityContext of a gateway's pods: %v", got)
	}
	labels := field(all["Service/istio-ingressgateway"], "metadata", "labels").(map[string]any)
	if labels["team"] != "edge" || labels[LabelManagedBy] != ManagedBy || labels["istio"] != "ingressgateway" {
		t.Errorf("labels of the gateway's Service: %v", labels)
	}
	if got := field(all["HorizontalPodAutoscaler/istio-ingressgateway"], "spec", "metrics", 0, "resource", "target", "averageUtilization"); fmt.Sprint(got) != "33" {
		t.Errorf("utilization: %v", got)
	}
}

func TestOverlaysOfDefinitions(t *testing.T) {
	p := plan(t, Settings{Files: said(`
spec:
  components:
    base:
      k8s:
        overlays:
        - {kind: CustomResourceDefinition, name: gateways.networking.istio.io, patches: [{path: 'metadata.annotations.example\.com/keep', value: "true"}]}`)})
	all, err := p.All(true)
	if err != nil || len(p.Problems) > 0 {
		t.Fatal(err, p.Problems)
	}
	for _, o := range all {
		if o.GetName() == "gateways.networking.istio.io" && o.GetAnnotations()["example.com/keep"] != "true" {
			t.Errorf("annotations: %v", o.GetAnnotations())
		}
	}
	if p.Releases[0].Chart != charts.Base {
		t.Fatal("the definitions are not there")
	}
}

func overlaid(of string) []File {
	return said("spec: {components: {pilot: {k8s: {overlays: [" + of + "]}}}}")
}

func TestOverlaysWithoutEffect(t *testing.T) {
	at := "components.pilot.k8s.overlays[0]"
	for of, want := range map[string]Problem{
		`{kind: Deployment, name: istio-pilot, patches: [{path: a, value: 1}]}`:            {at, "the component has no Deployment istio-pilot; of this kind it has apps/v1 istiod"},
		`{apiVersion: v1, kind: Deployment, name: istiod, patches: [{path: a, value: 1}]}`: {at, "the component has no v1 Deployment istiod; of this kind it has apps/v1 istiod"},
		`{kind: Gateway, name: x}`: {at, "the component has no Gateway x; its kinds are "},
		`{kind: Deployment, name: istiod, patches: [{path: spec.paused}]}`:                    {at + ".patches[0].path", "Deployment istiod has no spec.paused: there is nothing to delete"},
		`{kind: Deployment, name: istiod, patches: [{path: spec.a, value: 1, type: remove}]}`: {at + ".patches[0].type", "no such setting"},
	} {
		p, err := Settings{Files: overlaid(of)}.Plan()
		if err != nil {
			t.Errorf("%s: %v", of, err)
			continue
		}
		if !slices.ContainsFunc(p.Problems, func(p Problem) bool { return p.Field == want.Field && strings.HasPrefix(p.Reason, want.Reason) }) {
			t.Errorf("%s: problems %v, want %s", of, p.Problems, want)
		}
	}
	p := plan(t, Settings{Files: said("spec: {components: {base: {k8s: {replicaCount: 2}}}}")})
	if len(p.Problems) != 1 || p.Problems[0].Field != "components.base.k8s" {
		t.Errorf("problems of definitions with replicas: %v", p.Problems)
	}
	ref := "spec: {components: {pilot: {k8s: {hpaSpec: {scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: %}}}}}}"
	if p := plan(t, Settings{Files: said(strings.Replace(ref, "%", "istiod", 1))}); len(p.Problems) != 0 {
		t.Errorf("problems of an autoscaler of the component: %v", p.Problems)
	}
	if p := plan(t, Settings{Files: said(strings.Replace(ref, "%", "other", 1))}); len(p.Problems) != 1 {
		t.Errorf("problems of an autoscaler of something else: %v", p.Problems)
	}
}

func TestOverlaysThatContradictTheObject(t *testing.T) {
	for of, want := range map[string]string{
		`{path: 'spec.template.spec.containers.[name:none].image', value: x}`: "components.pilot.k8s.overlays[0].patches[0].path: spec.template.spec.containers.[name:none].image of Deployment istiod: there is no item [name:none]",
		`{path: 'spec.[', value: x}`:                                          `components.pilot.k8s.overlays[0].patches[0].path: "spec.[": the bracket`,
		`{path: '[0]', value: x}`:                                             "no list",
		`{path: metadata.name}`:                                               "metadata.name has to stay",
		`{path: kind, value: {a: b}}`:                                         "kind has to stay",
		`{path: metadata}`:                                                    "metadata.name has to stay",
		`{path: metadata.labels.team, value: 1}`:                              "metadata.labels has to be of texts",
		`{path: metadata.annotations, value: [1]}`:                            "metadata.annotations has to be of texts",
		`{value: 1}`: "it is empty",
	} {
		_, err := Settings{Files: overlaid("{kind: Deployment, name: istiod, patches: [" + of + "]}")}.Plan()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", of, err, want)
		}
	}
}
