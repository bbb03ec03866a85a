package operator

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/pilothouse-mesh/pilothouse/deploy/profiles"
)

func plan(t *testing.T, s Settings) *Plan {
	t.Helper()
	p, err := s.Plan()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// objects renders a plan without the definitions, by kind and name.
func objects(t *testing.T, s Settings) map[string]map[string]any {
	t.Helper()
	p := plan(t, s)
	for _, problem := range p.Problems {
		t.Errorf("unexpected problem: %s", problem)
	}
	all, err := p.All(false)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]map[string]any{}
	for _, o := range all {
		out[o.GetKind()+"/"+o.GetName()] = o.Object
	}
	return out
}

// field reads a field by its path; a number is the index of a list.
func field(o map[string]any, path ...any) any {
	var at any = o
	for _, p := range path {
		switch p := p.(type) {
		case string:
			m, _ := at.(map[string]any)
			at = m[p]
		case int:
			l, _ := at.([]any)
			if p >= len(l) {
				return nil
			}
			at = l[p]
		}
	}
	return at
}

func said(text string) []File {
	return []File{{Name: "test", Text: []byte("apiVersion: install.istio.io/v1alpha1\nkind: IstioOperator\n" + text)}}
}

func TestWhatHasNoEffectIsNamed(t *testing.T) {
	text, err := os.ReadFile("testdata/problems.yaml")
	if err != nil {
		t.Fatal(err)
	}
	p := plan(t, Settings{Files: []File{{Name: "problems.yaml", Text: text}}})
	var got []string
	for _, problem := range p.Problems {
		got = append(got, problem.Field)
	}
	want := []string{
		"compatibilityVersion", "components.cni.enabled", "components.ingressGateways[istio-ingressgateway].k8s.service.externalName",
		"components.pilot.k8s.env.PILOT_DEBOUNCE_AFTER", "components.pilot.k8s.overlays[0]", "meshConfig.accessLogFil",
		"values.cni", "values.gateways.istio-ingressgateway.zvpn", "values.global.istiod", "values.global.proxy.tracer", "values.pilot.traceSampling",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if _, err := p.All(false); err != nil {
		t.Errorf("what is left does not render: %v", err)
	}
}

func TestProblemsOfPlacesAndNumbers(t *testing.T) {
	for text, want := range map[string]string{
		"spec: {namespace: mesh}":                                                                   "namespace",
		"spec: {components: {pilot: {namespace: mesh}}}":                                            "components.pilot.namespace",
		"spec: {components: {pilot: {k8s: {replicaCount: 2, hpaSpec: {maxReplicas: 3}}}}}":          "components.pilot.k8s.replicaCount",
		"spec: {components: {pilot: {k8s: {hpaSpec: {metrics: [{type: Pods}]}}}}}":                  "components.pilot.k8s.hpaSpec.metrics[0]",
		"spec: {components: {pilot: {k8s: {podDisruptionBudget: {minAvailible: 1}}}}}":              "components.pilot.k8s.podDisruptionBudget.minAvailible",
		"spec: {components: {pilot: {k8s: {service: {type: NodePort}}}}}":                           "components.pilot.k8s.service",
		"spec: {components: {pilot: {k8s: {strategy: {type: Recreate}}}}}":                          "components.pilot.k8s.strategy.type",
		"spec: {components: {base: {hub: x}}}":                                                      "components.base",
		"spec: {components: {ingressGateways: [{name: istio-ingressgateway, hub: x}]}}":             "components.ingressGateways[istio-ingressgateway]",
		"spec: {components: {ingressGateways: [{name: istio-ingressgateway, k8s: {hpaspec: {}}}]}}": "components.ingressGateways[0].k8s.hpaspec",
		"spec: {values: {gateways: {other: {}}}}":                                                   "values.gateways.other",
		"spec: {values: {base: {enableIstioConfigCRDs: true}}}":                                     "values.base.enableIstioConfigCRDs",
		"spec: {meshConfig: {configSources: [{address: x}]}}":                                       "meshConfig.configSources",
	} {
		p, err := Settings{Files: said(text)}.Plan()
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if !slices.ContainsFunc(p.Problems, func(p Problem) bool { return p.Field == want }) {
			t.Errorf("%s: problems %v, want one of %s", text, p.Problems, want)
		}
	}
}

func TestWhatIsNoSettingAtAll(t *testing.T) {
	for _, s := range []Settings{
		{Profile: "defualt"},
		{Files: []File{{Name: "f", Text: []byte("apiVersion: v1\nkind: Service\n")}}},
		{Files: said("spec: {profile: nothing}")},
		{Files: said("sepc: {}")},
		{Files: said("spec: {components: {pilot: {k8s: {replicaCount: many}}}}")},
		{Revision: "One.two", Profile: "empty"},
		{Files: said("metadata: {name: " + strings.Repeat("long", 20) + "}")},
		{Files: said("spec: {hub: h, values: {global: 3}}")},
		{Files: said("spec: {values: {pilot: on}}")},
		{Files: said("spec: {values: {gateways: {istio-ingressgateway: [a]}}}")},
		{Files: said("spec: {values: {pilot: {autoscaleMin: many}}}")},
		{Set: []string{"values"}},
		{Set: []string{"components.ingressGateways[name:none].enabled=true"}},
	} {
		if p, err := s.Plan(); err == nil {
			t.Errorf("%+v: taken, problems %v", s, p.Problems)
		}
	}
}

func TestProfiles(t *testing.T) {
	workloads := func(s Settings) (out []string) {
		for name := range objects(t, s) {
			if kind, of, _ := strings.Cut(name, "/"); kind == "Deployment" {
				out = append(out, of)
			}
		}
		slices.Sort(out)
		return out
	}
	for profile, want := range map[string][]string{
		"default": {"istio-ingressgateway", "istiod"},
		"demo":    {"istio-egressgateway", "istio-ingressgateway", "istiod"},
		"minimal": {"istiod"},
		"empty":   nil,
	} {
		if got := workloads(Settings{Profile: profile}); !slices.Equal(got, want) {
			t.Errorf("profile %s has %v, want %v", profile, got, want)
		}
		if got := workloads(Settings{Files: said("spec: {profile: " + profile + "}")}); !slices.Equal(got, want) {
			t.Errorf("a file with profile %s has %v, want %v", profile, got, want)
		}
		if got := workloads(Settings{Files: said("spec: {profile: demo}"), Set: []string{"profile=" + profile}}); !slices.Equal(got, want) {
			t.Errorf("--set profile=%s has %v, want %v", profile, got, want)
		}
	}
	if _, err := (Settings{Profile: "remote"}).Plan(); err == nil || !strings.Contains(err.Error(), "which is not set") {
		t.Errorf("profile remote without an address: %v", err)
	}
	remote := objects(t, Settings{Profile: "remote", Set: []string{
		"values.istiodRemote.injectionURL=https://mesh.example:15017/inject/cluster/far", "values.istiodRemote.injectionCABundle=Q0E=",
		"values.global.remotePilotAddress=mesh.example",
	}})
	webhook := field(remote["MutatingWebhookConfiguration/istio-sidecar-injector"], "webhooks", 0, "clientConfig", "url")
	if webhook != "https://mesh.example:15017/inject/cluster/far" || remote["Deployment/istiod"] != nil {
		t.Errorf("remote: webhook %v", webhook)
	}
	if len(profiles.Names()) != 5 {
		t.Errorf("profiles %v", profiles.Names())
	}
}

// TestSettingsReachTheirObjects says each thing in every way in which it can be said.
func TestSettingsReachTheirObjects(t *testing.T) {
	for _, c := range []struct {
		text   string
		set    []string
		object string
		path   []any
		want   any
	}{
		{"spec: {hub: h, tag: 1.2.3}", nil, "Deployment/istiod", []any{"spec", "template", "spec", "containers", 0, "image"}, "h/pilot:1.2.3"},
		{"spec: {values: {global: {hub: h, tag: 7}}}", nil, "Deployment/istiod", []any{"spec", "template", "spec", "containers", 0, "image"}, "h/pilot:7"},
		{"spec: {components: {pilot: {tag: own}}}", nil, "Deployment/istiod", []any{"spec", "template", "spec", "containers", 0, "image"}, "pilothouse/pilot:own"},
		{"", []string{"hub=a", "hub=b"}, "Deployment/istiod", []any{"spec", "template", "spec", "containers", 0, "image"}, "b/pilot:dev"},
		{"spec: {components: {pilot: {k8s: {replicaCount: 3}}}}", nil, "Deployment/istiod", []any{"spec", "replicas"}, 3},
		{"", []string{"components.pilot.k8s.replicaCount=3"}, "PodDisruptionBudget/istiod", []any{"spec", "minAvailable"}, 1},
		{"spec: {components: {pilot: {k8s: {hpaSpec: {minReplicas: 2}}}}}", nil, "HorizontalPodAutoscaler/istiod", []any{"spec", "minReplicas"}, 2},
		{"", []string{"values.pilot.autoscaleMin=2"}, "HorizontalPodAutoscaler/istiod", []any{"spec", "minReplicas"}, 2},
		{"spec: {values: {autoscaleMax: 9}}", nil, "HorizontalPodAutoscaler/istiod", []any{"spec", "maxReplicas"}, 9},
		{"spec: {components: {pilot: {k8s: {nodeSelector: {disk: ssd}}}}}", nil, "Deployment/istiod", []any{"spec", "template", "spec", "nodeSelector", "disk"}, "ssd"},
		{"spec: {components: {pilot: {k8s: {env: [{name: GOGC, value: \"50\"}]}}}}", nil, "Deployment/istiod", []any{"spec", "template", "spec", "containers", 0, "env", 4, "value"}, "50"},
		{"", []string{"values.pilot.env.GOGC=50"}, "Deployment/istiod", []any{"spec", "template", "spec", "containers", 0, "env", 4, "value"}, "50"},
		{"spec: {components: {pilot: {k8s: {resources: {requests: {cpu: 5m}}}}}}", nil, "Deployment/istiod", []any{"spec", "template", "spec", "containers", 0, "resources", "requests", "cpu"}, "5m"},
		{
			"spec: {components: {ingressGateways: [{name: istio-ingressgateway, k8s: {service: {type: NodePort}}}]}}", nil,
			"Service/istio-ingressgateway",
			[]any{"spec", "type"},
			"NodePort",
		},
		{"spec: {values: {gateways: {istio-ingressgateway: {type: NodePort}}}}", nil, "Service/istio-ingressgateway", []any{"spec", "type"}, "NodePort"},
		{"", []string{"components.ingressGateways[name:istio-ingressgateway].k8s.service.type=NodePort"}, "Service/istio-ingressgateway", []any{"spec", "type"}, "NodePort"},
		{"", []string{"components.egressGateways[0].enabled=true"}, "Service/istio-egressgateway", []any{"spec", "type"}, "ClusterIP"},
		{
			"spec: {components: {ingressGateways: [{name: more, enabled: true, namespace: edge, label: {istio: edge}}]}}", nil,
			"Deployment/more",
			[]any{"spec", "template", "metadata", "labels", "istio"},
			"edge",
		},
		{"spec: {components: {ingressGateways: [{name: more, enabled: true, namespace: edge}]}}", nil, "Namespace/edge", []any{"kind"}, "Namespace"},
		{"spec: {revision: blue}", nil, "Deployment/istio-ingressgateway", []any{"spec", "template", "metadata", "labels", "istio.io/rev"}, "blue"},
		{"spec: {values: {revision: blue}}", nil, "Deployment/istiod-blue", []any{"spec", "selector", "matchLabels", "istio.io/rev"}, "blue"},
		{"metadata: {name: shop}", nil, "Deployment/istiod", []any{"metadata", "labels", LabelOwner}, "shop"},
	} {
		all := objects(t, Settings{Files: said(c.text), Set: c.set})
		if got := field(all[c.object], c.path...); fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%s %v: %s %v is %v, want %v", c.text, c.set, c.object, c.path, got, c.want)
		}
	}
}

