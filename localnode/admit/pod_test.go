package admit

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

const good = `
metadata: {name: web-1.x, namespace: default, labels: {app.kubernetes.io/name: Web_1}, annotations: {example.com/Note: "any\ntext"}}
spec:
  serviceAccountName: web.account
  hostname: web
  subdomain: web-headless
  hostAliases: [{ip: 10.0.0.1, hostnames: [a.example]}]
  dnsConfig: {nameservers: [10.0.0.1], searches: [_tcp.example., .], options: [{name: ndots, value: "2"}]}
  securityContext: {fsGroup: 1, sysctls: [{name: net.ipv4.ip_unprivileged_port_start, value: "0"}]}
  initContainers: [{name: first, image: i}]
  containers:
  - name: web
    image: registry:5000/web:1@sha256:0
    env: [{name: A.b-C, valueFrom: {configMapKeyRef: {name: cm, key: a.b_C}}}]
    envFrom: [{prefix: P_, secretRef: {name: s}}]
    ports: [{name: http-1, containerPort: 80}, {containerPort: 81}]
    readinessProbe: {httpGet: {port: http-1, httpHeaders: [{name: Host, value: x}]}}
    livenessProbe: {tcpSocket: {port: 80}}
    volumeMounts: [{name: vol, mountPath: /a, subPath: b..c/d}, {name: cm, mountPath: /b, subPathExpr: $(A)/x}]
  volumes:
  - {name: vol}
  - {name: cm, configMap: {name: cm.1, defaultMode: 256, items: [{key: .key, path: sub/file}]}}
  - {name: host, hostPath: {path: /etc}}
  - {name: all, projected: {sources: [{serviceAccountToken: {path: token}}, {downwardAPI: {items: [{path: labels, fieldRef: {fieldPath: metadata.labels}}]}}]}}
`

