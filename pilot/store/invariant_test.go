package store

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// describe gives all answers of a snapshot as text.
func describe(snapshot *Snapshot) string {
	s := snapshot.Reader(nil)
	var b strings.Builder
	mesh, err := proto.MarshalOptions{Deterministic: true}.Marshal(s.Mesh())
	fmt.Fprintf(&b, "mesh %x %v\n", mesh, err)
	names := func(objects []*model.Object) (out []string) {
		for _, o := range objects {
			out = append(out, o.String())
		}
		return out
	}
	fmt.Fprintln(&b, "gateways", names(s.Gateways()))
	for _, ns := range []string{"default", "a", "b", "istio-system"} {
		own := slices.Clone(s.Own(ns)) // the store searches its own list by its order
		slices.SortFunc(own, func(a, b Row) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
		fmt.Fprintln(&b, ns, s.Object(model.Key{Kind: model.KindNamespace, Name: ns}) != nil, s.VirtualServiceHosts(ns), s.VirtualServiceHostSets(ns), names(s.Sidecars(ns)), s.SourceLabels(ns),
			names(s.PeerAuthentications(ns)), names(s.Telemetries(ns)), names(s.WorkloadDestinationRules(ns)), own)
		for _, gateway := range []string{"a/g", "b/g"} {
			for _, host := range s.BoundHosts(ns, gateway) {
				fmt.Fprintln(&b, gateway, host, names(s.BoundVirtualServices(ns, gateway, host)))
			}
		}
		fmt.Fprintln(&b, "aliased", s.AliasedHosts(ns))
		for _, name := range []string{"s0.a", "s1.a", "s2.a", "e0.a", "e1.a", "e0.b", "e1.b", "e0.default"} {
			host := name + ".svc.cluster.local"
			fmt.Fprintln(&b, host, s.Aliases(ns, host), s.AliasTarget(ns, host))
		}
		for _, svc := range s.Services(ns) {
			fmt.Fprintf(&b, "%+v %v\n", *svc, s.Service(ns, svc.Hostname) == svc)
			fmt.Fprintf(&b, "%+v\n", s.Endpoints(svc.ID()))
			fmt.Fprintln(&b, names(s.VirtualServices(ns, svc.Hostname)))
			for _, from := range []string{"default", "a", "b"} {
				fmt.Fprintln(&b, from, names(s.DestinationRules(from, ns, svc.Hostname)))
			}
		}
		for _, app := range []string{"s0", "s1", "s2"} {
			for _, svc := range s.ServicesSelecting("", ns, map[string]string{"app": app, "v": "1"}) {
				fmt.Fprintln(&b, app, svc.Hostname)
			}
		}
	}
	return b.String()
}

// varied gives a mesh in which much depends on order: ages, exports, wildcards, slices.
func varied(t testing.TB) []*model.Object {
	t.Helper()
	return decode(t, variedText())
}

func variedText() string {
	var text strings.Builder
	add := func(format string, args ...any) { fmt.Fprintf(&text, format+"\n---\n", args...) }
	add("apiVersion: v1\nkind: Namespace\nmetadata: {name: istio-system, labels: {topology.istio.io/network: n1}}")
	add("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata: {mesh: 'trustDomain: td'}")
	for i, ns := range []string{"default", "a", "b"} {
		for n := range 3 {
			export := []string{"*", ".", "a,b"}[(i+n)%3]
			add("apiVersion: v1\nkind: Service\nmetadata: {name: s%d, namespace: %s, annotations: {networking.istio.io/exportTo: '%s'}}\n"+
				"spec: {clusterIP: 10.96.%d.%d, selector: {app: s%d}, ports: [{name: http, port: 80}, {name: web, port: 81, targetPort: web}]}", n, ns, export, i, n+1, n)
			add("apiVersion: v1\nkind: Pod\nmetadata: {name: p%d, namespace: %s, labels: {app: s%d, v: '1'}}\n"+
				"spec: {serviceAccountName: sa%d, containers: [{name: c, ports: [{name: web, containerPort: 8080}]}]}\n"+
				"status: {podIP: 10.0.%d.%d, conditions: [{type: Ready, status: 'True'}]}", n, ns, n, n, i, n+1)
			add("apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: v%d, namespace: %s, creationTimestamp: '2026-01-0%dT00:00:00Z'}\n"+
				"spec: {hosts: [s%d], exportTo: ['%s'], http: [{route: [{destination: {host: s%d}}]}]}", n, ns, 3-n, n, []string{"*", "."}[n%2], n)
			add("apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: d%d, namespace: %s}\nspec: {host: '%s'}", n, ns,
				[]string{"s0", "*.svc.cluster.local", "*." + ns + ".svc.cluster.local"}[n])
		}
		add("apiVersion: v1\nkind: Service\nmetadata: {name: e0, namespace: %s, annotations: {networking.istio.io/exportTo: '%s'}}\n"+
			"spec: {type: ExternalName, externalName: s%d.a.svc.cluster.local}", ns, []string{"*", ".", "a,b"}[i], i)
		add("apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: g, namespace: %s}\nspec: {servers: []}", ns)
		add("apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: c, namespace: %s}\nspec: {}", ns)
		add("apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: c, namespace: %s}\nspec: {mtls: {mode: STRICT}}", ns)
		add("apiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata: {name: c, namespace: %s}\nspec: {accessLogging: [{}]}", ns)
	}
	add("apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: s1-x, namespace: a, labels: {kubernetes.io/service-name: s1}}\naddressType: IPv4\n" +
		"ports: [{name: http, port: 80}]\nendpoints: [{addresses: [10.0.1.2], conditions: {ready: false}}, {addresses: [10.9.9.9], zone: z}]")
	return text.String()
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return fmt.Sprintf("got\n%s\nwant\n%s", g[i], w[i])
		}
	}
	return fmt.Sprintf("got %d lines, want %d", len(g), len(w))
}

