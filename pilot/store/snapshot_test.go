package store

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/file"
)

// load decodes one file of testdata; a problem in it fails the test.
func load(t testing.TB, name string) []*model.Object {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return decode(t, string(data))
}

func decode(t testing.TB, yaml string) []*model.Object {
	t.Helper()
	objects, problems := file.Decode([]byte(yaml), "test.yaml")
	for _, p := range problems {
		t.Fatalf("decode: %v", p)
	}
	return objects
}

func TestReaderOfASmallMesh(t *testing.T) {
	s := FromObjects(load(t, "small.yaml"), Options{})
	r := s.Reader(nil)
	services := s.Services("default")
	if len(services) != 2 || services[0].Hostname != "hello.default.svc.cluster.local" {
		t.Fatalf("services: %+v", services)
	}
	eps := s.Endpoints(services[0].ID())
	if len(eps) != 2 {
		t.Fatalf("endpoints: %+v", eps)
	}
	want := model.Endpoint{
		Address: "10.0.0.1", Port: 8080, ServicePort: "http",
		ServiceAccount: "hello", Namespace: "default", Workload: "hello", Pod: "hello-abc-1",
		TLSMode: model.TLSModeIstio, LongPeer: true, Locality: model.Locality{Region: "r1", Zone: "z1"},
		Labels: eps[0].Labels,
	}
	if !sameEndpoint(eps[0], want) {
		t.Errorf("endpoint 0: got %+v want %+v", eps[0], want)
	}
	if eps[1].Health != model.Unhealthy {
		t.Errorf("endpoint 1: %+v", eps[1])
	}
	if got := services[0].ServiceAccounts; len(got) != 1 || got[0] != "spiffe://cluster.local/ns/default/sa/hello" {
		t.Errorf("accounts %v", got)
	}
	if vs := r.VirtualServicesIn("default", "default"); len(vs) != 1 {
		t.Errorf("virtual services %v", vs)
	}
	if dr := r.DestinationRules("default", "default", services[0].Hostname); len(dr) != 1 {
		t.Errorf("destination rules %v", dr)
	}
}

// TestObjectsAreFoundByTheirNames puts an object of each kind that is listed in some table, and of those that
// services and endpoints are derived from.
func TestObjectsAreFoundByTheirNames(t *testing.T) {
	kinds := []model.Kind{model.KindServiceEntry, model.KindWorkloadEntry, model.KindPod, model.KindSecret, model.KindNamespace}
	for _, x := range indexes() {
		kinds = append(kinds, x.Kind)
	}
	s := newState("")
	r := s.snapshot().Reader(nil)
	for _, kind := range kinds {
		if r.s.objects[kind].table != string(kind) {
			t.Errorf("an object of kind %s is not found by its name", kind)
		}
	}
	filter := decode(t, "apiVersion: networking.istio.io/v1alpha3\nkind: EnvoyFilter\nmetadata: {name: f, namespace: a}\nspec: {}")
	entry := decode(t, "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: e, namespace: a}\nspec: {hosts: [e.example.com], ports: [{number: 80, name: http}], resolution: DNS}")
	objects := append(filter, entry...)
	r = FromObjects(objects, Options{}).Reader(nil)
	for _, o := range objects {
		if r.Object(o.Key) == nil {
			t.Errorf("%s is not there", o.Key)
		}
	}
}
