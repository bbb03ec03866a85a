package kube

import (
	"maps"
	"slices"
	"testing"

	"k8s.io/client-go/rest"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/test/kubetest"
)

// mirror is a sink that compares, at each call, what the source shows with what it was told.
type mirror struct {
	*testing.T
	source *Source
	told   map[model.Key]*model.Object
	calls  chan []string // the names that were known at each call
}

func (m *mirror) Synced(string) {}

func (m *mirror) Apply(_ string, events []model.Event, _ []model.Problem) {
	for _, e := range events {
		m.told[e.Key] = e.New
		if e.New == nil {
			delete(m.told, e.Key)
		}
	}
	shown := map[model.Key]*model.Object{}
	m.source.Each(func(o *model.Object) { shown[o.Key] = o })
	if !maps.Equal(shown, m.told) {
		m.Errorf("the source shows %v, and has told %v", shown, m.told)
	}
	var names []string
	for key := range shown {
		names = append(names, key.Name)
	}
	slices.Sort(names)
	m.calls <- names
}

// TestTheSourceShowsWhatItHas: the sink keeps no objects, and sees them again where it asks.
func TestTheSourceShowsWhatItHas(t *testing.T) {
	api, url := kubetest.New(t)
	api.Put("v1/services", service("cart"))
	source, err := New(&rest.Config{Host: url}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	m := &mirror{T: t, source: source, told: map[model.Key]*model.Object{}, calls: make(chan []string, 100)}
	done := make(chan error)
	go func() { done <- source.Run(t.Context(), m) }()
	t.Cleanup(func() { <-done })
	until := func(want ...string) {
		t.Helper()
		for names := range m.calls {
			if slices.Equal(names, want) {
				return
			}
		}
	}
	until("cart")
	api.Put("v1/services", service("pay"))
	until("cart", "pay")
	source.Again()
	until("cart", "pay")
	api.Remove("v1/services", service("cart"))
	until("pay")
}
