package gateway

import (
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"sigs.k8s.io/yaml"

	"github.com/pilothouse-mesh/pilothouse/pilot/build"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

// speaksHTTP3 is an Envoy that passes on requests in the clear by HTTP/3, checks the server's certificate and
// connects to no other name than a.example.com.
const speaksHTTP3 = `
name: h3
connect_timeout: 2s
load_assignment: {cluster_name: h3, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {protocol: UDP, address: 127.0.0.1, port_value: %d}}}}]}]}
typed_extension_protocol_options:
  envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
    "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
    explicit_http_config: {http3_protocol_options: {}}
transport_socket:
  name: envoy.transport_sockets.quic
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.transport_sockets.quic.v3.QuicUpstreamTransport
    upstream_tls_context:
      sni: %s
      common_tls_context: {validation_context: {trusted_ca: {inline_string: %q}}}
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
      route_config: {virtual_hosts: [{name: all, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: h3}}]}]}
      http_filters:
      - name: router
        typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
`

// http3Client runs such an Envoy, and gives what asks for a host's root by it.
func http3Client(t *testing.T, port int, trust *authority, sni string) func(host string) (int, string, error) {
	t.Helper()
	own := envoytest.FreePort(t)
	roots := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: trust.cert.Raw}))
	s := envoytest.ServeFixed(t, envoytest.Resources{
		"clusters":  {"h3": message(t, fmt.Sprintf(speaksHTTP3, port, sni, roots), &clusterv3.Cluster{})},
		"listeners": {"in": message(t, fmt.Sprintf(takesHTTP, own), &listenerv3.Listener{})},
	}, nil)
	e := envoytest.Run(t, envoytest.Config{Node: "client", Socket: s.Socket, SotW: true})
	envoytest.Eventually(t, "the client is live", e.Live)
	return func(host string) (int, string, error) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/", own), nil)
		if err != nil {
			return 0, "", err
		}
		req.Host = host
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return 0, "", err
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		return res.StatusCode, string(text), err
	}
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

func altSvc(c *client, url string) (string, error) {
	res, err := c.http.Get(url)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	return res.Header.Get("Alt-Svc"), nil
}

// By PILOT_ENABLE_QUIC_LISTENERS a server with HTTPS speaks HTTP/3 at the same port, with the certificate of its
// own host, and tells so. One that asks clients for certificates does not: Envoy would ask for none there.
func TestHTTP3StandsBesideHTTPS(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "root")
	port, other := envoytest.FreePort(t), envoytest.FreePort(t)
	own, second := ca.issue(11, "a.example.com"), ca.issue(12, "b.example.com")
	server := func(port int, name, mode string) string {
		return fmt.Sprintf("{port: {number: %d, name: %s, protocol: HTTPS}, hosts: [%s.example.com], tls: {mode: %s, credentialName: %s}}", port, name, name, mode, name)
	}
	input := edge(t, "web") + gatewayOf(server(port, "a", "SIMPLE"), server(port, "b", "MUTUAL"), server(other, "c", "MUTUAL")) + webRoute +
		secret("a", "tls.crt", own.cert, "tls.key", own.key) + secret("b", "tls.crt", second.cert, "tls.key", second.key, "ca.crt", own.cert)
	m := newMeshWith(t, build.Options{Settings: resolve.Settings{QUIC: true}}, proven(), input)
	newClient(t, port, ca, nil).want(t, "https://a.example.com/", 200, "web")

	ask := http3Client(t, port, ca, "a.example.com")
	until(t, "a request by HTTP/3", func() error {
		status, text, err := ask("a.example.com")
		if err == nil && status != 200 {
			err = fmt.Errorf("status %d %s", status, text)
		}
		return err
	})
	if status, _, err := ask("nobody.example.org"); err != nil || status != 404 {
		t.Errorf("a host that is not served: %d %v, want 404", status, err)
	}
	if status, _, err := http3Client(t, port, ca, "b.example.com")("b.example.com"); err != nil || status != 503 {
		t.Errorf("a server that asks for certificates: %d %v, want 503", status, err)
	}
	if got, err := altSvc(newClient(t, port, ca, nil), "https://a.example.com/"); err != nil || got != fmt.Sprintf(`h3=":%d"; ma=86400`, port) {
		t.Errorf("alt-svc %q %v", got, err)
	}
	listeners := m.envoy.Get("/listeners")
	if !strings.Contains(listeners, fmt.Sprintf("udp_0.0.0.0_%d", port)) || strings.Contains(listeners, fmt.Sprintf("udp_0.0.0.0_%d", other)) {
		t.Errorf("listeners:\n%s", listeners)
	}
}

// A gateway whose Service has the port for TCP only is not reached by HTTP/3: it listens for none, and tells nobody
// of any. With the port for UDP it does.
func TestHTTP3NeedsAPortOfUDP(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "root")
	port := envoytest.FreePort(t)
	own := ca.issue(11, "a.example.com")
	service := func(more string) string {
		return fmt.Sprintf("---\n{apiVersion: v1, kind: Service, metadata: {name: gw, namespace: istio-system}, spec: {clusterIP: 10.96.0.9, selector: {istio: ingressgateway}, ports: [{name: https, port: 443, targetPort: %d}%s]}}\n", port, more)
	}
	first, rest := edge(t, "web"), webRoute+secret("one", "tls.crt", own.cert, "tls.key", own.key)+gatewayOf("{port: {number: 443, name: a, protocol: HTTPS}, hosts: [a.example.com], tls: {mode: SIMPLE, credentialName: one}}")
	for more, want := range map[string]string{
		"": "", fmt.Sprintf(", {name: dns, port: 53, targetPort: %d, protocol: UDP}", port): "",
		fmt.Sprintf(", {name: h3, port: 443, targetPort: %d, protocol: UDP}", port): `h3=":443"; ma=86400`,
	} {
		m := newMeshWith(t, build.Options{Settings: resolve.Settings{QUIC: true}}, proven(), first+service(more)+rest)
		c := newClient(t, port, ca, nil)
		c.want(t, "https://a.example.com/", 200, "web")
		if got, err := altSvc(c, "https://a.example.com/"); err != nil || got != want {
			t.Errorf("%q: alt-svc %q, want %q (%v)", more, got, want, err)
		}
		if listens := strings.Contains(m.envoy.Get("/listeners"), "udp_"); listens != (want != "") {
			t.Errorf("%q: a listener of UDP: %v", more, listens)
		}
		m.envoy.Stop()
	}
}

// Unless it is asked for there is no HTTP/3, and nobody is told of any.
func TestThereIsNoHTTP3Unasked(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "root")
	port := envoytest.FreePort(t)
	own := ca.issue(11, "a.example.com")
	m := newMesh(t, proven(), edge(t, "web")+webRoute+secret("one", "tls.crt", own.cert, "tls.key", own.key)+gatewayOf(
		fmt.Sprintf("{port: {number: %d, name: a, protocol: HTTPS}, hosts: [a.example.com], tls: {mode: SIMPLE, credentialName: one}}", port)))
	c := newClient(t, port, ca, nil)
	c.want(t, "https://a.example.com/", 200, "web")
	if got, err := altSvc(c, "https://a.example.com/"); err != nil || got != "" {
		t.Error(errors.Join(err, fmt.Errorf("alt-svc %q", got)))
	}
	if strings.Contains(m.envoy.Get("/listeners"), "udp_") {
		t.Error("there is a listener of UDP")
	}
}
