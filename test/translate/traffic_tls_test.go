package translate

import (
	"crypto/tls"
	"io"
	"net"
	"testing"
)

// Connections go by the name in the TLS handshake where tls rules say so; what none of them names goes on
// to where it was sent, and tcp rules without a port leave ports of TLS alone.
func TestEnvoyTLSRules(t *testing.T) {
	const yaml = `
apiVersion: v1
kind: Service
metadata: {name: db, namespace: default}
spec: {clusterIP: 10.96.8.1, selector: {app: db}, ports: [{name: tcp, port: 5432}, {name: tls, port: 5443}, {name: https-alone, port: 5444}, {name: any, port: 5445}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: db, namespace: default}
spec:
  hosts: [DB.default.svc.cluster.local]
  tcp: [{match: [{sourceNamespace: elsewhere}, {sourceLabels: {app: other}}], route: [{destination: {host: details}}]}, {route: [{destination: {host: ratings}}]}, {match: [{port: 5444}], route: [{destination: {host: details}}]}]
  tls:
  - match: [{sourceNamespace: elsewhere, sniHosts: ["*"]}]
    route: [{destination: {host: details}}]
  - match: [{port: 5443, sniHosts: ["Db.default.svc.cluster.local."]}]
    route: [{destination: {host: reviews}}]
  - match: [{port: 5445, sniHosts: ["*.any.test"]}]
    route: [{destination: {host: reviews}}]
`
	res := translate(t, servicesYAML+"\n---\n"+yaml, Proxy{})
	for _, c := range []struct{ port, sni, want string }{
		{"5432", "", outbound("", "ratings")},
		{"5443", "db.default.svc.cluster.local", outbound("", "reviews")},
		{"5443", "DB.default.svc.cluster.local", outbound("", "reviews")},
		{"5443", "other.example.com", "PassthroughCluster"},
		{"5443", "", "PassthroughCluster"},
		{"5444", "other.example.com", outbound("", "details")},
		{"5445", "x.any.test", outbound("", "reviews")},
		{"5445", "other.example.com", outbound("", "ratings")},
	} {
		t.Run(c.port+" "+c.sni, func(t *testing.T) {
			t.Parallel()
			s := serve(t, res, place{listener: "10.96.8.1_" + c.port, raw: true})
			hello := []byte("no TLS at all")
			if c.sni != "" {
				hello = clientHello(t, c.sni)
			}
			conn, err := net.Dial("tcp", s.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := conn.Write(hello); err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(conn); string(got) != c.want {
				t.Errorf("went to %q (%v), want %q", got, err, c.want)
			}
		})
	}
}

// clientHello gives the first bytes of a TLS connection.
func clientHello(t *testing.T, sni string) []byte {
	t.Helper()
	client, server := net.Pipe()
	defer server.Close()
	go func() {
		defer client.Close()
		_ = tls.Client(client, &tls.Config{ServerName: sni}).Handshake() // it gets no answer
	}()
	hello := make([]byte, 1<<14)
	n, err := server.Read(hello)
	if err != nil {
		t.Fatal(err)
	}
	return hello[:n]
}
