package inject

import (
	"os"
	"regexp"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// istioFunctions are those that Istio gives its templates besides sprig's.
var istioFunctions = strings.Fields(`formatDuration isset excludeInboundPort includeInboundPorts kubevirtInterfaces
	excludeInterfaces applicationPorts annotation valueOrDefault toJSON toJson fromJSON structToJSON protoToJSON toYaml
	indent directory contains toLower appendMultusNetwork env omit strdict toJsonMap mergeMaps omitNil
	otelResourceAttributes`)

// TestEveryFunction says that the case testdata/functions calls each function.
func TestEveryFunction(t *testing.T) {
	data, err := os.ReadFile("testdata/functions.txtar")
	if err != nil {
		t.Fatal(err)
	}
	input, _, _ := strings.Cut(string(data), "-- injected.yaml --")
	for _, name := range istioFunctions {
		if !regexp.MustCompile(`[{(| ]` + name + `[ })]`).MatchString(input) {
			t.Errorf("%s is not called", name)
		}
		if functions(&proxyConfigWriter{})[name] == nil {
			t.Errorf("there is no %s", name)
		}
	}
}

// TestProblems says that what is wrong with single templates is told, and keeps nobody else from injection.
func TestProblems(t *testing.T) {
	in, err := New(Options{Config: []byte("templates: {bad: '{{ nothing }}', worse: '{{'}\ndefaultTemplates: [sidecar, gone]")})
	if err != nil {
		t.Fatal(err)
	}
	problems := in.Problems()
	if len(problems) != 3 {
		t.Fatalf("%d problems: %v", len(problems), problems)
	}
	for i, want := range []string{"template bad", "template worse", `"gone"`} {
		if !strings.Contains(problems[i].Error(), want) {
			t.Errorf("problem %d: %v does not name %s", i, problems[i], want)
		}
	}
	pod := parsePod(t, podWithProbe)
	pod.Annotations = map[string]string{"inject.istio.io/templates": "sidecar"}
	if _, injected, err := in.Pod(pod, nil, Owner{}); err != nil || !injected {
		t.Errorf("injected %v, error %v", injected, err)
	}
	if in, err = New(Options{Values: []byte("sidecarInjectorWebhook: {defaultTemplates: []}")}); err != nil || len(in.Problems()) > 0 {
		t.Errorf("without a configuration: %v, %v", in.Problems(), err)
	}
	if out, _, err := in.Pod(parsePod(t, podWithProbe), nil, Owner{}); err != nil || findProxy(out) == nil {
		t.Errorf("an empty list of default templates gives no sidecar (%v)", err)
	}
}

// TestNumbersThatDoNotFit: a number of a template is the pod's, or an error that names its field.
func TestNumbersThatDoNotFit(t *testing.T) {
	for spec, want := range map[string]string{
		"{terminationGracePeriodSeconds: 4294967296}": "", "{terminationGracePeriodSeconds: 7.0}": "",
		"{priority: 4294967296}": "spec.priority", "{priority: 1.5}": "spec.priority", "{priority: 1e300}": "spec.priority", "{hostname: 7}": "spec.hostname",
	} {
		in, err := New(Options{Config: []byte("defaultTemplates: [mine]\ntemplates: {mine: 'spec: " + spec + "'}")})
		if err != nil {
			t.Fatal(err)
		}
		out, _, err := in.Pod(parsePod(t, podWithProbe), nil, Owner{})
		switch {
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: %v", spec, err)
		case want == "" && (err != nil || out.Spec.TerminationGracePeriodSeconds == nil || *out.Spec.TerminationGracePeriodSeconds != 4294967296 && *out.Spec.TerminationGracePeriodSeconds != 7):
			t.Errorf("%s: %v", spec, err)
		}
	}
}

func TestOpenShiftUser(t *testing.T) {
	for text, want := range map[string]int64{
		"1000/10": 1009, "1000-2000": 2000, "7-7": 7, "": 1337, "x": 1337, "10/0": 1337, "9-8": 1337, "1/99999999999": 1337,
		"4294967290/100": 1337, "5": 1337,
	} {
		uid, gid := openShiftUser(map[string]string{"openshift.io/sa.scc.uid-range": text}, 1337, 1337)
		if uid != want || gid != want {
			t.Errorf("%q: user %d, group %d, want %d", text, uid, gid, want)
		}
	}
}

// TestOrder says where the containers of Istio's templates stand beside the pod's own.
func TestOrder(t *testing.T) {
	for _, tc := range []struct {
		native, hold      bool
		inits, containers string
	}{
		{false, false, "istio-validation own istio-init enable-core-dump", "app istio-proxy"},
		{false, true, "istio-validation own istio-init enable-core-dump", "istio-proxy app"},
		{true, false, "istio-init istio-validation istio-proxy enable-core-dump own", "app"},
	} {
		named := func(names ...string) (out []corev1.Container) {
			for _, n := range names {
				out = append(out, corev1.Container{Name: n})
			}
			return out
		}
		original := &corev1.Pod{Spec: corev1.PodSpec{InitContainers: named("own"), Containers: named("app")}}
		pod := original.DeepCopy()
		pod.Spec.InitContainers = append(pod.Spec.InitContainers, named("enable-core-dump", "istio-init", "istio-validation")...)
		if tc.native {
			pod.Spec.InitContainers = append(pod.Spec.InitContainers, named("istio-proxy")...)
		} else {
			pod.Spec.Containers = append(pod.Spec.Containers, named("istio-proxy")...)
		}
		reorder(pod, original, &templateData{input: input{Hold: tc.hold}})
		names := func(list []corev1.Container) string {
			var out []string
			for _, c := range list {
				out = append(out, c.Name)
			}
			return strings.Join(out, " ")
		}
		if got := names(pod.Spec.InitContainers); got != tc.inits {
			t.Errorf("native %v: init containers %s, want %s", tc.native, got, tc.inits)
		}
		if got := names(pod.Spec.Containers); got != tc.containers {
			t.Errorf("native %v, hold %v: containers %s, want %s", tc.native, tc.hold, got, tc.containers)
		}
	}
}
