package store

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

const derivingMesh = `
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: in, annotations: {kubernetes.io/ingress.class: istio}}
spec: {rules: [{host: a.example.com, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: shop, port: {number: 80}}}}]}}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: own}
spec: {hosts: [b.example.com], http: [{route: [{destination: {host: shop}}]}]}
`

// TestObjectsAreThoseThatSourcesDelivered: in order, and none that the store made itself.
func TestObjectsAreThoseThatSourcesDelivered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := running(t, Options{Sources: []SourceOptions{{Name: "a"}}})
		all := slices.Concat(load(t, "small.yaml"), decode(t, derivingMesh))
		s.Apply("a", events(all...), nil)
		s.Synced("a")
		if c := commitNow(s); c == nil || len(c.Snapshot.indexes[tableGateways].lists.data.row(Place{})) != 1 {
			t.Fatalf("the Ingress makes no Gateway: %+v", c)
		}
		got, err := s.Objects(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var want []model.Key
		for _, o := range all {
			if newState("").relevant(o.Kind) {
				want = append(want, o.Key)
			}
		}
		slices.SortFunc(want, model.Key.Compare)
		if !slices.EqualFunc(got, want, func(o *model.Object, k model.Key) bool { return o.Key == k }) {
			t.Errorf("there are\n%v, want\n%v", got, want)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := New(Options{}).Objects(ended); err == nil {
			t.Error("a store that does not run answers")
		}
	})
}
