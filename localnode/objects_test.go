package localnode

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pilothouse-mesh/pilothouse/localnode/network"
	"github.com/pilothouse-mesh/pilothouse/localnode/state"
)

// TestNoTwoObjectsShareAFile names objects whose parts run into each other.
func TestNoTwoObjectsShareAFile(t *testing.T) {
	long := strings.Repeat("a", 240)
	files := map[string][3]string{}
	for _, o := range [][3]string{
		{"Service", "istio-system", "istio-ingressgateway"},
		{"Service", "istio", "system-istio-ingressgateway"},
		{"Pod", "a", "b-c"},
		{"Pod", "a-b", "c"},
		{"Pod", "a", "b.c"},
		{"Pod", "a", "b_c"},
		{"Pod", "a_b", "c"},
		{"Pod", "a", "b%5Fc"},
		{"Pod", "a", "../b"},
		{"Pod", "a", long + "b"},
		{"Pod", "a", long + "c"},
		{"Pod", "", "a"},
		{"Defaults", "", ""},
	} {
		file := fileName(o[0], o[1], o[2])
		if other, taken := files[file]; taken {
			t.Errorf("%v and %v are both %s", o, other, file)
		}
		if files[file] = o; filepath.Base(file) != file || len(file) > 240 || file == "defaults.yaml" {
			t.Errorf("%v is file %s", o, file)
		}
	}
}

func TestReadPodsOfEveryName(t *testing.T) {
	dir := t.TempDir()
	f := newObjectFiles(dir)
	for _, name := range []string{"one", strings.Repeat("x", 253)} {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}
		if err := f.put(fileName("pod", "default", name), p); err != nil {
			t.Fatal(err)
		}
	}
	pods, err := readPods(dir)
	if err != nil || len(pods) != 2 {
		t.Errorf("%d pods, %v", len(pods), err)
	}
	infos, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range infos {
		if info, err := e.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", e.Name(), info.Mode(), err)
		}
	}
}

func serviceOf(namespace, name string) *corev1.Service {
	return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
}

// TestGatewayIsTheRootNamespaces gives Services of the gateway's name in other namespaces, and
// removes Services that have no address.
func TestGatewayIsTheRootNamespaces(t *testing.T) {
	var gateway string
	dir := t.TempDir()
	c := &controller{
		plan: network.NewPlan(70), world: newWorld(state.Dir{Root: dir, Name: "test"}, nil), files: newObjectFiles(dir), vips: network.NewAllocator(network.NewPlan(70)),
		served: map[string]bool{}, gateway: func(addr string) error { gateway = addr; return nil },
	}
	own := serviceOf("istio-system", gatewayName)
	headless := serviceOf("team", "db")
	headless.Spec.ClusterIP = corev1.ClusterIPNone
	services, err := c.services(defaults{services: []*corev1.Service{serviceOf("evil", gatewayName), own, serviceOf("zzz", gatewayName), headless}})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range services {
		if s.Namespace == "istio-system" && s.Spec.ClusterIP != gateway {
			t.Errorf("the gateway is at %s, and told is %s", s.Spec.ClusterIP, gateway)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, fileName("service", "team", "db"))); err != nil {
		t.Error(err)
	}
	if _, err := c.services(defaults{services: []*corev1.Service{serviceOf("evil", gatewayName)}}); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("files of removed Services stay: %v", left)
	}
	if gateway == "" {
		t.Error("without one of its own the first of another namespace is the gateway")
	}
}

// TestAPodIsFoundByTheNameOfItsDeployment tells those apart that several namespaces or replicas have.
func TestAPodIsFoundByTheNameOfItsDeployment(t *testing.T) {
	m := &Mesh{dir: state.Dir{Root: t.TempDir(), Name: "test"}}
	if err := os.MkdirAll(m.dir.Objects(), 0o700); err != nil {
		t.Fatal(err)
	}
	f := newObjectFiles(m.dir.Objects())
	for _, name := range []string{"a/web-7c-x1", "b/web-7c-x2", "b/many-8d-x1", "b/many-8d-x2"} {
		namespace, name, _ := strings.Cut(name, "/")
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{"pod-template-hash": strings.Split(name, "-")[1]}}}
		if err := f.put(fileName("pod", namespace, name), p); err != nil {
			t.Fatal(err)
		}
	}
	for given, want := range map[string]string{"web.a": "web-7c-x1", "b/web": "web-7c-x2", "web-7c-x1": "web-7c-x1"} {
		if p, err := m.Pod(given); err != nil || p.Name != want {
			t.Errorf("%s: %v, want %s", given, err, want)
		}
	}
	if _, err := m.Pod("many.b"); err == nil || !strings.Contains(err.Error(), "means 2 pods: b/many-8d-x1, b/many-8d-x2") {
		t.Errorf("one of two was not asked for: %v", err)
	}
}
