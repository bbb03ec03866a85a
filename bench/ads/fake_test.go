package ads_test

import (
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/pilothouse-mesh/pilothouse/bench/ads"
)

// fake is a control plane of one cluster, one listener and one route, that notes what it is asked
// and sends further responses on demand.
type fake struct {
	discoveryv3.UnimplementedAggregatedDiscoveryServiceServer
	mu       sync.Mutex
	requests []string // by all clients, in order
	streams  []discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesServer
	hold     map[string]bool // short names of types that are not answered
	asked    chan string
}

const clusterName, secretName = "outbound|80||a.b", "kubernetes://cert"

func serve(t *testing.T) (*fake, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{hold: map[string]bool{}, asked: make(chan string, 1000)}
	g := grpc.NewServer()
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(g, f)
	var done sync.WaitGroup
	done.Go(func() { _ = g.Serve(l) }) // it ends by Stop
	t.Cleanup(func() {
		g.Stop()
		done.Wait()
	})
	return f, l.Addr().String()
}

func (f *fake) note(text string) {
	f.mu.Lock()
	f.requests = append(f.requests, text)
	f.mu.Unlock()
	f.asked <- text
}

func short(url string) string {
	for k := range ads.Secrets + 1 {
		if k.URL() == url {
			return k.String()
		}
	}
	return url
}

// serverTLS presents a certificate of the control plane, and one of the agent.
func serverTLS() *corev3.TransportSocket {
	tls, _ := anypb.New(&tlsv3.DownstreamTlsContext{CommonTlsContext: &tlsv3.CommonTlsContext{
		TlsCertificateSdsSecretConfigs: []*tlsv3.SdsSecretConfig{{Name: secretName}, {Name: "default"}},
	}})
	return &corev3.TransportSocket{Name: "tls", ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: tls}}
}

func messages(t string) map[string]proto.Message {
	eds := &corev3.ConfigSource{ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}}}
	switch t {
	case "cds":
		return map[string]proto.Message{
			clusterName: &clusterv3.Cluster{
				Name: clusterName, ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS},
				EdsClusterConfig: &clusterv3.Cluster_EdsClusterConfig{EdsConfig: eds},
			},
			"static": &clusterv3.Cluster{Name: "static"},
		}
	case "eds":
		return map[string]proto.Message{clusterName: &endpointv3.ClusterLoadAssignment{ClusterName: clusterName}}
	case "lds":
		hcm, _ := anypb.New(&hcmv3.HttpConnectionManager{RouteSpecifier: &hcmv3.HttpConnectionManager_Rds{
			Rds: &hcmv3.Rds{RouteConfigName: "80", ConfigSource: eds},
		}})
		return map[string]proto.Message{"0.0.0.0_80": &listenerv3.Listener{Name: "0.0.0.0_80", FilterChains: []*listenerv3.FilterChain{
			{Filters: []*listenerv3.Filter{{ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: hcm}}}, TransportSocket: serverTLS()},
		}}}
	case "sds":
		return map[string]proto.Message{secretName: &tlsv3.Secret{Name: secretName}}
	default:
		return map[string]proto.Message{"80": &routev3.RouteConfiguration{Name: "80"}}
	}
}

func (f *fake) DeltaAggregatedResources(st discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	f.mu.Lock()
	f.streams = append(f.streams, st)
	f.mu.Unlock()
	for {
		r, err := st.Recv()
		if err != nil {
			return nil
		}
		t := short(r.GetTypeUrl())
		if r.GetResponseNonce() != "" {
			f.note("ack " + t)
			continue
		}
		text := fmt.Sprint(t, " ", r.GetResourceNamesSubscribe())
		if len(r.GetInitialResourceVersions()) > 0 {
			text += fmt.Sprint(" has ", slices.Sorted(maps.Keys(r.GetInitialResourceVersions())))
		}
		f.note(text)
		if f.hold[t] || len(r.GetInitialResourceVersions()) > 0 {
			continue
		}
		if err := sendDelta(st, t, "1"); err != nil {
			return err
		}
	}
}

func sendDelta(st discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesServer, t, version string) error {
	resp := &discoveryv3.DeltaDiscoveryResponse{Nonce: "n" + t + version}
	for name, m := range messages(t) {
		body, err := anypb.New(m)
		if err != nil {
			return err
		}
		resp.TypeUrl = body.GetTypeUrl()
		resp.Resources = append(resp.Resources, &discoveryv3.Resource{Name: name, Version: version, Resource: body})
	}
	return st.Send(resp)
}

func (f *fake) StreamAggregatedResources(st discoveryv3.AggregatedDiscoveryService_StreamAggregatedResourcesServer) error {
	for {
		r, err := st.Recv()
		if err != nil {
			return nil
		}
		t := short(r.GetTypeUrl())
		if r.GetResponseNonce() != "" {
			f.note(fmt.Sprint("ack ", t, " ", r.GetVersionInfo(), " ", r.GetResourceNames()))
			continue
		}
		f.note(fmt.Sprint(t, " ", r.GetResourceNames()))
		resp := &discoveryv3.DiscoveryResponse{TypeUrl: r.GetTypeUrl(), VersionInfo: "v" + t, Nonce: "n" + t}
		for _, m := range messages(t) {
			body, err := anypb.New(m)
			if err != nil {
				return err
			}
			resp.Resources = append(resp.Resources, body)
		}
		if err := st.Send(resp); err != nil {
			return err
		}
	}
}

func newFleet(t *testing.T, n int, sotw bool) *ads.Fleet {
	t.Helper()
	var ns []ads.Node
	for i := range n {
		node, err := proto.Marshal(&corev3.Node{Id: fmt.Sprintf("sidecar~10.0.0.1~p-%d.b~b.svc.cluster.local", i)})
		if err != nil {
			t.Fatal(err)
		}
		ns = append(ns, ads.Node{SotW: sotw, Envoy: node})
	}
	f := ads.New(ads.Options{Nodes: ns, Logger: slog.New(slog.DiscardHandler)})
	t.Cleanup(f.Disconnect)
	return f
}
