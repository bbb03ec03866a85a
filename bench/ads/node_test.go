package ads

import (
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"
)

func marshal(t *testing.T, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestANodeIsWhatProtobufReads(t *testing.T) {
	metadata := &structpb.Struct{Fields: map[string]*structpb.Value{"NAMESPACE": structpb.NewStringValue("shop")}}
	e := Envoy{ID: "i", Cluster: "c", Region: "r", Zone: "z", UserAgent: "u", Metadata: marshal(t, metadata)}
	var got corev3.Node
	if err := proto.Unmarshal(e.Marshal(), &got); err != nil {
		t.Fatal(err)
	}
	want := &corev3.Node{
		Id: "i", Cluster: "c", Metadata: metadata, Locality: &corev3.Locality{Region: "r", Zone: "z"}, UserAgentName: "u",
	}
	if !proto.Equal(&got, want) {
		t.Errorf("%v, want %v", &got, want)
	}
	if ns, err := NamespaceOf(e.Marshal()); ns != "shop" || err != nil {
		t.Errorf("namespace %q, %v", ns, err)
	}
}

func TestFactsOfClusters(t *testing.T) {
	eds := &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS}
	for want, c := range map[string]*clusterv3.Cluster{
		"named": {Name: "a", ClusterDiscoveryType: eds, EdsClusterConfig: &clusterv3.Cluster_EdsClusterConfig{ServiceName: "named"}},
		"own":   {Name: "own", ClusterDiscoveryType: eds},
		"":      {Name: "dns", ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STRICT_DNS}},
	} {
		if f, err := decode(Clusters, marshal(t, c)); err != nil || f.assignment != want {
			t.Errorf("%v: %+v, %v", c, f, err)
		}
	}
}

func TestFactsOfListeners(t *testing.T) {
	chain := func(route string) *listenerv3.FilterChain {
		manager, err := anypb.New(&hcmv3.HttpConnectionManager{
			StatPrefix: "s", RouteSpecifier: &hcmv3.HttpConnectionManager_Rds{Rds: &hcmv3.Rds{RouteConfigName: route}},
		})
		if err != nil {
			t.Fatal(err)
		}
		other, err := anypb.New(&corev3.Node{Id: "not a filter"})
		if err != nil {
			t.Fatal(err)
		}
		return &listenerv3.FilterChain{Filters: []*listenerv3.Filter{
			{Name: "other", ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: other}},
			{Name: "manager", ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: manager}},
		}}
	}
	l := &listenerv3.Listener{Name: "l", FilterChains: []*listenerv3.FilterChain{chain("80"), chain("81")}, DefaultFilterChain: chain("82")}
	f, err := decode(Listeners, marshal(t, l))
	if err != nil || len(f.routes) != 3 || f.routes[0] != "80" || f.routes[2] != "82" {
		t.Errorf("%+v, %v", f, err)
	}
	if _, err := decode(Listeners, []byte{0x1a, 5}); err == nil {
		t.Error("half a message is one")
	}
}
