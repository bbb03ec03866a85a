package push

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	networking "istio.io/api/networking/v1alpha3"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/store"
)

// feed is a running store whose commits go to engines one edit at a time.
type feed struct {
	t     testing.TB
	store *store.Store
	edits int
}

const feedSource = "test"

func newFeed(t testing.TB, objects ...*model.Object) *feed {
	f := &feed{t: t, store: store.New(store.Options{
		Sources: []store.SourceOptions{{Name: feedSource}}, Quiet: time.Nanosecond, MaxQuiet: time.Nanosecond,
	})}
	go func() {
		if err := f.store.Run(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	f.post(objects...)
	f.store.Synced(feedSource)
	return f
}

// post hands objects over; those without Spec are deletions.
func (f *feed) post(objects ...*model.Object) {
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

// edit hands objects over and gives the commits up to the one that has them all. A namespace that
// nothing reads is the mark by which that is known.
func (f *feed) edit(objects ...*model.Object) []store.Commit {
	f.edits++
	at := strconv.Itoa(f.edits)
	mark := object(model.KindNamespace, "", "mark", &corev1.Namespace{})
	mark.Labels = map[string]string{"edit": at}
	f.post(append(objects, mark)...)
	var out []store.Commit
	for c := range f.store.Commits() {
		out = append(out, c)
		if ns := c.Snapshot.Namespace("mark"); ns != nil && ns.Labels["edit"] == at {
			break
		}
	}
	return out
}

func object(kind model.Kind, namespace, name string, spec any) *model.Object {
	return &model.Object{Key: model.Key{Kind: kind, Namespace: namespace, Name: name}, Spec: spec}
}

func service(namespace, name, ip string, ports ...corev1.ServicePort) *model.Object {
	return object(model.KindService, namespace, name, &corev1.Service{Spec: corev1.ServiceSpec{
		ClusterIP: ip, Selector: map[string]string{"app": name}, Ports: ports,
	}})
}

func pod(namespace, name, ip string, labels map[string]string) *model.Object {
	o := object(model.KindPod, namespace, name, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace, Labels: labels},
		Spec:       corev1.PodSpec{ServiceAccountName: "sa-" + labels["app"]},
		Status: corev1.PodStatus{
			PodIP: ip, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
		},
	})
	o.Labels = labels
	return o
}

func virtualService(namespace, name, host string, timeout int, exportTo ...string) *model.Object {
	return object(model.KindVirtualService, namespace, name, &networking.VirtualService{
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

func destinationRule(namespace, name, host string, connections int32, exportTo ...string) *model.Object {
	return object(model.KindDestinationRule, namespace, name, &networking.DestinationRule{
		Host: host, ExportTo: exportTo,
		TrafficPolicy: &networking.TrafficPolicy{ConnectionPool: &networking.ConnectionPoolSettings{
			Tcp: &networking.ConnectionPoolSettings_TCPSettings{MaxConnections: connections},
		}},
		Subsets: []*networking.Subset{
			{Name: "v1", Labels: map[string]string{"version": "v1"}}, {Name: "v2", Labels: map[string]string{"version": "v2"}},
		},
	})
}

// proxy describes a sidecar beside a pod.
func proxy(t testing.TB, namespace, name, ip string, metadata map[string]any) *Node {
	t.Helper()
	md, err := structpb.NewStruct(metadata)
	if err != nil {
		t.Fatal(err)
	}
	n, err := ParseNode(&corev3.Node{
		Id:       fmt.Sprintf("sidecar~%s~%s.%s~%s.svc.cluster.local", ip, name, namespace, namespace),
		Metadata: md,
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
