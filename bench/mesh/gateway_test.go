package mesh

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func gatewaysText(t *testing.T, spec Spec) (*Mesh, string) {
	t.Helper()
	dir := t.TempDir()
	m, err := New(spec, dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Write(); err != nil {
		t.Fatal(err)
	}
	var all bytes.Buffer
	for g := range spec.Gateways.Count {
		b, err := os.ReadFile(filepath.Join(dir, "base", GatewayNamespace(g)+".yaml"))
		if err != nil {
			t.Fatal(err)
		}
		all.Write(b)
	}
	return m, all.String()
}

func TestGatewaysHaveServersRoutesAndPodsOfTheirOwn(t *testing.T) {
	spec := small()
	spec.Gateways = Gateways{Count: 3, Servers: 7, Routes: 20, Replicas: 2}
	m, text := gatewaysText(t, spec)
	for what, want := range map[string]int{
		"kind: Gateway\n": 3, "protocol: HTTP}": 21, "kind: VirtualService\n": 60, "kind: Pod\n": 6, "gateways: [gateway-1/gateway]": 20,
		"hosts: [r-8.s-1.gateway-2.example.com]": 1, `hosts: ["*.s-1.gateway-2.example.com"]`: 1,
	} {
		if got := strings.Count(text, what); got != want {
			t.Errorf("%q is there %d times, want %d", what, got, want)
		}
	}
	for i := range fixed {
		if strings.Contains(text, m.Host(m.Fixed(i))) {
			t.Errorf("a gateway leads to %s", m.Host(m.Fixed(i)))
		}
	}
	seen := map[string]bool{}
	for i := range spec.Gateways.Len() {
		w := m.GatewayPod(i)
		if !w.Router || !strings.Contains(text, "name: "+w.Name+", namespace: "+w.Namespace+", labels") || !strings.Contains(text, "podIP: "+w.Address.String()+"\n") {
			t.Errorf("pod %d is not in the mesh: %+v", i, w)
		}
		seen[w.Name] = true
	}
	if len(seen) != 6 {
		t.Errorf("%d pods", len(seen))
	}
	if a, b := m.GatewayRoute(1, 8), m.GatewayRoute(1, 8); a.Path != b.Path || bytes.Equal(a.Data, b.Data) {
		t.Error("a route's second change is none, or is in another file")
	}
}

func TestAGatewaySeesAllServicesAndNoRouteOfSidecars(t *testing.T) {
	spec := small()
	spec.Gateways = Gateways{Count: 1, Servers: 1, Routes: 1, Replicas: 1}
	m, _ := gatewaysText(t, spec)
	ns := GatewayNamespace(0)
	for s := range spec.Services {
		if !m.Sees(ns, s) {
			t.Fatalf("service %d is out of sight", s)
		}
	}
	if m.Routed(ns, ReachAll) || m.Concerned(ns, ReachNamespace) || !m.Concerned(ns, ReachAll) {
		t.Error("a gateway gets clusters with public rules, and no routes of sidecars")
	}
}

func TestManyNamespacesOfFewServices(t *testing.T) {
	spec := small()
	spec.Scoped, spec.Services = false, spec.Namespaces+3
	spec.VirtualServices, spec.DestinationRules = 3, 3
	m, text := written(t, spec)
	if got := strings.Count(text, "kind: Service\n"); got != spec.Services {
		t.Errorf("%d services, want %d", got, spec.Services)
	}
	for i := range fixed {
		if s := m.Fixed(i); m.namespaceOf(s) != Namespace(0) || m.headless(s) {
			t.Errorf("service %d is in %s", s, m.namespaceOf(s))
		}
	}
	var pods []string
	for i := range spec.Namespaces {
		pods = append(pods, m.Workload(i).Namespace)
	}
	slices.Sort(pods)
	if got := len(slices.Compact(pods)); got != spec.Namespaces {
		t.Errorf("the first pods are in %d namespaces, want %d", got, spec.Namespaces)
	}
}

func TestAPolicyIsAnotherEachTime(t *testing.T) {
	m, _ := written(t, small())
	a, b, c := m.Policy(), m.Policy(), m.Policy()
	if bytes.Equal(a.Data, b.Data) || !bytes.Equal(a.Data, c.Data) || !strings.Contains(string(a.Data), "mode: STRICT") {
		t.Errorf("%s\n%s\n%s", a.Data, b.Data, c.Data)
	}
}

func TestEachServiceThatIsAddedIsAnother(t *testing.T) {
	m, _ := written(t, small())
	seen := map[string]bool{}
	for range 3 {
		e, cluster := m.AddService()
		seen[e.Path], seen[cluster] = true, true
		if !strings.Contains(string(e.Data), fmt.Sprintf("selector: {app: svc-%d}", m.Fixed(1))) {
			t.Errorf("it has no pods: %s", e.Data)
		}
	}
	if len(seen) != 6 {
		t.Errorf("got %v", seen)
	}
}
