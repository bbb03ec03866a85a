package inject

import (
	"slices"
	"strings"
	"testing"

	"istio.io/api/annotation"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// annotationCases has a good value for each annotation, and what it gives; and a bad one.
var annotationCases = map[string]struct {
	good, want, bad string
	// absent must not be in the result.
	absent string
}{
	"sidecar.istio.io/inject":             {good: "true", want: "name: istio-proxy"},
	"sidecar.istio.io/status":             {good: `{"volumes":["data"]}`, absent: "name: data\n", bad: "{"},
	"sidecar.istio.io/proxyImage":         {good: "mine/proxy:7", want: "image: mine/proxy:7", absent: "pilothouse/proxy", bad: "a b"},
	"sidecar.istio.io/proxyImageType":     {good: "distroless", want: "pilothouse/proxy:dev-distroless", bad: "a b"},
	"sidecar.istio.io/proxyCPU":           {good: "7m", want: "cpu: 7m", absent: "cpu: 100m", bad: "much"},
	"sidecar.istio.io/proxyCPULimit":      {good: "70m", want: "limits:\n        cpu: 70m", bad: "-1"},
	"sidecar.istio.io/proxyMemory":        {good: "77Mi", want: "memory: 77Mi", absent: "128Mi", bad: "77MB!"},
	"sidecar.istio.io/proxyMemoryLimit":   {good: "777Mi", want: "memory: 777Mi", absent: "1Gi", bad: "x"},
	"sidecar.istio.io/interceptionMode":   {good: "NONE", want: "value: NONE", absent: "istio-init", bad: "TPROXY"},
	"sidecar.istio.io/logLevel":           {good: "debug", want: "--proxyLogLevel=debug", bad: "loud"},
	"sidecar.istio.io/componentLogLevel":  {good: "jwt:debug,rbac:trace", want: "--proxyComponentLogLevel=jwt:debug,rbac:trace", bad: "a b"},
	"sidecar.istio.io/agentLogLevel":      {good: "dns:debug", want: "--log_output_level=dns:debug", absent: "default:info", bad: ""},
	"sidecar.istio.io/bootstrapOverride":  {good: "mine", want: "name: mine\n    name: custom-bootstrap-volume", bad: ""},
	"sidecar.istio.io/userVolume":         {good: `{"v":{"secret":{"secretName":"s"}}}`, want: "secretName: s", bad: "[]"},
	"sidecar.istio.io/userVolumeMount":    {good: `{"v":{"mountPath":"/x","readOnly":true}}`, want: "mountPath: /x\n      name: v\n      readOnly: true", bad: "x"},
	"sidecar.istio.io/nativeSidecar":      {good: "true", want: "restartPolicy: Always", bad: "perhaps"},
	"sidecar.istio.io/capNetBindService":  {good: "true", want: "- NET_BIND_SERVICE", bad: "perhaps"},
	"sidecar.istio.io/discoveryAddress":   {good: "d.x:1", want: `{"discoveryAddress":"d.x:1"}`, bad: "a b"},
	"sidecar.istio.io/extraStatTags":      {good: "a,b", want: "a,b"},
	"sidecar.istio.io/statsFlushInterval": {good: "3s", want: "3s", bad: "soon"},
	"sidecar.istio.io/rewriteAppHTTPProbers": {
		good: "false", want: "path: /ready\n        port: web", absent: "ISTIO_KUBE_APP_PROBERS", bad: "perhaps",
	},
	"sidecar.istio.io/statsInclusionPrefixes": {good: "a", want: "statsInclusionPrefixes: a"},
	"sidecar.istio.io/statsInclusionSuffixes": {good: "a", want: "statsInclusionSuffixes: a"},
	"sidecar.istio.io/statsInclusionRegexps":  {good: "a", want: "statsInclusionRegexps: a"},
	"sidecar.istio.io/statsHistogramBuckets":  {good: `{"a":[1,2]}`, want: `{"a":[1,2]}`, bad: "[1]"},
	"sidecar.istio.io/statsEvictionInterval":  {good: "1m", want: "1m", bad: "-1m"},

	"traffic.sidecar.istio.io/includeInboundPorts":     {good: "80,81", want: "- -b\n    - 80,81", bad: "http"},
	"traffic.sidecar.istio.io/excludeInboundPorts":     {good: "9000", want: "- 15090,15021,9000,15020", bad: "*"},
	"traffic.sidecar.istio.io/includeOutboundPorts":    {good: "443", want: "- -q\n    - \"443\"", bad: "0"},
	"traffic.sidecar.istio.io/excludeOutboundPorts":    {good: "3306", want: "- -o\n    - \"3306\"", bad: "70000"},
	"traffic.sidecar.istio.io/includeOutboundIPRanges": {good: "10.0.0.0/8,fd00::/8", want: "- -i\n    - 10.0.0.0/8,fd00::/8", bad: "10.0.0.0/8,*"},
	"traffic.sidecar.istio.io/excludeOutboundIPRanges": {good: "10.1.0.0/16", want: "- -x\n    - 10.1.0.0/16", bad: "*"},
	"traffic.sidecar.istio.io/excludeInterfaces":       {good: "eth1", want: "- -c\n    - eth1", bad: "an-interface-too-long"},
	"traffic.sidecar.istio.io/kubevirtInterfaces":      {good: "net0", want: "- -k\n    - net0", bad: "a b"},
	"istio.io/reroute-virtual-interfaces":              {good: "net1", want: "- -k\n    - net1", bad: "a/b"},

	"proxy.istio.io/config": {
		good: "concurrency: 3\ndrainDuration: 1m\nproxyMetadata: {ISTIO_META_DNS_CAPTURE: 'true'}",
		want: "- name: ISTIO_META_DNS_CAPTURE", bad: "concurency: 3",
	},
	"proxy.istio.io/overrides":                              {good: "{}", bad: "["},
	"prometheus.istio.io/merge-metrics":                     {good: "false", absent: "prometheus.io/port", bad: "perhaps"},
	"prometheus.istio.io/scrape-targets":                    {good: "9101:/m, 9102", want: `{"scrape":"true","path":"/m","port":"9101","targets":[{"port":"9101","path":"/m"},{"port":"9102","path":"/metrics"}]`, bad: "15090"},
	"prometheus.istio.io/secure-envoy-port":                 {good: "15091", want: "15091", bad: "0"},
	"sidecar.istio.io/statsCompression":                     {good: "gzip", want: "statsCompression: gzip", bad: "rar"},
	"prometheus.istio.io/secure-port":                       {good: "9443", want: "9443", bad: "x"},
	"inject.istio.io/templates":                             {good: "gateway", want: "- router", absent: "istio-init", bad: "nothing"},
	"status.sidecar.istio.io/port":                          {good: "0", absent: "readinessProbe:\n      failureThreshold: 4", bad: "-1"},
	"readiness.status.sidecar.istio.io/initialDelaySeconds": {good: "71", want: "initialDelaySeconds: 71", bad: "1s"},
	"readiness.status.sidecar.istio.io/periodSeconds":       {good: "72", want: "periodSeconds: 72", bad: "x"},
	"readiness.status.sidecar.istio.io/failureThreshold":    {good: "73", want: "failureThreshold: 73", bad: "x"},
}

// notForInjection are the annotations of pods that Istio or others write or read, and that say nothing about
// the proxy.
var notForInjection = []string{
	"galley.istio.io/analyze-suppress", "istio.io/rev", model.AnnotationPeers,
}

// TestAnnotationList walks Istio's list: each annotation of a pod acts (it is checked, and the cases above
// see its effect), or is known to have none, or concerns others.
func TestAnnotationList(t *testing.T) {
	all := model.Annotations()
	for _, a := range annotation.AllResourceAnnotations() {
		if !slices.Contains(a.Resources, annotation.Pod) && !slices.Contains(a.Resources, annotation.Any) {
			continue
		}
		ways := 0
		for _, known := range []bool{annotationChecks[a.Name] != nil, all[a.Name].Why != "", slices.Contains(notForInjection, a.Name)} {
			if known {
				ways++
			}
		}
		if ways != 1 {
			t.Errorf("annotation %s is handled in %d ways, want one", a.Name, ways)
		}
	}
	for name, a := range all {
		acts := a.Why == "" && slices.Contains(a.Kinds, model.KindPod) && !slices.Contains(notForInjection, name)
		if checked := annotationChecks[name] != nil; checked != acts {
			t.Errorf("annotation %s: checked %v, acts on pods %v", name, checked, acts)
		}
	}
	for name := range annotationChecks {
		if _, ok := all[name]; !ok {
			t.Errorf("annotation %s is checked, and users are told that there is none", name)
		}
	}
	if all["ambient.istio.io/dns-capture"].Why == "" || all["sidecar.istio.io/proxyCPU"].Why != "" {
		t.Errorf("without effect: %v", all)
	}
}

const podWithProbe = `
metadata: {name: a, namespace: shop, labels: {app: a}}
spec:
  containers:
  - name: app
    image: app
    ports: [{name: web, containerPort: 8080}]
    readinessProbe: {httpGet: {path: /ready, port: web}}
  volumes: [{name: data, emptyDir: {}}]
`

func TestAnnotations(t *testing.T) {
	in, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	for name := range annotationChecks {
		if _, ok := annotationCases[name]; !ok {
			t.Errorf("annotation %s has no case", name)
		}
	}
	for name, c := range annotationCases {
		t.Run(strings.ReplaceAll(name, "/", " "), func(t *testing.T) {
			if annotationChecks[name] == nil {
				t.Fatal("is not checked")
			}
			pod := parsePod(t, podWithProbe)
			pod.Annotations = map[string]string{name: c.good}
			out, injected, err := in.Pod(pod, nil, Owner{})
			if err != nil || !injected {
				t.Fatalf("injected %v, error %v", injected, err)
			}
			text := string(toText(t, out))
			if !strings.Contains(text, c.want) {
				t.Errorf("%s: %s: %q is missing in\n%s", name, c.good, c.want, text)
			}
			if c.absent != "" && strings.Contains(text, c.absent) {
				t.Errorf("%s: %s: %q should not be in\n%s", name, c.good, c.absent, text)
			}
			if c.bad == "" && c.want != "" && annotationChecks[name](c.bad) == nil {
				return
			}
			pod.Annotations[name] = c.bad
			if _, _, err := in.Pod(pod, nil, Owner{}); err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "shop/a") {
				t.Errorf("%s: %q: error %v does not name annotation and pod", name, c.bad, err)
			}
		})
	}
}

