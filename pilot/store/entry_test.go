package store

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	metav1alpha1 "istio.io/api/meta/v1alpha1"
	networking "istio.io/api/networking/v1alpha3"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

func machine(name string, spec *networking.WorkloadEntry, labels map[string]string) *model.Object {
	return &model.Object{Key: model.Key{Kind: model.KindWorkloadEntry, Namespace: "default", Name: name}, Labels: labels, Spec: spec}
}

func shown(eps []model.Endpoint) string {
	var out []string
	for _, e := range eps {
		out = append(out, fmt.Sprintf("%s=%s:%d %s", e.ServicePort, e.Address, e.Port, e.TLSMode))
	}
	return strings.Join(out, ", ")
}

// Services select WorkloadEntries and ServiceEntries select Pods, by labels of which those of an entry's
// metadata win over its spec's.
func TestSelectionBothWays(t *testing.T) {
	svc := &model.Object{
		Key: model.Key{Kind: model.KindService, Namespace: "default", Name: "a"},
		Spec: &corev1.Service{Spec: corev1.ServiceSpec{ClusterIP: "10.96.0.1", Selector: map[string]string{"app": "a"}, Ports: []corev1.ServicePort{
			{Name: "http", Port: 80, TargetPort: intstr.FromInt32(8080)}, {Name: "grpc", Port: 90, TargetPort: intstr.FromString("named")},
		}}},
	}
	entry := entryOf("e", "e.example.com")
	spec := entry.Spec.(*networking.ServiceEntry)
	spec.Resolution, spec.WorkloadSelector = networking.ServiceEntry_STATIC, &networking.WorkloadSelector{Labels: map[string]string{"app": "a"}}
	byName := entryOf("d", "d.example.com")
	byName.Spec.(*networking.ServiceEntry).WorkloadSelector = spec.WorkloadSelector
	pod := &model.Object{Key: model.Key{Kind: model.KindPod, Namespace: "default", Name: "p"}, Labels: map[string]string{"app": "a"}, Spec: &model.Pod{IP: "10.0.0.1", Ready: true}}
	app := map[string]string{"app": "a"}
	objects := []*model.Object{
		svc, entry, byName, pod,
		machine("spec", &networking.WorkloadEntry{Address: "10.0.1.1", Labels: app, ServiceAccount: "sa"}, nil),
		machine("metadata", &networking.WorkloadEntry{Address: "10.0.1.2", Labels: map[string]string{"app": "b"}, Ports: map[string]uint32{"http": 81, "named": 91, "tcp": 82}}, app),
		machine("other", &networking.WorkloadEntry{Address: "10.0.1.3", Labels: app}, map[string]string{"app": "b"}),
		machine("name", &networking.WorkloadEntry{Address: "vm.example.com", Labels: app}, nil),
		machine("socket", &networking.WorkloadEntry{Address: "unix:///run/x", Labels: app}, nil),
		machine("nowhere", &networking.WorkloadEntry{Network: "n", Labels: app}, nil),
	}
	for host, want := range map[string]string{
		"a.default.svc.cluster.local": "grpc=10.0.1.2:91 disabled, http=:8080 disabled, http=10.0.0.1:8080 disabled, http=10.0.1.1:8080 istio, http=10.0.1.2:81 disabled",
		"e.example.com":               "tcp=:80 disabled, tcp=/run/x:0 disabled, tcp=10.0.0.1:80 disabled, tcp=10.0.1.1:80 istio, tcp=10.0.1.2:82 disabled",
		"d.example.com":               "tcp=:80 disabled, tcp=10.0.0.1:80 disabled, tcp=10.0.1.1:80 istio, tcp=10.0.1.2:82 disabled, tcp=vm.example.com:80 disabled",
	} {
		s := FromObjects(objects, Options{})
		if got := shown(s.Endpoints(model.ServiceID{Namespace: "default", Hostname: host})); got != want {
			t.Errorf("%s\ngot  %s\nwant %s", host, got, want)
		}
	}
	if got := FromObjects(objects, Options{}).Reader(nil).Service("default", "e.example.com").ServiceAccounts; !slices.Equal(got, []string{"spiffe://cluster.local/ns/default/sa/sa"}) {
		t.Errorf("identities %v", got)
	}
}

// A WorkloadEntry whose agent probes it is in service once its status says that it is healthy.
func TestHealthOfMachines(t *testing.T) {
	entry := entryOf("e", "e.example.com")
	spec := entry.Spec.(*networking.ServiceEntry)
	spec.Resolution, spec.WorkloadSelector = networking.ServiceEntry_STATIC, &networking.WorkloadSelector{Labels: map[string]string{"app": "a"}}
	s := newState("")
	s.put(entry.Key, entry)
	for _, c := range []struct {
		probed, status string
		want           model.Health
	}{
		{"", "", model.Healthy}, {"", "False", model.Healthy}, {"true", "", model.Unhealthy}, {"true", "False", model.Unhealthy}, {"true", "True", model.Healthy},
	} {
		o := machine("m", &networking.WorkloadEntry{Address: "10.0.1.1"}, map[string]string{"app": "a"})
		if c.probed != "" {
			o.Annotations = map[string]string{model.AnnotationHealthChecks: c.probed}
		}
		if c.status != "" {
			o.Status = &metav1alpha1.IstioStatus{Conditions: []*metav1alpha1.IstioCondition{{Type: model.ConditionHealthy, Status: c.status}}}
		}
		s.put(o.Key, o)
		s.commit()
		eps := s.last.Endpoints(model.ServiceID{Namespace: "default", Hostname: "e.example.com"})
		if len(eps) != 1 || eps[0].Health != c.want {
			t.Errorf("probed %q, healthy %q: %+v", c.probed, c.status, eps)
		}
	}
}

