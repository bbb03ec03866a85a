package resolve_test

import (
	"fmt"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
)

// What a proxy says of a client's certificate goes by the kind of proxy: a gateway says the certificate itself, by each
// mode that says something, and a sidecar only where it is asked for. A gateway's topology alone tells its mode.
func TestWhoSaysTheCertificateOfAClient(t *testing.T) {
	gateway := ir.CertDetails{Subject: true, Cert: true, DNS: true, URI: true}
	sidecar := ir.CertDetails{Subject: true, DNS: true, URI: true}
	for _, c := range []struct {
		mesh     string // defaultConfig
		kind     model.ProxyType
		mode     ir.ClientCertDetails
		contents ir.CertDetails
	}{
		{"", model.RouterProxy, ir.ClientCertSanitizeSet, gateway},
		{"gatewayTopology: {forwardClientCertDetails: APPEND_FORWARD}", model.RouterProxy, ir.ClientCertAppendForward, gateway},
		{"proxyHeaders: {forwardedClientCert: APPEND_FORWARD}", model.RouterProxy, ir.ClientCertSanitizeSet, gateway},
		{"proxyHeaders: {setCurrentClientCertDetails: {cert: false, chain: true}}", model.RouterProxy, ir.ClientCertSanitizeSet, gateway},
		{"", model.SidecarProxy, ir.ClientCertAppendForward, sidecar},
		{"gatewayTopology: {forwardClientCertDetails: SANITIZE_SET}", model.SidecarProxy, ir.ClientCertAppendForward, sidecar},
		{"proxyHeaders: {forwardedClientCert: SANITIZE_SET}", model.SidecarProxy, ir.ClientCertSanitizeSet, sidecar},
		{"proxyHeaders: {setCurrentClientCertDetails: {cert: true, uri: false}}", model.SidecarProxy, ir.ClientCertAppendForward, ir.CertDetails{Subject: true, Cert: true, DNS: true}},
	} {
		t.Run(fmt.Sprintf("%s %s", c.kind, c.mesh), func(t *testing.T) {
			r := read(t, `{apiVersion: v1, kind: ConfigMap, metadata: {name: istio, namespace: istio-system}, data: {mesh: "defaultConfig: {`+c.mesh+`}"}}
---
{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: gw, namespace: default}, spec: {selector: {app: a}, servers: [{port: {number: 8080, name: http, protocol: HTTP}, hosts: ["*"]}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: a, namespace: default}, spec: {clusterIP: 10.96.0.1, selector: {app: a}, ports: [{name: http, port: 80}]}}
`)
			class := resolve.Classify(r, &model.Proxy{Type: c.kind, Name: "a-0", Namespace: "default", IPs: []string{"10.0.0.1"}, Labels: map[string]string{"app": "a"}})
			listeners, _ := resolve.Inbound(r, &class)
			if c.kind == model.RouterProxy {
				plan := resolve.NewGatewayPlan(r, &class)
				l, _ := plan.Listener(r, plan.Listeners()[0])
				listeners = []*ir.Listener{l}
			}
			managers := 0
			for m := range listeners[0].Managers() {
				if managers++; m.ClientCert != c.mode || m.CertDetails != c.contents {
					t.Errorf("mode %d says %+v, want %d and %+v", m.ClientCert, m.CertDetails, c.mode, c.contents)
				}
			}
			if managers == 0 {
				t.Error("nothing takes requests")
			}
		})
	}
}
