package build_test

import (
	"context"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/build"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/pilot/store"
	bootstrappb "github.com/pilothouse-mesh/pilothouse/proto/bootstrap"
)

// What an EnvoyFilter puts over the bootstrap is a resource of the proxies that it is for, whether or not their agents
// ask, which is told; and a refusal of it is the filter's.
func TestBootstrapPatches(t *testing.T) {
	value, err := structpb.NewStruct(map[string]any{"stats_flush_interval": "1s"})
	if err != nil {
		t.Fatal(err)
	}
	filter := &model.Object{
		Key: model.Key{Kind: model.KindEnvoyFilter, Namespace: "default", Name: "f"}, Origin: model.Origin{File: "f.yaml", Line: 2},
		Spec: &networking.EnvoyFilter{
			WorkloadSelector: &networking.WorkloadSelector{Labels: map[string]string{"app": "a"}},
			ConfigPatches: []*networking.EnvoyFilter_EnvoyConfigObjectPatch{{
				ApplyTo: networking.EnvoyFilter_BOOTSTRAP,
				Patch:   &networking.EnvoyFilter_Patch{Operation: networking.EnvoyFilter_Patch_MERGE, Value: value},
			}},
		},
	}
	b := build.New(build.Options{})
	snapshot := store.FromObjects([]*model.Object{filter}, store.Options{Domain: "cluster.local"})
	if _, err := b.Advance(context.Background(), store.Commit{Snapshot: snapshot, Full: true}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		app   string
		asks  bool
		text  string
		tells int
	}{
		{"a", true, `{"stats_flush_interval":"1s"}`, 0},
		{"a", false, `{"stats_flush_interval":"1s"}`, 1},
		{"b", false, "", 0},
	} {
		seat := b.Seat(&model.Proxy{
			Type: model.SidecarProxy, Name: c.app, Namespace: "default", IPs: []string{"10.0.0.1"}, DNSDomain: "default.svc.cluster.local",
			Labels: map[string]string{"app": c.app}, AsksForBootstrap: c.asks,
		})
		made := b.Result(&seat.Class)
		r := made.Sets[resource.BootstrapPatches].Get(resource.BootstrapPatchesName)
		text := ""
		if r != nil {
			m, err := r.Message()
			if err != nil {
				t.Fatal(err)
			}
			one := m.(*bootstrappb.Patches).GetPatches()[0]
			text = one.GetJson()
			want := []model.MadeOf{{Object: filter.Key, Field: "spec.configPatches[0]", Origin: filter.Origin}}
			for _, part := range []proto.Message{nil, one} {
				if got := b.Patching(&seat.Class, r, part); !slices.Equal(got, want) {
					t.Errorf("it is by %v, want %v", got, want)
				}
			}
		}
		if text != c.text || len(made.Own)+len(made.Shared) != c.tells {
			t.Errorf("%+v: %s, and told is %v %v", c, text, made.Own, made.Shared)
		}
		b.Leave(seat)
	}
}