func TestOrderOfArrivalDoesNotMatter(t *testing.T) {
	objects := varied(t)
	want := describe(FromObjects(objects, Options{}))
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 1))
		shuffled := slices.Clone(objects)
		rng.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		s := newState("")
		var last *Snapshot
		for i, o := range shuffled { // with commits, deletions and returns in between
			s.put(o.Key, o)
			if rng.IntN(3) == 0 {
				s.put(shuffled[rng.IntN(i+1)].Key, nil)
			}
			if rng.IntN(4) == 0 {
				if c, ok := s.commit(); ok {
					last = c.Snapshot
				}
			}
		}
		for _, o := range shuffled {
			s.put(o.Key, o)
		}
		if c, ok := s.commit(); ok {
			last = c.Snapshot
		}
		if got := describe(last); got != want {
			t.Fatalf("seed %d: %s", seed, firstDifference(got, want))
		}
	}
}

func TestASnapshotNeverChanges(t *testing.T) {
	objects := varied(t)
	s := newState("")
	var snapshots []*Snapshot
	var said []string
	rng := rand.New(rand.NewPCG(7, 7))
	stop := make(chan struct{})
	readers := make(chan struct{})
	go func() { // for the race detector: a reader beside the writer
		defer close(readers)
		first := FromObjects(objects, Options{})
		for {
			select {
			case <-stop:
				return
			default:
				_ = describe(first)
			}
		}
	}()
	for range 200 {
		o := objects[rng.IntN(len(objects))]
		if rng.IntN(3) == 0 {
			s.put(o.Key, nil)
		} else {
			s.put(o.Key, o)
		}
		if c, ok := s.commit(); ok {
			snapshots, said = append(snapshots, c.Snapshot), append(said, describe(c.Snapshot))
		}
	}
	close(stop)
	<-readers
	for i := range snapshots {
		if describe(snapshots[i]) != said[i] {
			t.Fatalf("snapshot %d changed after it was made", i)
		}
	}
}

