package translate

import (
	"crypto/tls"
	"io"
	"net"
	"testing"
)

// Connections and requests to what ServiceEntries know go to their clusters: by subnet, by name in the
// handshake and by host; what none knows goes nowhere, where only what is known is let pass.
func TestEnvoyEntries(t *testing.T) {
	const yaml = `
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: "outboundTrafficPolicy: {mode: REGISTRY_ONLY}"}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: near, namespace: default}
spec:
  hosts: [near.test]
  addresses: [127.0.0.0/8]
  ports: [{number: 9000, name: tcp, protocol: TCP}, {number: 9001, name: auto}, {number: 9443, name: tls, protocol: TLS}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: far, namespace: default}
spec:
  hosts: [far.test]
  addresses: [10.0.0.0/8]
  ports: [{number: 9000, name: tcp, protocol: TCP}, {number: 9002, name: tcp-2, protocol: TCP}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: names, namespace: default}
spec:
  hosts: ["*.wild.test"]
  ports: [{number: 9444, name: https, protocol: HTTPS}, {number: 9080, name: http, protocol: HTTP}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: dns, namespace: default}
spec:
  hosts: [dns.wild.test]
  ports: [{number: 9444, name: https, protocol: HTTPS}, {number: 9080, name: http, protocol: HTTP}]
  resolution: DNS
`
	res := translate(t, yaml, Proxy{})
	for _, c := range []struct{ port, sni, want string }{
		{"9000", "", "outbound|9000||near.test"},
		{"9001", "", "outbound|9001||near.test"},
		{"9002", "", "BlackHoleCluster"},
		{"9443", "near.test", "outbound|9443||near.test"},
		{"9443", "other.test", "BlackHoleCluster"},
		{"9444", "a.wild.test", "outbound|9444||*.wild.test"},
		{"9444", "dns.wild.test", "outbound|9444||dns.wild.test"},
		{"9444", "wild.test", "BlackHoleCluster"},
	} {
		t.Run(c.port+" "+c.sni, func(t *testing.T) {
			t.Parallel()
			s := serve(t, res, place{listener: "0.0.0.0_" + c.port, raw: true})
			hello := []byte("no TLS at all\n")
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
	s := serve(t, res, place{listener: "0.0.0.0_9080"})
	for host, want := range map[string]int{"a.wild.test": 200, "dns.wild.test:9080": 200, "wild.test": 502, "elsewhere.test": 502} {
		if res, _ := s.get(t, host, "/", nil); res.StatusCode != want {
			t.Errorf("%s: %d, want %d", host, res.StatusCode, want)
		}
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