// ServiceEntries of one namespace and host are one service where they agree, and else the first counts;
// a Service counts before them and has their names.
func TestEntriesOfOneHost(t *testing.T) {
	entry := func(name string, port uint32, change func(e *networking.ServiceEntry)) *model.Object {
		o := entryOf(name, "x.default.svc.cluster.local")
		e := o.Spec.(*networking.ServiceEntry)
		e.Ports[0].Number, e.Ports[0].Name = port, fmt.Sprintf("p%d", port)
		e.SubjectAltNames = []string{name}
		if change != nil {
			change(e)
		}
		return o
	}
	elsewhere := entry("elsewhere", 99, nil)
	elsewhere.Namespace = "other"
	svc := &model.Object{
		Key:  model.Key{Kind: model.KindService, Namespace: "default", Name: "x"},
		Spec: &corev1.Service{Spec: corev1.ServiceSpec{ClusterIP: "10.96.0.1", Ports: []corev1.ServicePort{{Name: "http", Port: 1}}}},
	}
	none := func(e *networking.ServiceEntry) { e.Resolution = networking.ServiceEntry_NONE }
	for name, c := range map[string]struct {
		objects             []*model.Object
		ports, names, hides string
	}{
		"that agree":               {[]*model.Object{entry("b", 2, nil), entry("a", 1, nil)}, "1 2", "a b", ""},
		"of one port":              {[]*model.Object{entry("a", 1, nil), entry("b", 1, nil)}, "1", "a b", ""},
		"of another resolution":    {[]*model.Object{entry("a", 1, nil), entry("b", 2, none)}, "1", "a", "b"},
		"of one port, other names": {[]*model.Object{entry("a", 1, nil), entry("b", 1, func(e *networking.ServiceEntry) { e.Ports[0].Name = "q" })}, "1", "a b", "b"},
		"beside a Service":         {[]*model.Object{entry("a", 2, nil), svc}, "1", "a", "a"},
		"in two namespaces":        {[]*model.Object{entry("a", 2, nil), elsewhere}, "2", "a", "elsewhere"},
	} {
		t.Run(name, func(t *testing.T) {
			seen := FromObjects(c.objects, Options{}).Reader(nil).Service("default", "x.default.svc.cluster.local")
			var ports, hides []string
			for _, p := range seen.Ports {
				ports = append(ports, fmt.Sprint(p.Port))
			}
			for _, h := range seen.Hidden {
				hides = append(hides, h.Name)
			}
			if got := strings.Join(ports, " "); got != c.ports {
				t.Errorf("ports %s, want %s", got, c.ports)
			}
			if got := strings.Join(seen.SubjectAltNames, " "); got != c.names {
				t.Errorf("names %s, want %s", got, c.names)
			}
			if got := strings.Join(hides, " "); got != c.hides {
				t.Errorf("hides %q, want %q", got, c.hides)
			}
		})
	}
}

// TestEndpointsHaveOneSpellingOfAnAddress: proxies know themselves by it, and endpoints their pods.
func TestEndpointsHaveOneSpellingOfAnAddress(t *testing.T) {
	got := FromObjects(decode(t, `
apiVersion: v1
kind: Service
metadata: {name: a, namespace: default}
spec: {selector: {app: a}, ports: [{name: http, port: 80}]}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: one, namespace: default, labels: {app: a}}
spec: {address: "2001:DB8:0::1"}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: two, namespace: default, labels: {app: a}}
spec: {address: "::ffff:10.0.0.2"}
---
apiVersion: v1
kind: Service
metadata: {name: b, namespace: default}
spec: {ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Pod
metadata: {name: p, namespace: default}
spec: {serviceAccountName: sa, containers: [{name: c}]}
status: {podIP: "2001:DB8:0::3", conditions: [{type: Ready, status: 'True'}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: b, namespace: default, labels: {kubernetes.io/service-name: b}}
addressType: IPv6
ports: [{name: http, port: 80}]
endpoints: [{addresses: ["2001:db8::0:3"]}]`[1:]), Options{})
	for name, want := range map[string]string{"a": "10.0.0.2 2001:db8::1", "b": "2001:db8::3"} {
		var at []string
		for _, e := range got.Endpoints(model.ServiceID{Namespace: "default", Hostname: name + ".default.svc.cluster.local"}) {
			at = append(at, e.Address)
			if name == "b" && e.Pod != "p" {
				t.Errorf("the pod behind %s is %q", e.Address, e.Pod)
			}
		}
		if strings.Join(at, " ") != want {
			t.Errorf("%s is at %v, not %s", name, at, want)
		}
	}
}