// TestCommitsTellAllThatChanged compares what a commit names with what differs.
func TestCommitsTellAllThatChanged(t *testing.T) {
	objects := varied(t)
	s, present := newState(""), map[model.Key]*model.Object{}
	for _, o := range objects {
		present[o.Key] = o
		s.put(o.Key, o)
	}
	c, _ := s.commit()
	rng := rand.New(rand.NewPCG(3, 3))
	for range 200 {
		former := c.Snapshot
		o := objects[rng.IntN(len(objects))]
		if o.Kind == model.KindMeshConfig || o.Kind == model.KindNamespace {
			continue
		}
		if rng.IntN(2) == 0 {
			delete(present, o.Key)
			s.put(o.Key, nil)
		} else {
			present[o.Key] = o
			s.put(o.Key, o)
		}
		next, ok := s.commit()
		if !ok {
			if describe(FromObjects(slices.Collect(maps.Values(present)), Options{})) != describe(former) {
				t.Fatalf("%v: a change without a commit", o.Key)
			}
			continue
		}
		named := map[Row]bool{}
		for _, row := range next.Rows {
			named[row] = true
		}
		before, after := allRows(former), allRows(next.Snapshot)
		for row := range maps.Keys(before) {
			if after[row] == nil {
				after[row] = nil // to be visited below
			}
		}
		for row, now := range after {
			if !meansTheSame(before[row], now) && !named[row] {
				t.Errorf("%v: row %+v changed and is not named:\n%+v\n%+v", o.Key, row, before[row], now)
			}
		}
		if len(next.Rows) == 0 {
			t.Errorf("%v: a commit names nothing", o.Key)
		}
		c = next
	}
}

// allRows gives every row of every table.
func allRows(s *Snapshot) map[Row]any {
	out := map[Row]any{}
	for _, t := range s.objects {
		t.data.all(func(k Place, o *model.Object) { out[Row{t.table, k}] = []*model.Object{o} })
	}
	for _, x := range s.indexes {
		x.lists.data.all(func(k Place, list []*model.Object) { out[Row{x.lists.table, k}] = list })
		x.names.data.all(func(k Place, list []string) { out[Row{x.names.table, k}] = list })
		x.wildcards.data.all(func(k Place, list []string) { out[Row{x.wildcards.table, k}] = list })
	}
	for _, x := range []found[*model.Service]{s.services.inNamespace, s.services.list} {
		x.lists.data.all(func(k Place, list []*model.Service) { out[Row{x.lists.table, k}] = list })
	}
	s.services.merged.data.all(func(k Place, list []*model.Service) { out[Row{s.services.merged.table, k}] = list })
	s.services.visible.data.all(func(k Place, svc *model.Service) { out[Row{s.services.visible.table, k}] = []*model.Service{svc} })
	s.endpoints.data.all(func(k Place, list []model.Endpoint) { out[Row{s.endpoints.table, k}] = list })
	s.own.data.all(func(k Place, list []Row) { out[Row{s.own.table, k}] = list })
	return out
}

func meansTheSame(a, b any) bool {
	switch x := a.(type) {
	case []*model.Object:
		y, _ := b.([]*model.Object)
		return slices.EqualFunc(x, y, func(a, b *model.Object) bool { return a.Key == b.Key && sameValue(a, b) })
	case []*model.Service:
		y, _ := b.([]*model.Service)
		return slices.EqualFunc(x, y, sameService)
	case []model.Endpoint:
		y, _ := b.([]model.Endpoint)
		return slices.EqualFunc(x, y, sameEndpoint)
	case []string:
		y, _ := b.([]string)
		return slices.Equal(x, y)
	case []Row:
		y, _ := b.([]Row)
		has := func(row Row) bool { return slices.Contains(y, row) }
		return len(x) == len(y) && !slices.ContainsFunc(x, func(row Row) bool { return !has(row) })
	}
	return b == nil
}

