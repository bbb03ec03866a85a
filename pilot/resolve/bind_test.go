package resolve_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
)

// An address has several spellings, and Envoy refuses a second listener of one.

func TestGatewaysThatBindTheSameAddress(t *testing.T) {
	for _, c := range []struct {
		ips   []string
		binds [3]string
		want  []string
	}{
		{[]string{"10.0.0.1", "2001:db8::1"}, [3]string{"", "0::0", "::ffff:0.0.0.0"}, []string{"0.0.0.0_80"}},
		{[]string{"2001:db8::1"}, [3]string{"::", "0:0::", ""}, []string{"::_80"}},
		{[]string{"10.0.0.1"}, [3]string{"0.0.0.0", "::ffff:10.0.0.1", "10.0.0.1"}, []string{"0.0.0.0_80", "10.0.0.1_80"}},
		{[]string{"2001:db8::1"}, [3]string{"2001:DB8::1", "2001:db8:0::1", "2001:db8::1"}, []string{"2001:db8::1_80"}},
	} {
		text := service
		for i, bind := range c.binds {
			text += fmt.Sprintf(`
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw%d, namespace: default}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["%d.example.com"], bind: "%s"}]
`, i, i, bind)
		}
		r := read(t, text)
		class := resolve.Classify(r, &model.Proxy{Type: model.RouterProxy, Namespace: "default", IPs: c.ips, Labels: map[string]string{"istio": "ingressgateway"}})
		if got := resolve.NewGatewayPlan(r, &class).Listeners(); !slices.Equal(got, c.want) {
			t.Errorf("%q on %v: listeners %v, not %v", c.binds, c.ips, got, c.want)
		}
	}
}

func TestServicesOfTheSameAddress(t *testing.T) {
	r := read(t, service+`
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: default}
spec: {clusterIP: "2001:DB8::5", ports: [{name: tls, port: 443}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: e, namespace: default}
spec: {hosts: [e.example.com], addresses: ["2001:db8:0::5", "2001:db8::5", "::ffff:10.0.0.7", "::ffff:10.0.0.7/128", 10.0.0.7], resolution: NONE, ports: [{number: 443, name: tls, protocol: TLS}]}
---
apiVersion: v1
kind: Service
metadata: {name: headless, namespace: default}
spec: {clusterIP: None, ports: [{name: tls, port: 443}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: headless, namespace: default, labels: {kubernetes.io/service-name: headless}}
addressType: IPv6
ports: [{name: tls, port: 443}]
endpoints: [{addresses: ["2001:DB8:0::5"]}]
`)
	class := resolve.Classify(r, &model.Proxy{Type: model.SidecarProxy, Namespace: "default", IPs: []string{"10.0.0.1", "2001:db8::1"}})
	var got []string
	for _, name := range resolve.NewPlan(r, &class).Listeners() {
		if name != "0.0.0.0_80" && name != "0.0.0.0_81" { // of the service that all tests have
			got = append(got, name)
		}
	}
	if want := []string{"10.0.0.7_443", "2001:db8::5_443"}; !slices.Equal(got, want) {
		t.Errorf("listeners %v, not %v", got, want)
	}
}

// TestIngressListenersOfOnePort: what is served on a port has one name, so that a second listener of it would take
// the place of the first.
func TestIngressListenersOfOnePort(t *testing.T) {
	for binds, ips := range map[[2]string][]string{
		{"0.0.0.0", "::"}:          {"10.0.0.1", "2001:db8::1"},
		{"", "0::0"}:               {"2001:db8::1"},
		{"127.0.0.1", "127.0.0.2"}: {"10.0.0.1"},
	} {
		r := read(t, service+fmt.Sprintf(`
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: s, namespace: default}
spec:
  ingress:
  - {port: {number: 9080, protocol: HTTP, name: a}, bind: "%s", captureMode: NONE, defaultEndpoint: "127.0.0.1:1"}
  - {port: {number: 9080, protocol: HTTP, name: b}, bind: "%s", captureMode: NONE, defaultEndpoint: "127.0.0.1:2"}
`, binds[0], binds[1]))
		class := resolve.Classify(r, &model.Proxy{Type: model.SidecarProxy, Namespace: "default", IPs: ips})
		listeners, problems := resolve.Inbound(r, &class)
		bound := slices.DeleteFunc(listeners, func(l *ir.Listener) bool { return !l.BindToPort || l.Port != 9080 })
		if len(bound) != 1 {
			t.Errorf("%q: %d listeners", binds, len(bound))
		}
		if len(problems) != 1 || problems[0].Reason != model.ReasonConflict || problems[0].Field != "spec.ingress[1].port.number" {
			t.Errorf("%q: problems %v", binds, problems)
		}
		clusters, _ := resolve.OwnClusters(r, &class)
		var backends []ir.Backend
		for _, cl := range clusters {
			if cl.Backend != nil {
				backends = append(backends, *cl.Backend)
			}
		}
		if want := []ir.Backend{{Address: "127.0.0.1", Port: 1}}; !slices.Equal(backends, want) {
			t.Errorf("%q: to %v", binds, backends)
		}
	}
}
