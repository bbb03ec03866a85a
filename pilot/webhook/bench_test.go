package webhook

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/pilothouse-mesh/pilothouse/pilot/inject"
)

// injecting gives a webhook's handler.
func injecting(t testing.TB) http.Handler {
	injector, err := inject.New(inject.Options{NativeSidecar: true})
	if err != nil {
		t.Fatal(err)
	}
	return Handler(Options{
		Injector:   func(string, string) (*inject.Injector, error) { return injector, nil },
		Registerer: prometheus.NewRegistry(), Logger: slog.New(slog.DiscardHandler),
	})
}

// bookinfo gives the pods of the sample's Deployments, as an API server asks about them.
func bookinfo(t testing.TB) (pods []string) {
	text, err := os.ReadFile("../../samples/bookinfo/bookinfo.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for d := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096); ; {
		var deployment appsv1.Deployment
		if err := d.Decode(&deployment); errors.Is(err, io.EOF) {
			return pods
		} else if err != nil {
			t.Fatal(err)
		}
		if deployment.Kind == "Deployment" {
			pods = append(pods, created(t, &deployment))
		}
	}
}

// created gives a pod of a Deployment as it comes to the webhooks: with an API server's defaults and its account's token.
func created(t testing.TB, d *appsv1.Deployment) string {
	const hash = "5d4d9c7b6f"
	controls, linked := true, true
	pod := &corev1.Pod{
		TypeMeta:   metav1.TypeMeta{Kind: "Pod", APIVersion: "v1"},
		ObjectMeta: d.Spec.Template.ObjectMeta, Spec: d.Spec.Template.Spec,
	}
	pod.GenerateName, pod.Labels["pod-template-hash"] = d.Name+"-"+hash+"-", hash
	pod.OwnerReferences = []metav1.OwnerReference{{
		APIVersion: "apps/v1", Kind: "ReplicaSet", Name: d.Name + "-" + hash, UID: "0f3c", Controller: &controls, BlockOwnerDeletion: &controls,
	}}
	pod.ManagedFields = []metav1.ManagedFieldsEntry{{
		Manager: "kube-controller-manager", Operation: "Update", APIVersion: "v1", FieldsType: "FieldsV1",
		FieldsV1: metav1.NewFieldsV1(`{"f:metadata":{"f:generateName":{},"f:labels":{".":{},"f:app":{},"f:version":{}},"f:ownerReferences":{".":{},"k:{\"uid\":\"0f3c\"}":{}}},"f:spec":{"f:containers":{"k:{\"name\":\"app\"}":{".":{},"f:image":{},"f:imagePullPolicy":{},"f:name":{},"f:ports":{".":{},"k:{\"containerPort\":9080,\"protocol\":\"TCP\"}":{".":{},"f:containerPort":{},"f:protocol":{}}},"f:resources":{},"f:terminationMessagePath":{},"f:terminationMessagePolicy":{}}},"f:dnsPolicy":{},"f:enableServiceLinks":{},"f:restartPolicy":{},"f:schedulerName":{},"f:securityContext":{},"f:serviceAccount":{},"f:serviceAccountName":{},"f:terminationGracePeriodSeconds":{}}}`),
	}}
	grace, seconds, mode := int64(30), int64(3607), int32(420)
	spec := &pod.Spec
	spec.RestartPolicy, spec.DNSPolicy, spec.SchedulerName = corev1.RestartPolicyAlways, corev1.DNSClusterFirst, "default-scheduler"
	spec.TerminationGracePeriodSeconds, spec.EnableServiceLinks, spec.SecurityContext = &grace, &linked, &corev1.PodSecurityContext{}
	for i := range spec.Containers {
		c := &spec.Containers[i]
		c.TerminationMessagePath, c.TerminationMessagePolicy = corev1.TerminationMessagePathDefault, corev1.TerminationMessageReadFile
		c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: "kube-api-access", ReadOnly: true, MountPath: "/var/run/secrets/kubernetes.io/serviceaccount"})
		for j := range c.Ports {
			c.Ports[j].Protocol = corev1.ProtocolTCP
		}
	}
	spec.Volumes = append(spec.Volumes, corev1.Volume{Name: "kube-api-access", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
		DefaultMode: &mode, Sources: []corev1.VolumeProjection{{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{ExpirationSeconds: &seconds, Path: "token"}}},
	}}})
	text, err := json.Marshal(pod)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestInjectionAllocatesLittle: many pods at once wait for each other, and for the garbage of all.
func TestInjectionAllocatesLittle(t *testing.T) {
	handler, pods := injecting(t), bookinfo(t)
	if len(pods) != 6 {
		t.Fatalf("%d pods", len(pods))
	}
	for _, pod := range pods {
		n := testing.AllocsPerRun(20, func() { handler.ServeHTTP(httptest.NewRecorder(), review(t, "/inject", "CREATE", pod)) })
		if n > 600 {
			t.Errorf("an injection takes %v allocations; it was 320 to 420, and 1,500 to 1,600 before additions were kept", n)
		}
	}
}

// BenchmarkInjection has the pods of bookinfo injected by the default template. CPU time is what a busy machine does not
// change.
func BenchmarkInjection(b *testing.B) {
	handler, pods := injecting(b), bookinfo(b)
	cpu := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	b.ReportAllocs()
	began, n := cpu(), 0
	for b.Loop() {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, review(b, "/inject", "CREATE", pods[n%len(pods)]))
		if !strings.Contains(w.Body.String(), `"patch"`) {
			b.Fatal(w.Body)
		}
		n++
	}
	b.ReportMetric(float64(cpu()-began)/float64(b.N)/1e3, "cpu-µs/op")
}

// BenchmarkStages tells what an injection's time goes into.
func BenchmarkStages(b *testing.B) {
	injector, err := inject.New(inject.Options{NativeSidecar: true})
	if err != nil {
		b.Fatal(err)
	}
	text := []byte(bookinfo(b)[0])
	var pod corev1.Pod
	out := &corev1.Pod{}
	d := newDiffer()
	for _, stage := range []struct {
		name string
		run  func() error
	}{
		{"read", func() error { pod = corev1.Pod{}; return json.Unmarshal(text, &pod) }},
		{"inject", func() (err error) {
			pod.ManagedFields = nil
			out, _, err = injector.Pod(&pod, nil, inject.Owner{})
			return err
		}},
		{"compare", func() error { _, err := d.patch(&pod, out); return err }},
	} {
		b.Run(stage.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := stage.run(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