func TestMeshConfigIsLaidOverTheMeshsOwn(t *testing.T) {
	all := objects(t, Settings{Files: said("spec: {revision: blue, meshConfig: {accessLogFile: /dev/stdout, defaultConfig: {holdApplicationUntilProxyStarts: true}}}"), Set: []string{"meshConfig.trustDomain=shop.example"}})
	want := "defaultConfig:\n  discoveryAddress: istiod-blue.istio-system.svc:15012\n  holdApplicationUntilProxyStarts: true\nrootNamespace: istio-system\ntrustDomain: shop.example"
	text, _, _ := unstructured.NestedString(all["ConfigMap/istio-blue"], "data", "mesh")
	if d := cmp.Diff("accessLogFile: /dev/stdout\n"+want, text); d != "" {
		t.Error(d)
	}
}

// TestADumpIsAFile installs what a dump says as the settings themselves say.
func TestADumpIsAFile(t *testing.T) {
	s := Settings{Profile: "demo", Revision: "blue", Hub: "h", Set: []string{"components.ingressGateways[0].k8s.replicaCount=2", "meshConfig.accessLogFile="}}
	text, err := s.Dump()
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(objects(t, s), objects(t, Settings{Files: []File{{Name: "dump", Text: text}}})); d != "" {
		t.Error(d)
	}
}

