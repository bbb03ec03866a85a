package store

import (
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

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
		s := running(t, Options{Domain: "cluster.local"})
		held := map[model.Key]*model.Object{}
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
			event := model.Event{Key: c.change.Key, Old: held[c.change.Key], New: c.change}
			if c.change.Spec == nil {
				event.New = nil
			}
			held[c.change.Key] = event.New
			s.Apply("file", []model.Event{event}, nil)
			s.Synced("file")
			time.Sleep(time.Minute)
			commit := commitNow(s)
			if commit == nil {
				t.Fatalf("%s: nothing is committed", c.what)
			}
			var rows []Row
			long := commit.Snapshot.Reader(func(row Row) { rows = append(rows, row) }).HasLongPeers()
			concerned := slices.ContainsFunc(commit.Rows, func(row Row) bool { return slices.Contains(rows, row) })
			if long != c.long || concerned != c.concerned && !commit.Full {
				t.Errorf("%s: long is %v, want %v; it changes what depends on it: %v, want %v", c.what, long, c.long, concerned, c.concerned)
			}
		}
	})
}
