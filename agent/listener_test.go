package agent

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	tcpproxyv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/pilothouse-mesh/pilothouse/security/ca"
)

// tlsListener passes to the agent's cluster what comes over TLS, with the workload's certificate
// from SDS.
func tlsListener(t *testing.T, port int) *anypb.Any {
	t.Helper()
	sds := &tlsv3.SdsSecretConfig{Name: "default", SdsConfig: &corev3.ConfigSource{
		InitialFetchTimeout: durationpb.New(0),
		ResourceApiVersion:  corev3.ApiVersion_V3,
		ConfigSourceSpecifier: &corev3.ConfigSource_ApiConfigSource{ApiConfigSource: &corev3.ApiConfigSource{
			ApiType:                   corev3.ApiConfigSource_GRPC,
			TransportApiVersion:       corev3.ApiVersion_V3,
			SetNodeOnFirstMessageOnly: true,
			GrpcServices: []*corev3.GrpcService{{TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{
				EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{ClusterName: "sds-grpc"},
			}}},
		}},
	}}
	return pack(t, &listenerv3.Listener{
		Name: "mtls",
		Address: &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
			Address: "127.0.0.1", PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: uint32(port)},
		}}},
		FilterChains: []*listenerv3.FilterChain{{
			Filters: []*listenerv3.Filter{{Name: "tcp", ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: pack(t, &tcpproxyv3.TcpProxy{
				StatPrefix: "tcp", ClusterSpecifier: &tcpproxyv3.TcpProxy_Cluster{Cluster: "agent"},
			})}}},
			TransportSocket: &corev3.TransportSocket{Name: "tls", ConfigType: &corev3.TransportSocket_TypedConfig{
				TypedConfig: pack(t, &tlsv3.DownstreamTlsContext{CommonTlsContext: &tlsv3.CommonTlsContext{
					TlsCertificateSdsSecretConfigs: []*tlsv3.SdsSecretConfig{sds},
				}}),
			}},
		}},
	})
}

func pack(t *testing.T, m proto.Message) *anypb.Any {
	t.Helper()
	a, err := anypb.New(m)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// handshake gives the URI of the identity behind a TLS port, proven by the CA.
func handshake(t *testing.T, port int, authority *ca.Authority) string {
	t.Helper()
	conn, err := tls.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	chain := conn.ConnectionState().PeerCertificates
	rest := x509.NewCertPool()
	for _, c := range chain[1:] {
		rest.AddCert(c)
	}
	_, err = chain[0].Verify(x509.VerifyOptions{Roots: authority.Roots(), Intermediates: rest})
	if err != nil || len(chain[0].URIs) != 1 {
		t.Fatalf("certificate of %v: %v", chain[0].URIs, err)
	}
	return chain[0].URIs[0].String()
}

// TestProbedIP says where the application is probed: at the pod's address, or on its loopback.
func TestProbedIP(t *testing.T) {
	for _, tc := range []struct {
		ip    string
		local bool
		want  string
	}{{"10.0.0.7", false, "10.0.0.7"}, {"10.0.0.7", true, "127.0.0.1"}, {"fd00::7", true, "::1"}, {"fd00::7", false, "fd00::7"}} {
		c := Config{ProbeLocalhost: tc.local}
		c.Node.IPs = []string{tc.ip}
		if got := c.probedIP().String(); got != tc.want {
			t.Errorf("%+v: %s", tc, got)
		}
	}
}