// TestARecordIsAFile keeps what is not the profile's, and installs the same from it.
func TestARecordIsAFile(t *testing.T) {
	s := Settings{Files: said("metadata: {name: shop}\nspec: {profile: demo, components: {ingressGateways: [{name: more, enabled: true}]}}"), Revision: "blue", Hub: "h", Set: []string{
		"components.ingressGateways[name:istio-ingressgateway].k8s.replicaCount=2", "meshConfig.accessLogFile=", "values.global.proxy.privileged=true",
	}}
	name, text, err := s.Record()
	if err != nil {
		t.Fatal(err)
	}
	want := `apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
metadata:
  name: shop
spec:
  components:
    ingressGateways:
    - k8s:
        replicaCount: 2
      name: istio-ingressgateway
    - enabled: true
      name: more
  hub: h
  meshConfig:
    accessLogFile: ""
  profile: demo
  revision: blue
  values:
    global:
      proxy:
        privileged: true
`
	if d := cmp.Diff(want, string(text)); d != "" || name != "shop" {
		t.Errorf("record of %s: %s", name, d)
	}
	if d := cmp.Diff(objects(t, s), objects(t, Settings{Files: []File{{Name: name, Text: text}}})); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(objects(t, Settings{Profile: "minimal", Files: said("metadata: {name: installed-state}")}), objects(t, Settings{Profile: "minimal", Files: recordOf(t, Settings{Profile: "demo"})})); d != "" {
		t.Errorf("another profile over a record: %s", d)
	}
}

func recordOf(t *testing.T, s Settings) []File {
	t.Helper()
	name, text, err := s.Record()
	if err != nil {
		t.Fatal(err)
	}
	return []File{{Name: name, Text: text}}
}