func parsePod(t testing.TB, text string) *corev1.Pod {
	t.Helper()
	pod := &corev1.Pod{}
	if err := yaml.UnmarshalStrict([]byte(text), pod); err != nil {
		t.Fatal(err)
	}
	return pod
}

// FuzzAnnotations says that no annotation panics, that what is refused is named, and that what
// is injected has its proxy and can be injected again.
func FuzzAnnotations(f *testing.F) {
	for name, c := range annotationCases {
		f.Add(name, c.good, c.bad)
	}
	f.Add("prometheus.io/port", "15020", "")
	f.Add("proxy.istio.io/config", "proxyMetadata: 1", "null")
	in, err := New(Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, name, value, label string) {
		pod := parsePod(t, podWithProbe)
		pod.Annotations = map[string]string{name: value}
		pod.Labels["version"] = label
		out, injected, err := in.Pod(pod, nil, Owner{})
		if err != nil {
			if !strings.Contains(err.Error(), name) {
				t.Errorf("%s=%q: error %v does not name it", name, value, err)
			}
			return
		}
		if !injected {
			return
		}
		if findProxy(out) == nil {
			t.Fatalf("%s=%q: no proxy", name, value)
		}
		if _, _, err := in.Pod(out, nil, Owner{}); err != nil {
			t.Fatalf("%s=%q: a second injection: %v", name, value, err)
		}
	})
}
