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
