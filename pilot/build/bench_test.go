package build

import (
	"fmt"
	"runtime"
	"strconv"
	"testing"
	"time"

	security "istio.io/api/security/v1beta1"
	corev1 "k8s.io/api/core/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/test/storetest"
)

// The mesh that the project's goals speak of.
const (
	benchServices, benchEndpoints, benchNamespaces, benchRules = 1000, 10, 100, 200
	benchClasses                                               = 250
)

func benchNS(i int) string   { return "ns-" + strconv.Itoa(i%benchNamespaces) }
func benchName(i int) string { return "svc-" + strconv.Itoa(i) }
func benchHost(i int) string { return benchName(i) + "." + benchNS(i) + ".svc.cluster.local" }

func benchPod(service, n int) *model.Object {
	return storetest.Pod(benchNS(service), fmt.Sprintf("%s-%d", benchName(service), n), fmt.Sprintf("10.%d.%d.%d", service/250, service%250, n+1), map[string]string{
		"app": benchName(service), "version": "v" + strconv.Itoa(1+n%2), "security.istio.io/tlsMode": "istio",
		"pod-template-hash": fmt.Sprint(service, n), "topology.kubernetes.io/zone": "zone-" + strconv.Itoa(n%3),
	})
}

func benchService(i int) *model.Object {
	return storetest.Service(benchNS(i), benchName(i), fmt.Sprintf("172.16.%d.%d", i/250, i%250+1), corev1.ServicePort{Name: "http", Port: 8080})
}

func benchObjects() []*model.Object {
	var out []*model.Object
	for i := range benchServices {
		out = append(out, benchService(i))
		for n := range benchEndpoints {
			out = append(out, benchPod(i, n))
		}
	}
	for i := range benchRules {
		at := i * 4
		out = append(out, storetest.DestinationRule(benchNS(at), benchName(at), benchHost(at), 100), storetest.VirtualService(benchNS(at), benchName(at), benchHost(at), 0))
	}
	return out
}

// bench is an engine with a proxy of each class connected.
func newBench(b *testing.B) (*storetest.Feed, *driver) {
	f := storetest.NewFeed(b, nil, benchObjects()...)
	d := newDriver(b)
	d.apply(f.Edit()...)
	return f, d
}

func (d *driver) connectAll() {
	for i := range benchClasses {
		name := fmt.Sprintf("%s-%d", benchName(i), 0)
		d.join(storetest.Sidecar(benchNS(i), name, fmt.Sprintf("10.%d.%d.1", i/250, i%250)))
	}
}

func BenchmarkFirstBuild(b *testing.B) {
	f, _ := newBench(b)
	commits := f.Edit()
	for b.Loop() {
		d := newDriver(b)
		d.apply(commits...)
		d.connectAll()
	}
}

// BenchmarkSeat tells what a proxy costs whose class is connected already.
func BenchmarkSeat(b *testing.B) {
	_, d := newBench(b)
	d.connectAll()
	p := storetest.Sidecar(benchNS(0), benchName(0)+"-0", "10.0.0.1")
	b.ReportAllocs()
	for b.Loop() {
		s := d.builder.Seat(p)
		d.builder.Result(&s.Class)
		d.builder.Leave(s)
	}
}

// BenchmarkFromScratch tells what it costs to build one class from scratch, as the check does.
func BenchmarkFromScratch(b *testing.B) {
	_, d := newBench(b)
	d.connectAll()
	b.ReportAllocs()
	for b.Loop() {
		d.builder.FromScratch(&d.seats[0].Class)()
	}
}

// BenchmarkHeap tells what all classes keep in memory.
func BenchmarkHeap(b *testing.B) {
	_, d := newBench(b)
	heap := func() float64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC() // the first clears pools only
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc) / 1e6
	}
	before := heap()
	d.connectAll()
	b.ReportMetric(heap()-before, "MB")
	b.ReportMetric(float64(len(d.builder.layers)), "layers")
}