func parse(t *testing.T, text string) *corev1.Pod {
	t.Helper()
	p := &corev1.Pod{}
	if err := yaml.UnmarshalStrict([]byte(text), p); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestGoodPod(t *testing.T) {
	if err := Pod(parse(t, good)); err != nil {
		t.Error(err)
	}
}

// TestBadPods changes one thing of the good pod each, and wants a complaint that names the field.
func TestBadPods(t *testing.T) {
	for _, c := range [][3]string{
		{"name: web-1.x", "name: ../x", "metadata.name"},
		{"name: web-1.x", "name: A", "metadata.name"},
		{"namespace: default", "namespace: a/b", "metadata.namespace"},
		{"namespace: default", "namespace: ..", "metadata.namespace"},
		{"app.kubernetes.io/name: Web_1", "a/b/c: x", "metadata.labels"},
		{"name: Web_1", "name: a b", "metadata.labels"},
		{"example.com/Note", "../Note", "metadata.annotations"},
		{"web.account", "../account", "spec.serviceAccountName"},
		{"hostname: web", "hostname: web.x", "spec.hostname"},
		{"hostname: web", `hostname: "web\nx"`, "spec.hostname"},
		{"subdomain: web-headless", "subdomain: a_b", "spec.subdomain"},
		{"ip: 10.0.0.1", "ip: x", "spec.hostAliases[0].ip"},
		{"a.example", `"a\n1.2.3.4 b"`, "spec.hostAliases[0].hostnames[0]"},
		{"nameservers: [10.0.0.1]", `nameservers: ["10.0.0.1\nx"]`, "spec.dnsConfig.nameservers[0]"},
		{"_tcp.example.", `"a\nb"`, "spec.dnsConfig.searches[0]"},
		{"name: ndots", `name: "a\nb"`, "spec.dnsConfig.options[0].name"},
		{"fsGroup: 1", "fsGroup: -1", "spec.securityContext.fsGroup"},
		{"net.ipv4.ip_unprivileged_port_start", "../x", "spec.securityContext.sysctls[0].name"},
		{"hostname: web", "hostname: web\n  hostNetwork: true", "spec.securityContext.sysctls[0].name"},
		{"name: first", "name: ../../../tmp/victim/keep.txt", "spec.initContainers[0].name"},
		{"name: first", "name: web", "spec.containers[0].name"},
		{"- name: web", "- name: ../../../tmp/victim/keep.txt", "spec.containers[0].name"},
		{"- name: web", `- name: ""`, "spec.containers[0].name"},
		{"registry:5000/web:1@sha256:0", `"a b"`, "spec.containers[0].image"},
		{"A.b-C", `"A=B"`, "spec.containers[0].env[0].name"},
		{"key: a.b_C", "key: ../k", "spec.containers[0].env[0].valueFrom.configMapKeyRef.key"},
		{"prefix: P_", `prefix: "a=b"`, "spec.containers[0].envFrom[0].prefix"},
		{"name: http-1, containerPort", "name: HTTP, containerPort", "spec.containers[0].ports[0].name"},
		{"containerPort: 81", "containerPort: 81000", "spec.containers[0].ports[1].containerPort"},
		{"port: http-1", "port: not/a/port", "spec.containers[0].readinessProbe.httpGet.port"},
		{"name: Host,", `name: "a\nb",`, "spec.containers[0].readinessProbe.httpGet.httpHeaders[0].name"},
		{"port: 80}", "port: 0}", "spec.containers[0].livenessProbe.tcpSocket.port"},
		{"name: vol, mountPath", "name: none, mountPath", "spec.containers[0].volumeMounts[0].name"},
		{"mountPath: /b", "mountPath: /a", "spec.containers[0].volumeMounts[1].mountPath"},
		{"mountPath: /b", `mountPath: ""`, "spec.containers[0].volumeMounts[1].mountPath"},
		{"b..c/d", "b/../../d", "spec.containers[0].volumeMounts[0].subPath"},
		{"b..c/d", "/d", "spec.containers[0].volumeMounts[0].subPath"},
		{"$(A)/x", "../$(A)", "spec.containers[0].volumeMounts[1].subPathExpr"},
		{"{name: vol}", "{name: ../../../tmp/victim}", "spec.volumes[0].name"},
		{"{name: vol}", "{name: ..data}", "spec.volumes[0].name"},
		{"{name: vol}", "{name: cm}", "spec.volumes[1].name"},
		{"configMap: {name: cm.1", "configMap: {name: ../cm", "spec.volumes[1].configMap.name"},
		{"key: .key", "key: ../key", "spec.volumes[1].configMap.items[0].key"},
		{"path: sub/file", "path: sub/../../file", "spec.volumes[1].configMap.items[0].path"},
		{"path: sub/file", "path: /etc/passwd", "spec.volumes[1].configMap.items[0].path"},
		{"path: sub/file", "path: ..data/x", "spec.volumes[1].configMap.items[0].path"},
		{"defaultMode: 256", "defaultMode: 1000", "spec.volumes[1].configMap.defaultMode"},
		{"path: /etc}", "path: etc}", "spec.volumes[2].hostPath.path"},
		{"path: /etc}", "path: /etc/../x}", "spec.volumes[2].hostPath.path"},
		{"path: token", "path: ../token", "spec.volumes[3].projected.sources[0].serviceAccountToken.path"},
		{"path: labels", "path: /labels", "spec.volumes[3].projected.sources[1].downwardAPI.items[0].path"},
		{"hostname: web", "hostname: web\n  ephemeralContainers: [{name: e, image: i}]", "spec.ephemeralContainers"},
	} {
		text := strings.Replace(good, c[0], c[1], 1)
		if text == good {
			t.Fatalf("nothing was replaced by %q", c[1])
		}
		if err := Pod(parse(t, text)); err == nil || !strings.Contains(err.Error(), c[2]+":") {
			t.Errorf("%s: %v; want a complaint of %s", c[1], err, c[2])
		}
	}
}

// TestSamples admits every pod of the samples, as it stands.
func TestSamples(t *testing.T) {
	files, err := filepath.Glob("../../samples/*/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no samples: %v", err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for doc := range strings.SplitSeq(string(b), "\n---") {
			var d struct {
				Kind string
				Spec struct{ Template corev1.PodTemplateSpec }
			}
			if err := yaml.Unmarshal([]byte(doc), &d); err != nil || d.Kind != "Deployment" {
				continue
			}
			p := &corev1.Pod{ObjectMeta: d.Spec.Template.ObjectMeta, Spec: d.Spec.Template.Spec}
			p.Name, p.Namespace = "x", "default"
			if err := Pod(p); err != nil {
				t.Errorf("%s: %v", file, err)
			}
		}
	}
}
