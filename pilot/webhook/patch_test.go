package webhook

import (
	"encoding/json"
	"strings"
	"testing"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	corev1 "k8s.io/api/core/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/inject"
)

func TestPatchNamesOnlyWhatDiffers(t *testing.T) {
	meta := func(text string) string { return `{"metadata":` + text + `}` }
	spec := func(text string) string { return `{"spec":` + text + `}` }
	containers := func(text string) string { return spec(`{"containers":[` + text + `]}`) }
	for name, c := range map[string]struct{ from, to, want string }{
		"nothing":      {containers(`{"name":"a"}`), containers(`{"name":"a"}`), `[]`},
		"a field":      {spec(`{"hostname":"a","nodeName":"n"}`), spec(`{"hostname":"b","nodeName":"n"}`), `[{"op":"replace","path":"/spec/hostname","value":"b"}]`},
		"a first one":  {spec(`{}`), spec(`{"hostname":"b"}`), `[{"op":"add","path":"/spec/hostname","value":"b"}]`},
		"one is gone":  {spec(`{"hostname":"a"}`), spec(`{}`), `[{"op":"remove","path":"/spec/hostname"}]`},
		"false":        {spec(`{"enableServiceLinks":true}`), spec(`{"enableServiceLinks":false}`), `[{"op":"replace","path":"/spec/enableServiceLinks","value":false}]`},
		"odd names":    {meta(`{"labels":{"a":"1"}}`), meta(`{"labels":{"a":"1","x/y~z":"1"}}`), `[{"op":"add","path":"/metadata/labels/x~1y~0z","value":"1"}]`},
		"labels":       {meta(`{"labels":{"a":"1","b":"2","c":"3"}}`), meta(`{"labels":{"b":"2","c":"4"}}`), `[{"op":"remove","path":"/metadata/labels/a"},{"op":"replace","path":"/metadata/labels/c","value":"4"}]`},
		"first labels": {meta(`{}`), meta(`{"labels":{"a":"1"}}`), `[{"op":"add","path":"/metadata/labels","value":{"a":"1"}}]`},
		"one more": {
			containers(`{"name":"a","env":[{"name":"x"}]}`), containers(`{"name":"a","env":[{"name":"x"},{"name":"y"}]}`),
			`[{"op":"add","path":"/spec/containers/0/env/-","value":{"name":"y"}}]`,
		},
		"one before": {
			containers(`{"name":"a"}`), containers(`{"name":"b"},{"name":"a"}`),
			`[{"op":"replace","path":"/spec/containers","value":[{"name":"b","resources":{}},{"name":"a","resources":{}}]}]`,
		},
		"more items":        {containers(`{"name":"a","args":["1"]}`), containers(`{"name":"a","args":["1","2"]}`), `[{"op":"replace","path":"/spec/containers/0/args","value":["1","2"]}]`},
		"of another struct": {spec(`{"volumes":[{"name":"a","emptyDir":{}}]}`), spec(`{"volumes":[{"name":"a","hostPath":{"path":"/"}}]}`), `[{"op":"add","path":"/spec/volumes/0/hostPath","value":{"path":"/"}},{"op":"remove","path":"/spec/volumes/0/emptyDir"}]`},
		"a quantity":        {containers(`{"name":"a","resources":{"limits":{"cpu":"1000m"}}}`), containers(`{"name":"a","resources":{"limits":{"cpu":"1"}}}`), `[]`},
		"another quantity":  {containers(`{"name":"a","resources":{"limits":{"cpu":"1"}}}`), containers(`{"name":"a","resources":{"limits":{"cpu":"2"}}}`), `[{"op":"replace","path":"/spec/containers/0/resources/limits/cpu","value":"2"}]`},
		"a port by its name": {
			containers(`{"name":"a","readinessProbe":{"httpGet":{"port":80}}}`), containers(`{"name":"a","readinessProbe":{"httpGet":{"port":"http"}}}`),
			`[{"op":"replace","path":"/spec/containers/0/readinessProbe/httpGet/port","value":"http"}]`,
		},
		"ports without names": {
			containers(`{"name":"a","ports":[{"containerPort":1}]}`), containers(`{"name":"a","ports":[{"containerPort":2}]}`),
			`[{"op":"replace","path":"/spec/containers/0/ports","value":[{"containerPort":2}]}]`,
		},
	} {
		got, err := newDiffer().patch(read(t, c.from), read(t, c.to))
		if err != nil || string(got) != c.want {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
}

func read(t *testing.T, text string) *corev1.Pod {
	t.Helper()
	pod := &corev1.Pod{}
	if err := json.Unmarshal([]byte(text), pod); err != nil {
		t.Fatal(err)
	}
	return pod
}

// TestPatchGivesThePod applies patches between pods, among them one that was injected.
func TestPatchGivesThePod(t *testing.T) {
	pods := map[string]*corev1.Pod{
		"empty": {},
		"plain": read(t, strings.Replace(pod, "LABEL", "true", 1)),
		"more": read(t, `{"metadata":{"name":"p","creationTimestamp":"2026-01-02T03:04:05Z","annotations":{"a/b":"c"},"finalizers":["f"]},
			"spec":{"containers":[{"name":"app","image":"j","resources":{"requests":{"cpu":"10m"}},"livenessProbe":{"grpc":{"port":1,"service":null}},
			"securityContext":{"runAsUser":0,"privileged":false}},{"name":"second","image":"k"}],"volumes":[{"name":"v","secret":{"secretName":"s","items":[]}}],
			"nodeSelector":{"x":"y"},"terminationGracePeriodSeconds":0,"tolerations":[{"operator":"Exists"}]},"status":{"phase":"Running","podIP":"10.0.0.1"}}`),
	}
	injector, err := inject.New(inject.Options{NativeSidecar: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"plain", "more"} {
		injected, ok, err := injector.Pod(pods[name], nil, inject.Owner{})
		if err != nil || !ok {
			t.Fatal(ok, err)
		}
		pods[name+", injected"] = injected
	}
	d := newDiffer()
	for from, a := range pods {
		for to, b := range pods {
			text, err := d.patch(a, b)
			if err != nil {
				t.Fatal(err)
			}
			patch, err := jsonpatch.DecodePatch(text)
			if err != nil {
				t.Fatal(err)
			}
			got, err := patch.Apply(written(t, a))
			if err != nil {
				t.Errorf("from %s to %s: %v: %s", from, to, err, text)
				continue
			}
			if want := written(t, b); !jsonpatch.Equal(got, want) {
				t.Errorf("from %s to %s: %s, not %s, by %s", from, to, got, want, text)
			}
		}
	}
}

func written(t *testing.T, pod *corev1.Pod) []byte {
	t.Helper()
	text, err := json.Marshal(pod)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
