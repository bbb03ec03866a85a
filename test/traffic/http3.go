package traffic

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"sigs.k8s.io/yaml"

	"github.com/pilothouse-mesh/pilothouse/pilot/explain"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

// Headers by which requests tell the client's Envoy where to go and which name to give in the handshake, and by which
// it tells how an answer came about.
const destinationHeader, sniHeader, detailsHeader, presentedHeader = "X-Destination", "X-Sni", "X-Details", "X-Presented"

// speaksHTTP3 passes requests on by HTTP/3, to where they say.
const speaksHTTP3 = `
name: h3
connect_timeout: 2s
type: ORIGINAL_DST
lb_policy: CLUSTER_PROVIDED
original_dst_lb_config: {use_http_header: true, http_header_name: ` + destinationHeader + `}
typed_extension_protocol_options:
  envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
    "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
    explicit_http_config: {http3_protocol_options: {}}
    upstream_http_protocol_options: {auto_sni: true, override_auto_sni_header: ` + sniHeader + `}
transport_socket:
  name: envoy.transport_sockets.quic
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.transport_sockets.quic.v3.QuicUpstreamTransport
    upstream_tls_context:
      common_tls_context: {validation_context: {trust_chain_verification: ACCEPT_UNTRUSTED}}
`

const takesHTTP = `
name: in
address: {socket_address: {address: 127.0.0.1, port_value: %d}}
filter_chains:
- filters:
  - name: http
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
      stat_prefix: in
      generate_request_id: false
      scheme_header_transformation: {scheme_to_overwrite: https}
      route_config:
        virtual_hosts: [{name: all, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: h3}}]}]
        response_headers_to_add:
        - {header: {key: ` + detailsHeader + `, value: "%%RESPONSE_CODE_DETAILS%%"}}
        - {header: {key: ` + presentedHeader + `, value: "%%UPSTREAM_PEER_DNS_SAN%%"}}
      http_filters:
      - name: router
        typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
`

// http3Client is an Envoy that speaks HTTP/3 for a client.
type http3Client struct {
	namespace *envoytest.Namespace
}

// http3Port is where it takes requests.
const http3Port = 18080

func newHTTP3Client(t *testing.T, n *envoytest.Namespace) *http3Client {
	t.Helper()
	s := envoytest.ServeFixed(t, envoytest.Resources{
		"clusters":  {"h3": message(t, speaksHTTP3, &clusterv3.Cluster{})},
		"listeners": {"in": message(t, fmt.Sprintf(takesHTTP, http3Port), &listenerv3.Listener{})},
	}, nil)
	e := envoytest.Run(t, envoytest.Config{Node: "client", Socket: s.Socket, SotW: true, In: n})
	envoytest.Eventually(t, "the client is live", func() bool {
		select {
		case reason := <-s.Rejected:
			t.Fatalf("rejected: %s", reason)
		default:
		}
		return e.Live()
	})
	return &http3Client{n}
}

func message[M proto.Message](t *testing.T, text string, m M) M {
	t.Helper()
	j, err := yaml.YAMLToJSON([]byte(text))
	if err == nil {
		err = protojson.Unmarshal(j, m)
	}
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// send makes a call.
func (c *http3Client) send(ctx context.Context, call *Call, id string) (*got, error) {
	r := call.request
	req, err := http.NewRequestWithContext(ctx, r.Method, fmt.Sprintf("http://127.0.0.1:%d%s", http3Port, r.Path), nil)
	if err != nil {
		return nil, err
	}
	req.Host, req.Header = r.Host, r.Header.Clone()
	req.Header.Set(callHeader, id)
	req.Header.Set(destinationHeader, r.Destination.String())
	req.Header.Set(sniHeader, r.TLS.SNI)
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, to string) (net.Conn, error) {
			return c.namespace.Dial(ctx, netip.Addr{}, netip.MustParseAddrPort(to), marks[explain.Direct])
		},
		DisableKeepAlives: true, DisableCompression: true,
	}
	res, err := transport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	out := &got{status: res.StatusCode, header: res.Header, presented: res.Header.Get(presentedHeader)}
	switch details := res.Header.Get(detailsHeader); {
	case strings.Contains(details, "CERTIFICATE_VERIFY_FAILED"): // QUIC compares names, whatever is trusted
		return nil, fmt.Errorf("the server's certificate is not for %s: %s", r.TLS.SNI, details)
	case details != "via_upstream": // the answer of the client's own Envoy
		return &got{closed: true}, nil
	}
	out.take(string(text))
	out.closed = false
	return out, nil
}
