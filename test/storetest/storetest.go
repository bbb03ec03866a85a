// Package storetest has a running store that tests feed with objects, and such objects made by hand.
package storetest

import (
	"strconv"
	"testing"
	"time"

	networking "istio.io/api/networking/v1alpha3"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/store"
)

// Feed is a running store whose commits go to engines one edit at a time.
type Feed struct {
	t     testing.TB
	store *store.Store
	edits int
}

const feedSource = "test"

// Far is a further cluster of the mesh. Who hands objects over says of each in which cluster it is.
const Far = "far"

// NewFeed starts a store, with tables of its own beside those of the product, and hands it objects. It
// ends with the test.
func NewFeed(t testing.TB, tables []store.Index, objects ...*model.Object) *Feed {
	f := &Feed{t: t, store: store.New(store.Options{
		Indexes: tables, Sources: []store.SourceOptions{{Name: feedSource}, {Name: Far, Cluster: Far}}, Quiet: time.Nanosecond, MaxQuiet: time.Nanosecond,
	})}
	go func() {
		if err := f.store.Run(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	f.post(objects...)
	f.store.Synced(feedSource)
	f.store.Synced(Far)
	return f
}

// post hands objects over; those without Spec are deletions.
func (f *Feed) post(objects ...*model.Object) {
	events := make([]model.Event, 0, len(objects))
	for _, o := range objects {
		e := model.Event{Key: o.Key, New: o}
		if o.Spec == nil {
			e.New = nil
		}
		events = append(events, e)
	}
	f.store.Apply(feedSource, events, nil)
}

// Edit hands objects over and gives the commits up to the one that has them all. A namespace that
// nothing reads is the mark by which that is known.
func (f *Feed) Edit(objects ...*model.Object) []store.Commit {
	f.edits++
	at := strconv.Itoa(f.edits)
	mark := Object(model.KindNamespace, "", "mark", &corev1.Namespace{})
	mark.Labels = map[string]string{"edit": at}
	f.post(append(objects, mark)...)
	var out []store.Commit
	for c := range f.store.Commits() {
		out = append(out, c)
		if ns := c.Snapshot.Reader(nil).Object(model.Key{Kind: model.KindNamespace, Name: "mark"}); ns != nil && ns.Labels["edit"] == at {
			break
		}
	}
	return out
}

// Object makes an object; a spec of nil makes a deletion.
func Object(kind model.Kind, namespace, name string, spec any) *model.Object {
	return &model.Object{Key: model.Key{Kind: kind, Namespace: namespace, Name: name}, Spec: spec}
}

// Service makes a Service that selects the pods labelled app=name.
func Service(namespace, name, ip string, ports ...corev1.ServicePort) *model.Object {
	return Object(model.KindService, namespace, name, &corev1.Service{Spec: corev1.ServiceSpec{
		ClusterIP: ip, Selector: map[string]string{"app": name}, Ports: ports,
	}})
}

// Pod makes a ready pod.
func Pod(namespace, name, ip string, labels map[string]string) *model.Object {
	o := Object(model.KindPod, namespace, name, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace, Labels: labels},
		Spec:       corev1.PodSpec{ServiceAccountName: "sa-" + labels["app"]},
		Status: corev1.PodStatus{
			PodIP: ip, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
		},
	})
	o.Labels = labels
	return o
}

// VirtualService makes one that splits a host's requests among two subsets; timeout is what changes from
// one version to the next.
func VirtualService(namespace, name, host string, timeout int, exportTo ...string) *model.Object {
	return Object(model.KindVirtualService, namespace, name, &networking.VirtualService{
		Hosts: []string{host}, ExportTo: exportTo,
		Http: []*networking.HTTPRoute{{
			Name: "r" + strconv.Itoa(timeout),
			Route: []*networking.HTTPRouteDestination{
				{Destination: &networking.Destination{Host: host, Subset: "v1"}, Weight: 60},
				{Destination: &networking.Destination{Host: host, Subset: "v2"}, Weight: 40},
			},
		}},
	})
}

// DestinationRule makes one with two subsets; connections is what changes from one version to the next.
func DestinationRule(namespace, name, host string, connections int32, exportTo ...string) *model.Object {
	return Object(model.KindDestinationRule, namespace, name, &networking.DestinationRule{
		Host: host, ExportTo: exportTo,
		TrafficPolicy: &networking.TrafficPolicy{ConnectionPool: &networking.ConnectionPoolSettings{
			Tcp: &networking.ConnectionPoolSettings_TCPSettings{MaxConnections: connections},
		}},
		Subsets: []*networking.Subset{
			{Name: "v1", Labels: map[string]string{"version": "v1"}}, {Name: "v2", Labels: map[string]string{"version": "v2"}},
		},
	})
}

// Sidecar describes a sidecar beside a pod.
func Sidecar(namespace, name, ip string) *model.Proxy {
	return &model.Proxy{
		ID: "sidecar~" + ip + "~" + name + "." + namespace, Type: model.SidecarProxy, Name: name, Namespace: namespace,
		DNSDomain: namespace + ".svc.cluster.local", IPs: []string{ip}, ClusterID: "Kubernetes", Interception: "REDIRECT",
	}
}
