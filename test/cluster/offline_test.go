package cluster

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// offlinePod has what an API server fills in and the proxy is told of. A token that an API server mounts comes before
// or after what is injected.
const offlinePod = `apiVersion: v1
kind: Pod
metadata:
  name: offline
  namespace: default
  labels: {app: offline}
spec:
  automountServiceAccountToken: false
  containers:
  - name: app
    image: example.org/app:v1
    ports: [{name: http, containerPort: 8080}, {containerPort: 53, protocol: UDP}]
    readinessProbe: {httpGet: {port: http}}
    livenessProbe: {grpc: {port: 9000}}
    lifecycle: {preStop: {httpGet: {path: /stop, port: 8080}}}
`

// offlineIsTheSame compares the pod that the API server makes with the webhook with the one that it makes, where no
// webhook is asked, of what kube-inject gives by the files that the webhook uses.
func (w *world) offlineIsTheSame(ctx context.Context) {
	w.Helper()
	dir := w.TempDir()
	args := []string{"kube-inject", "-f", filepath.Join(dir, "pod.yaml")}
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			w.Fatal(err)
		}
		return path
	}
	write("pod.yaml", offlinePod)
	for _, from := range []struct{ flag, configMap, key string }{
		{"--injectConfigFile", "istio-sidecar-injector", "config"}, {"--meshConfigFile", "istio", "mesh"}, {"--valuesFile", "istio-sidecar-injector", "values"},
	} {
		cm, err := w.client.CoreV1().ConfigMaps("istio-system").Get(ctx, from.configMap, metav1.GetOptions{})
		if err != nil {
			w.Fatal(err)
		}
		args = append(args, from.flag, write(from.key, cm.Data[from.key]))
	}
	out, err := w.pilotctl(ctx, args...).Output()
	if err != nil {
		w.Fatalf("kube-inject: %v: %s", err, out)
	}
	online := w.wouldBe(ctx, "default", offlinePod)
	offline := w.wouldBe(ctx, "kube-public", strings.TrimSuffix(string(out), "---\n"))
	if !strings.Contains(online, `"name":"istio-proxy"`) || online != offline {
		w.Errorf("the webhook makes\n%s\nand kube-inject\n%s", online, offline)
	}
}

// particular is what no two pods have alike: the secrets of their probes.
var particular = regexp.MustCompile(`"[0-9a-f]{32}"`)

// wouldBe gives the pod, in bytes, that the API server would store in a namespace.
func (w *world) wouldBe(ctx context.Context, namespace, text string) string {
	w.Helper()
	var pod corev1.Pod
	if err := yaml.Unmarshal([]byte(text), &pod); err != nil {
		w.Fatalf("%v: %s", err, text)
	}
	pod.Namespace = namespace
	stored, err := w.client.CoreV1().Pods(namespace).Create(ctx, &pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	if err != nil {
		w.Fatal(err)
	}
	stored.ObjectMeta = metav1.ObjectMeta{Labels: stored.Labels, Annotations: stored.Annotations}
	bytes, err := json.Marshal(stored)
	if err != nil {
		w.Fatal(err)
	}
	return particular.ReplaceAllString(string(bytes), "")
}
