package resource

import (
	"strings"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/proto"
)

func TestOneFrameServesBothProtocols(t *testing.T) {
	m := &clusterv3.Cluster{Name: "a", ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS}}
	r, err := New(Clusters, "a", m)
	if err != nil {
		t.Fatal(err)
	}
	var delta discoveryv3.DeltaDiscoveryResponse
	if err := proto.Unmarshal(r.Frame(true), &delta); err != nil {
		t.Fatal(err)
	}
	var sotw discoveryv3.DiscoveryResponse
	if err := proto.Unmarshal(r.Frame(false), &sotw); err != nil {
		t.Fatal(err)
	}
	got := delta.GetResources()[0]
	if got.GetName() != "a" || got.GetVersion() != r.Version || len(r.Version) != 11 {
		t.Errorf("delta frame names %q, version %q", got.GetName(), got.GetVersion())
	}
	if r.Size(true) != len(r.Frame(true)) || r.Size(false) != len(r.Frame(false)) {
		t.Errorf("sizes %d and %d of frames of %d and %d bytes", r.Size(true), r.Size(false), len(r.Frame(true)), len(r.Frame(false)))
	}
	if !proto.Equal(got.GetResource(), sotw.GetResources()[0]) || !proto.Equal(r.Any(), got.GetResource()) {
		t.Error("the two protocols carry different bodies")
	}
	back, err := r.Message()
	if err != nil || !proto.Equal(back, m) {
		t.Errorf("does not decode to what was encoded: %v", err)
	}
	if r.LoadAssignment != "a" {
		t.Errorf("EDS cluster needs load assignment %q", r.LoadAssignment)
	}
}

func FuzzSourceKey(f *testing.F) {
	f.Add("/apis/networking.istio.io/v1/namespaces/shop/destination-rule/reviews")
	f.Add("/apis/a/b/namespaces/c/-/d")
	f.Fuzz(func(t *testing.T, path string) {
		if k, ok := SourceKey(path); ok && strings.Contains(k.Name, "/") {
			t.Errorf("%q gives %v", path, k)
		}
	})
}
