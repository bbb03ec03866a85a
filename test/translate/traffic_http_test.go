package translate

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

// A copy of a request has the host of the original.
func TestEnvoyMirrorsWithTheHost(t *testing.T) {
	s := serve(t, translate(t, servicesYAML+`
---
{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: m, namespace: default}, spec: {
  hosts: [reviews], http: [{route: [{destination: {host: reviews}}], mirrors: [{destination: {host: Details.default.svc.cluster.local.}}]}]}}
`, Proxy{}), place{listener: "0.0.0.0_9080"})
	s.get(t, "reviews:9080", "/", nil)
	hosts := map[string]string{}
	for range 2 {
		a := <-s.requests
		hosts[a.Cluster] = a.Host
	}
	for _, cluster := range []string{outbound("", "reviews"), outbound("", "details")} {
		if hosts[cluster] != "reviews:9080" {
			t.Errorf("%s was asked for host %q", cluster, hosts[cluster])
		}
	}
}

// Whether a client is to send its body is for the server to say.
func TestEnvoyPassesExpectOn(t *testing.T) {
	s := serve(t, translate(t, servicesYAML, Proxy{}), place{listener: "0.0.0.0_9080"})
	for path, want := range map[string][]int{"/refuse": {417}, "/take": {100, 200}} {
		conn, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: reviews\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n", path)
		in := bufio.NewReader(conn)
		var got []int
		for len(got) < len(want) {
			res, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Fatalf("%s: after %v: %v", path, got, err)
			}
			got = append(got, res.StatusCode)
			if res.StatusCode == 100 {
				fmt.Fprint(conn, "body")
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", path, got, want)
		}
	}
}

const grpcWebYAML = `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec: {clusterIP: 10.96.0.10, selector: {app: web}, ports: [{name: grpc-web, port: 9100, targetPort: %[1]d}]}
---
apiVersion: v1
kind: Service
metadata: {name: plain, namespace: default}
spec: {clusterIP: 10.96.0.11, selector: {app: plain}, ports: [{name: grpc, port: 9101}]}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g, namespace: default}
spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: web, protocol: GRPC-WEB}, hosts: [web.example.com]}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: plain, namespace: default}
spec: {hosts: [web.example.com], gateways: [g], http: [{route: [{destination: {host: plain}}]}]}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: default}
spec: {mtls: {mode: DISABLE}}
`

// A call of gRPC-Web comes to a server of gRPC as one of gRPC, over HTTP/2, and its status comes back in
// the body: from a sidecar, at a gateway, and where the server's own sidecar is the first on the way.
func TestEnvoyTranslatesGRPCWeb(t *testing.T) {
	port := envoytest.FreePort(t)
	input := fmt.Sprintf(grpcWebYAML, port)
	for name, c := range map[string]struct {
		proxy         Proxy
		at            place
		host, cluster string
	}{
		"client's sidecar": {Proxy{}, place{listener: "0.0.0.0_9100"}, "web:9100", "outbound|9100||web.default.svc.cluster.local"},
		"gateway":          {ingress, place{listener: "0.0.0.0_80"}, "web.example.com", "outbound|9101||plain.default.svc.cluster.local"},
		"server's sidecar": {
			Proxy{Labels: map[string]string{"app": "web"}},
			place{listener: model.VirtualInboundListener, port: port},
			"any",
			"inbound|" + strconv.Itoa(port) + "||",
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, translate(t, input, c.proxy), c.at)
			res, body := s.send(t, http.MethodPost, c.host, "/p.S/Call", http.Header{"Content-Type": {"application/grpc-web+proto"}}, bytes.NewReader(make([]byte, 5)))
			if res.Header.Get("Content-Type") != "application/grpc-web+proto" || !strings.Contains(body.Path, "grpc-status:0") {
				t.Fatalf("%s: %q", res.Status, body.Path)
			}
			if a := <-s.requests; a.Cluster != c.cluster || a.Proto != "HTTP/2.0" || a.Header.Get("Content-Type") != "application/grpc" {
				t.Errorf("the server saw %+v", a)
			}
		})
	}
}