func TestMapVersionsAreIndependent(t *testing.T) {
	var e edit[int, int]
	versions, want := []pmap[int, int]{}, []map[int]int{}
	model := map[int]int{}
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range 2000 {
		k := rng.IntN(300)
		if rng.IntN(3) == 0 {
			e.delete(k)
			delete(model, k)
		} else {
			e.set(k, i)
			model[k] = i
		}
		if i%50 == 0 {
			versions, want = append(versions, e.freeze()), append(want, maps.Clone(model))
		}
	}
	for i, v := range versions {
		got := map[int]int{}
		v.all(func(k, x int) { got[k] = x })
		if !maps.Equal(got, want[i]) {
			t.Fatalf("version %d: %d rows, want %d", i, len(got), len(want[i]))
		}
	}
}

// large gives a mesh of services with ten pods each, in namespaces of ten services.
func large(services int) []*model.Object {
	var out []*model.Object
	for i := range services {
		ns, name := fmt.Sprintf("ns%d", i/10), fmt.Sprintf("svc%d", i)
		out = append(out, &model.Object{
			Key: model.Key{Kind: model.KindService, Namespace: ns, Name: name},
			Spec: &corev1.Service{Spec: corev1.ServiceSpec{
				ClusterIP: fmt.Sprintf("10.96.%d.%d", i/250, i%250), Selector: map[string]string{"app": name},
				Ports: []corev1.ServicePort{{Name: "http", Port: 80}},
			}},
		})
		for p := range 10 {
			out = append(out, podObject(ns, name, p, i*10+p, true))
		}
	}
	return out
}

func podObject(ns, app string, n, address int, ready bool) *model.Object {
	status := corev1.ConditionFalse
	if ready {
		status = corev1.ConditionTrue
	}
	return &model.Object{
		Key:    model.Key{Kind: model.KindPod, Namespace: ns, Name: fmt.Sprintf("%s-%d", app, n)},
		Labels: map[string]string{"app": app},
		Spec: &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("%s-%d", app, n), Namespace: ns},
			Status: corev1.PodStatus{
				PodIP:      fmt.Sprintf("10.%d.%d.%d", address/62500, address/250%250, address%250),
				Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: status}},
			},
		},
	}
}

// endpointChange gives a function that commits one change of readiness.
func endpointChange(t testing.TB, services int) func() {
	s := newState("")
	for _, o := range large(services) {
		s.put(o.Key, o)
	}
	s.commit()
	versions := []*model.Object{podObject("ns0", "svc3", 4, 34, false), podObject("ns0", "svc3", 4, 34, true)}
	i := 0
	return func() {
		o := versions[i%2]
		i++
		s.put(o.Key, o)
		if c, ok := s.commit(); !ok || len(c.Endpoints) != 1 || len(c.Changed) != 0 {
			t.Fatalf("commit %v: %+v", ok, c)
		}
	}
}

// TestOneEndpointCostsWhatItTouches compares the allocations in a mesh and in one ten times as
// large.
func TestOneEndpointCostsWhatItTouches(t *testing.T) {
	small := testing.AllocsPerRun(50, endpointChange(t, 100))
	big := testing.AllocsPerRun(50, endpointChange(t, 1000))
	if big > small+50 {
		t.Errorf("%v allocations with 100 services, %v with 1,000", small, big)
	}
}

func BenchmarkOneEndpoint(b *testing.B) {
	change := endpointChange(b, 1000)
	b.ReportAllocs()
	for b.Loop() {
		change()
	}
}

func BenchmarkFirstSnapshot(b *testing.B) {
	objects := large(1000)
	b.ReportAllocs()
	for b.Loop() {
		FromObjects(objects, Options{})
	}
}
