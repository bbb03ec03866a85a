package inject

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// ofIstiosChart is ConfigMap istio-sidecar-injector in the form in which Istio's chart writes it: values as JSON, cut to
// what templates read, and a config with every key, of which some are empty, a former template that calls what
// is nowhere, and templates of proxies of other kinds.
var ofIstiosChart = map[string]string{
	"values": `{
  "gateways": {"seccompProfile": {}, "securityContext": {}},
  "global": {
    "caAddress": "", "configValidation": true, "externalIstiod": false, "hub": "docker.io/istio", "imagePullPolicy": "", "imagePullSecrets": [],
    "istioNamespace": "istio-system", "istiod": {"enableAnalysis": false}, "logAsJson": false, "logging": {"level": "default:info"},
    "meshID": "", "mountMtlsCerts": false, "multiCluster": {"clusterName": "", "enabled": false}, "network": "", "omitSidecarInjectorConfigMap": false,
    "pilotCertProvider": "istiod", "podDNSSearchNamespaces": [],
    "proxy": {
      "autoInject": "enabled", "clusterDomain": "cluster.local", "componentLogLevel": "misc:error", "enableCoreDump": false, "excludeIPRanges": "",
      "excludeInboundPorts": "", "excludeOutboundPorts": "", "image": "proxyv2", "includeIPRanges": "*", "includeInboundPorts": "*", "includeOutboundPorts": "",
      "logLevel": "warning", "outlierLogPath": "", "privileged": false, "readinessFailureThreshold": 4, "readinessInitialDelaySeconds": 0, "readinessPeriodSeconds": 15,
      "resources": {"limits": {"cpu": "2000m", "memory": "1024Mi"}, "requests": {"cpu": "100m", "memory": "128Mi"}},
      "startupProbe": {"enabled": true, "failureThreshold": 600}, "statusPort": 15020, "tracer": "none"
    },
    "proxy_init": {"forceApplyIptables": false, "image": "proxyv2"}, "remotePilotAddress": "", "sds": {"token": {"aud": "istio-ca"}}, "sts": {"servicePort": 0},
    "tag": "1.28.0", "variant": "", "waypoint": {"affinity": {}, "nodeSelector": {}, "resources": {}, "tolerations": [], "topologySpreadConstraints": []}
  },
  "pilot": {"cni": {"enabled": false, "provider": "default"}, "env": {}},
  "revision": "",
  "sidecarInjectorWebhook": {
    "alwaysInjectSelector": [], "defaultTemplates": [], "enableNamespacesByDefault": false, "injectedAnnotations": {}, "neverInjectSelector": [],
    "reinvocationPolicy": "Never", "rewriteAppHTTPProbe": true, "templates": {}
  }
}`,
	"config": `# which templates a pod gets that names none
defaultTemplates: [sidecar]
policy: enabled
alwaysInjectSelector:
  []
neverInjectSelector:
  []
injectedAnnotations:
template: "{{ Of_Another_Version }}"
templates:
  sidecar: |
    metadata:
      annotations: {istio.io/rev: {{ .Revision | default "default" | quote }}}
    spec:
      {{- if not .Values.pilot.cni.enabled }}
      initContainers:
      - name: istio-init
        image: {{ .Values.global.hub }}/{{ .Values.global.proxy_init.image }}:{{ .Values.global.tag }}
      {{- end }}
      containers:
      - name: istio-proxy
        image: {{ .Values.global.hub }}/{{ annotation .ObjectMeta ` + "`sidecar.istio.io/proxyImage` .Values.global.proxy.image" + ` }}:{{ .Values.global.tag }}
        args: [proxy, sidecar, --domain, $(POD_NAMESPACE).svc.{{ .Values.global.proxy.clusterDomain }}]
        resources:
          {{ toYaml .Values.global.proxy.resources | indent 6 }}
        {{- if .Values.global.imagePullSecrets }}
        unused: true
        {{- end }}
  waypoint: |
    {{ if .InfrastructureLabels }}{{ .Name }}{{ end }}
  odd: "{{ ofALaterVersion .Values }}"
`,
}

// TestTheInjectorConfigMapOfIstiosChart: its templates and values are the ones that count, and what it has that is not
// taken harms nobody, and is named where somebody could miss it.
func TestTheInjectorConfigMapOfIstiosChart(t *testing.T) {
	in, err := New(Options{Values: []byte(ofIstiosChart["values"]), Config: []byte(ofIstiosChart["config"])})
	if err != nil {
		t.Fatal(err)
	}
	problems := in.Problems()
	if len(problems) != 1 || !strings.Contains(problems[0].Error(), "template odd") || !strings.Contains(problems[0].Error(), "ofALaterVersion") {
		t.Errorf("problems are %v", problems)
	}
	out, injected, err := in.Pod(parsePod(t, podWithProbe), nil, Owner{})
	if err != nil || !injected {
		t.Fatalf("injected %v, %v", injected, err)
	}
	proxy := findProxy(out)
	if proxy == nil || proxy.Image != "docker.io/istio/proxyv2:1.28.0" || proxy.Resources.Limits.Memory().String() != "1Gi" {
		t.Errorf("the proxy is %+v", proxy)
	}
	if !slices.ContainsFunc(out.Spec.InitContainers, func(c corev1.Container) bool { return c.Name == InitContainer }) {
		t.Errorf("no init container: %v", out.Spec.InitContainers)
	}
	if rewritten := slices.ContainsFunc(proxy.Env, func(e corev1.EnvVar) bool { return e.Name == envProbers }); !rewritten {
		t.Errorf("the probe is not rewritten: %v", proxy.Env)
	}
	for template, want := range map[string]string{"odd": "ofALaterVersion", "waypoint": "waypoint", "agentgateway": "agentgateway"} {
		pod := parsePod(t, podWithProbe)
		pod.Annotations = map[string]string{"inject.istio.io/templates": template}
		if _, _, err := in.Pod(pod, nil, Owner{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("template %s: %v", template, err)
		}
	}
	// A pod of the built-in template that is named beside has the values as well.
	pod := parsePod(t, podWithProbe)
	pod.Annotations = map[string]string{"inject.istio.io/templates": "gateway"}
	if out, _, err = in.Pod(pod, nil, Owner{}); err != nil || findProxy(out) == nil || findProxy(out).Image != "docker.io/istio/proxyv2:1.28.0" {
		t.Errorf("%v", err)
	}
}
