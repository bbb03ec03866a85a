package mesh

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func small() Spec {
	return Spec{
		Seed: 7, Services: 80, Endpoints: 10, Namespaces: 20, Zones: 3, VirtualServices: 20, DestinationRules: 20, Scoped: true,
	}
}

func written(t *testing.T, spec Spec) (*Mesh, string) {
	t.Helper()
	dir := t.TempDir()
	m, err := New(spec, dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Write(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "base", "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var all bytes.Buffer
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(b)
	}
	return m, all.String()
}

func TestTheSameSpecGivesTheSameBytes(t *testing.T) {
	_, a := written(t, small())
	_, b := written(t, small())
	if a != b {
		t.Error("two meshes of one spec differ")
	}
	other := small()
	other.Seed++
	if _, c := written(t, other); a == c {
		t.Error("the seed makes no difference")
	}
}

func TestCounts(t *testing.T) {
	_, text := written(t, small())
	for what, want := range map[string]int{
		"kind: Namespace\n": 20, "kind: Service\n": 80, "kind: Pod\n": 800, "kind: ServiceAccount\n": 80,
		"kind: Sidecar\n": 20, "kind: VirtualService\n": 20, "kind: DestinationRule\n": 20,
		"clusterIP: None": 4, "localityLbSetting": 5,
	} {
		if got := strings.Count(text, what); got != want {
			t.Errorf("%q is there %d times, want %d", what, got, want)
		}
	}
	if got := strings.Count(text, "statefulset.kubernetes.io/pod-name"); got != 40 {
		t.Errorf("%d pods of StatefulSets, want 40", got)
	}
	hashes := map[string]bool{}
	for _, part := range strings.Split(text, `"pod-template-hash":"`)[1:] {
		hashes[part[:10]] = true
	}
	if len(hashes) != 2*76 { // two Deployments for each service that is not headless
		t.Errorf("%d ReplicaSets, want %d", len(hashes), 2*76)
	}
}

func TestAddressesAreNeverSharedWhileTheyChange(t *testing.T) {
	m, _ := written(t, small())
	seen := map[string]int{}
	note := func(i int) {
		p := &m.pods[i]
		ip := m.podAddress(p, p.rolled).String()
		if other, ok := seen[ip]; ok && other != i {
			t.Fatalf("pods %d and %d have %s", i, other, ip)
		}
		seen[ip] = i
	}
	for i := range m.pods {
		note(i)
	}
	for range 50 {
		m.Endpoint(3, 9)
		m.Replace(4, 2)
		note(m.index(3, 9))
		note(m.index(4, 2))
	}
}

func TestAnEditChangesOneFile(t *testing.T) {
	m, _ := written(t, small())
	before := m.Workload(0)
	e := m.Endpoint(60, 9)
	if _, err := e.Apply(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(m.Dirs()[1], "*"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 1 || files[0] != e.Path {
		t.Errorf("files %v, want %s", files, e.Path)
	}
	if again := m.Endpoint(60, 9); bytes.Equal(again.Data, e.Data) {
		t.Error("a second change gives the same bytes")
	}
	if m.Workload(0).Address != before.Address {
		t.Error("another pod changed")
	}
	if a, b := m.Route(ReachAll), m.Route(ReachAll); bytes.Equal(a.Data, b.Data) || a.Path != b.Path {
		t.Error("a route's second change is none, or is in another file")
	}
}

func TestReach(t *testing.T) {
	spec := small()
	for _, scoped := range []bool{false, true} {
		spec.Scoped = scoped
		m, _ := written(t, spec)
		for reach, want := range map[Reach]int{ReachNamespace: 1, ReachTenth: 2, ReachAll: 20} {
			if scoped {
				want = 1
			}
			got := 0
			for n := range spec.Namespaces {
				if m.Concerned(Namespace(n), reach) {
					got++
				}
			}
			if got != want {
				t.Errorf("scoped %v, reach %d: %d namespaces, want %d", scoped, reach, got, want)
			}
		}
	}
}

func TestATwinDiffersInNameAndAddressOnly(t *testing.T) {
	m, _ := written(t, small())
	twins := 0
	for i := range 80 {
		a := m.Workload(i)
		b, ok := m.Twin(i)
		if !ok {
			continue
		}
		twins++
		if a.Name == b.Name || a.Address == b.Address {
			t.Errorf("pod %d is its own twin", i)
		}
		b.Name, b.Address = a.Name, a.Address
		if !reflect.DeepEqual(a, b) {
			t.Errorf("%+v and %+v", a, b)
		}
	}
	if twins < 40 {
		t.Errorf("%d twins of 80", twins)
	}
}

func TestEachNamespaceHasAServiceThatShowsChanges(t *testing.T) {
	m, _ := written(t, small())
	for n := range small().Namespaces {
		if s := m.Probe(n); !m.Assigned(s) || m.namespaceOf(s) != Namespace(n) {
			t.Errorf("%s: service %d", Namespace(n), s)
		}
	}
}

func TestSpecsThatMakeNoSense(t *testing.T) {
	for name, change := range map[string]func(*Spec){
		"few services": func(s *Spec) { s.Services = 10 }, "no endpoints": func(s *Spec) { s.Endpoints = 0 },
		"many routes": func(s *Spec) { s.VirtualServices = 79 }, "no zones": func(s *Spec) { s.Zones = 0 },
		"filters of one namespace": func(s *Spec) { s.Namespaces, s.Scoped, s.Breadth.EnvoyFilters = 1, false, 1 },
		"gateways without servers": func(s *Spec) { s.Gateways = Gateways{Count: 1, Replicas: 1} },
	} {
		spec := small()
		change(&spec)
		if _, err := New(spec, t.TempDir()); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
