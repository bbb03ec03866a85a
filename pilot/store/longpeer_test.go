package store

import (
	"strconv"
	"testing"
	"testing/synctest"

	networking "istio.io/api/networking/v1alpha3"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// TestOnlyTheFirstForeignProxyChanges has proxies come and go that nothing shows to be ours. What depends on whether
// there are any, which is the listeners of all clients, is made anew only where the answer changes.
func TestOnlyTheFirstForeignProxyChanges(t *testing.T) {
	short, istio := map[string]string{model.AnnotationPeers: model.PeersShort}, map[string]string{"app": "a", model.LabelTLSMode: model.TLSModeIstio}
	of := func(kind model.Kind, name string, spec any) *model.Object {
		return &model.Object{Key: model.Key{Kind: kind, Namespace: "a", Name: name}, Spec: spec}
	}
	pod := func(name string, labels, annotations map[string]string, container string) *model.Object {
		return &model.Object{Key: model.Key{Kind: model.KindPod, Namespace: "a", Name: name}, Labels: labels, Annotations: annotations, Spec: &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "a", Labels: labels, Annotations: annotations},
			Spec:       corev1.PodSpec{InitContainers: []corev1.Container{{Name: container}}}, Status: corev1.PodStatus{PodIP: "10.0.0." + strconv.Itoa(len(name))},
		}}
	}
	machine := func(annotations map[string]string) *model.Object {
		o := of(model.KindWorkloadEntry, "machine", &networking.WorkloadEntry{Address: "10.0.0.9", Labels: istio})
		o.Annotations = annotations
		return o
	}
	listed := func(account string) *model.Object {
		return of(model.KindServiceEntry, "listed", &networking.ServiceEntry{
			Hosts: []string{"listed.test"}, Ports: []*networking.ServicePort{{Number: 80, Name: "http", Protocol: "HTTP"}}, Resolution: networking.ServiceEntry_STATIC,
			Endpoints: []*networking.WorkloadEntry{{Address: "10.0.0.10", ServiceAccount: account}},
		})
	}
	remote := pod("remote", istio, nil, "")
	remote.Cluster = "far"
	service := func(cluster string) *model.Object {
		o := of(model.KindService, "a", &corev1.Service{Spec: corev1.ServiceSpec{
			Selector: map[string]string{"app": "a"}, Ports: []corev1.ServicePort{{Port: 80}},
		}})
		o.Cluster = cluster
		return o
	}
	entry := of(model.KindServiceEntry, "entry", &networking.ServiceEntry{
		Hosts: []string{"entry.test"}, Ports: []*networking.ServicePort{{Number: 80, Name: "http", Protocol: "HTTP"}}, Resolution: networking.ServiceEntry_STATIC,
		WorkloadSelector: &networking.WorkloadSelector{Labels: map[string]string{"app": "a"}},
	})
	gone := func(o *model.Object) *model.Object { return &model.Object{Key: o.Key} }
	synctest.Test(t, func(t *testing.T) {
		a := newAsker(t, Reader.HasLongPeers)
		for _, c := range []struct {
			what            string
			change          *model.Object
			long, concerned bool
		}{
			{"Services", service(""), false, false},
			{"of another cluster", service("far"), false, false},
			{"a ServiceEntry", entry, false, false},
			{"no proxy", pod("bare", map[string]string{"app": "a"}, nil, "app"), false, false},
			{"one of ours", pod("own", istio, short, model.ProxyContainer), false, false},
			{"the first", pod("first", istio, nil, "app"), true, true},
			{"another, by its container", pod("second", map[string]string{"app": "a"}, nil, model.ProxyContainer), true, false},
			{"the first is injected anew", pod("first", istio, short, "app"), true, false},
			{"the last goes", gone(pod("second", nil, nil, "")), false, true},
			{"of another cluster", remote, true, true},
			{"it goes", gone(remote), false, true},
			{"a machine", machine(nil), true, true},
			{"it registers", machine(short), false, true},
			{"a listed workload without an identity", listed(""), false, false},
			{"with one", listed("x"), true, true},
			{"it goes", gone(listed("x")), false, true},
		} {
			long, concerned, full := a.edit(t, c.what, c.change, c.change.Spec == nil)
			if long != c.long || concerned != c.concerned && !full {
				t.Errorf("%s: long is %v, want %v; it changes what depends on it: %v, want %v", c.what, long, c.long, concerned, c.concerned)
			}
		}
	})
}