func BenchmarkChange(b *testing.B) {
	f, d := newBench(b)
	d.connectAll()
	for _, change := range []struct {
		name string
		next func(i int) *model.Object
	}{
		{"VirtualServiceOfOneNamespace", func(i int) *model.Object {
			return storetest.VirtualService(benchNS(8), "own", benchHost(8), i, ".")
		}},
		{"VirtualServiceOfAll", func(i int) *model.Object { return storetest.VirtualService(benchNS(4), benchName(4), benchHost(4), i) }},
		{"DestinationRuleOfAll", func(i int) *model.Object {
			return storetest.DestinationRule(benchNS(4), benchName(4), benchHost(4), int32(i+1))
		}},
		{"PolicyOfAll", func(i int) *model.Object {
			return storetest.Object(model.KindAuthorizationPolicy, "istio-system", "all", &security.AuthorizationPolicy{
				Action: security.AuthorizationPolicy_DENY,
				Rules:  []*security.Rule{{To: []*security.Rule_To{{Operation: &security.Operation{Paths: []string{"/" + strconv.Itoa(i)}}}}}},
			})
		}},
		{"ServiceAdded", func(i int) *model.Object {
			return storetest.Service(benchNS(i), "new-"+strconv.Itoa(i), fmt.Sprintf("172.17.%d.%d", i/250%250, i%250+1), corev1.ServicePort{Name: "http", Port: 8080})
		}},
		{"Endpoint", func(i int) *model.Object {
			o := benchPod(7, 0)
			o.Spec.(*corev1.Pod).Status.PodIP = fmt.Sprintf("10.99.%d.%d", i/250%250, i%250+1)
			return o
		}},
		{"PodLabel", func(i int) *model.Object {
			o := benchPod(7, 0)
			o.Labels["note"] = strconv.Itoa(i)
			return o
		}},
		{"Irrelevant", func(i int) *model.Object {
			o := storetest.Object(model.KindNamespace, "", "ns-1", &corev1.Namespace{})
			o.Annotations = map[string]string{"note.istio.io/x": strconv.Itoa(i)}
			return o
		}},
	} {
		b.Run(change.name, func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			var took time.Duration
			before := d.computed
			for b.Loop() {
				i++
				commits := f.Edit(change.next(i + 10*int(time.Now().UnixNano()%100)))
				started := time.Now()
				d.apply(commits...)
				took += time.Since(started)
			}
			b.ReportMetric(float64(took.Nanoseconds())/float64(i), "apply-ns/op")
			b.ReportMetric(float64(d.computed-before)/float64(i), "units/op")
		})
	}
}

// BenchmarkHeadlessPod replaces a pod of a headless service that speaks TCP, which has a listener of its own. Each
// namespace has a route of its own, so that each has a plan of its own, which is made again.
func BenchmarkHeadlessPod(b *testing.B) {
	f, d := newBench(b)
	headless := storetest.Service("ns-0", "headless", corev1.ClusterIPNone, corev1.ServicePort{Name: "tcp", Port: 9000})
	pod := func(i int) *model.Object {
		return storetest.Pod("ns-0", "headless-0", fmt.Sprintf("10.99.%d.%d", i/250%250, i%250+1), map[string]string{"app": "headless"})
	}
	objects := []*model.Object{headless, pod(0)}
	for i := range benchNamespaces {
		objects = append(objects, storetest.VirtualService(benchNS(i), "own", benchHost(i), 0, "."))
	}
	d.apply(f.Edit(objects...)...)
	d.connectAll()
	b.ReportAllocs()
	var took time.Duration
	i := 0
	for b.Loop() {
		i++
		commits := f.Edit(pod(i))
		started := time.Now()
		d.apply(commits...)
		took += time.Since(started)
	}
	b.ReportMetric(float64(took.Nanoseconds())/float64(i), "apply-ns/op")
}
