package store

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// Which service a namespace sees under a hostname: its own, else Kubernetes' before others, else the
// oldest.
func TestOneHostnameOfSeveralServices(t *testing.T) {
	const other model.Kind = "ServiceEntry"
	service := func(kind model.Kind, ns, name string, age time.Duration, exportTo ...string) *model.Service {
		return &model.Service{
			Key: model.Key{Kind: kind, Namespace: ns, Name: name}, Namespace: ns, Name: name, Hostname: "x.example.com",
			Created: time.Unix(1e9, 0).Add(-age), ExportTo: exportTo,
		}
	}
	for name, c := range map[string]struct {
		all  []*model.Service
		want map[string]string // what a client sees, "" for any other
	}{
		"the oldest":                 {[]*model.Service{service(other, "a", "young", 0), service(other, "b", "old", time.Hour)}, map[string]string{"": "old", "c": "old", "a": "young"}},
		"Kubernetes before others":   {[]*model.Service{service(other, "a", "entry", time.Hour), service(model.KindService, "b", "k8s", 0)}, map[string]string{"": "k8s", "a": "entry"}},
		"by namespace at last":       {[]*model.Service{service(other, "b", "second", 0), service(other, "a", "first", 0)}, map[string]string{"": "first", "b": "second"}},
		"private ones":               {[]*model.Service{service(other, "a", "private", time.Hour, "."), service(other, "b", "public", 0)}, map[string]string{"": "public", "a": "private"}},
		"exported by name":           {[]*model.Service{service(other, "a", "forc", 0, "c"), service(other, "b", "public", time.Hour)}, map[string]string{"": "public", "c": "forc", "a": "public"}},
		"exported by name and older": {[]*model.Service{service(other, "a", "forc", time.Hour, "c"), service(other, "b", "public", 0)}, map[string]string{"": "public", "c": "forc"}},
		"Kubernetes before a name":   {[]*model.Service{service(other, "a", "forc", time.Hour, "c"), service(model.KindService, "b", "k8s", 0)}, map[string]string{"": "k8s", "c": "k8s"}},
		"nobody's":                   {[]*model.Service{service(other, "a", "hidden", 0, "~")}, map[string]string{"": "", "a": ""}},
	} {
		t.Run(name, func(t *testing.T) {
			tables := newServices(newJournal(), newOwned(newJournal()))
			for _, svc := range c.all {
				tables.put(svc.Key, []*model.Service{svc})
			}
			tables.flush()
			r := (&Snapshot{services: tables.freeze()}).Reader(nil)
			for client, want := range c.want {
				got := ""
				if svc := r.Service(client, "x.example.com"); svc != nil {
					got = svc.Name
				}
				list := r.Services(client)
				if got != want || len(list) > 1 || want != "" && (len(list) != 1 || list[0].Name != want) {
					t.Errorf("client %q sees %q, and lists %v; want %q", client, got, list, want)
				}
			}
		})
	}
}

// The same Service in two clusters is one, with the endpoints and identities of both; rules of a remote
// cluster do not count.
func TestClustersAddUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const yaml = `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: a}
spec: {clusterIP: %IP, selector: {app: web}, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web-0, namespace: a, labels: {app: web}}
spec: {serviceAccountName: %SA}
status: {podIP: 10.0.0.1, conditions: [{type: Ready, status: "True"}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: %SA, namespace: a}
spec: {hosts: [web], http: [{route: [{destination: {host: web}}]}]}
`
		s := running(t, Options{Sources: []SourceOptions{{Name: "own"}, {Name: "far", Cluster: "far"}}})
		for source, sub := range map[string][]string{"own": {"10.96.0.1", "sa-own"}, "far": {"10.97.0.1", "sa-far"}} {
			var events []model.Event
			for _, o := range decode(t, strings.NewReplacer("%IP", sub[0], "%SA", sub[1]).Replace(yaml)) {
				events = append(events, model.Event{Key: o.Key, New: o})
			}
			s.Apply(source, events, nil)
			s.Synced(source)
		}
		r := (<-s.Commits()).Snapshot.Reader(nil)
		services := r.Services("a")
		if len(services) != 1 || services[0].Addresses[0] != "10.96.0.1" || len(services[0].ServiceAccounts) != 2 {
			t.Fatalf("services %+v", services)
		}
		eps := r.Endpoints(services[0].ID())
		if len(eps) != 2 || eps[0].Cluster != "" || eps[1].Cluster != "far" || eps[1].ServiceAccount != "sa-far" {
			t.Errorf("endpoints %+v", eps)
		}
		if !r.Remote("far") || r.Remote("") || r.Remote("Kubernetes") || r.Remote("former") {
			t.Error("a cluster is remote without a source of it, or one with a source is not")
		}
		if pod := r.Pod("far", "a", "web-0"); pod == nil || pod.Spec.(*model.Pod).ServiceAccount != "sa-far" {
			t.Errorf("pod %+v", pod)
		}
		if rules := r.VirtualServicesIn("a", "a"); len(rules) != 1 || rules[0].Name != "sa-own" {
			t.Errorf("rules %v", rules)
		}
	})
}
