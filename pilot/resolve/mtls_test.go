package resolve_test

import (
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
)

// peerAuthentication makes one document; created orders objects by age.
func peerAuthentication(namespace, name, created, spec string) string {
	return `
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: ` + name + `, namespace: ` + namespace + `, creationTimestamp: "2026-01-0` + created + `T00:00:00Z"}
spec: {` + spec + `}
`
}

func TestInboundMTLSTakesTheClosestModeThatIsSet(t *testing.T) {
	const app = `selector: {matchLabels: {app: a}}, `
	mesh := peerAuthentication("istio-system", "default", "1", "mtls: {mode: STRICT}")
	for name, c := range map[string]struct {
		input string
		ns    string // default if empty
		port  uint32
		want  ir.MTLSMode
	}{
		"nothing is permissive": {"", "", 80, ir.MTLSPermissive},
		"mesh":                  {mesh, "", 80, ir.MTLSStrict},
		"namespace over mesh":   {mesh + peerAuthentication("default", "ns", "1", "mtls: {mode: DISABLE}"), "", 80, ir.MTLSDisable},
		"an unset namespace inherits": {
			mesh + peerAuthentication("default", "ns", "1", "mtls: {mode: UNSET}"), "", 80,
			ir.MTLSStrict,
		},
		"another namespace":        {peerAuthentication("other", "ns", "1", "mtls: {mode: STRICT}"), "", 80, ir.MTLSPermissive},
		"workload over namespace":  {peerAuthentication("default", "ns", "1", "mtls: {mode: DISABLE}") + peerAuthentication("default", "w", "2", app+"mtls: {mode: STRICT}"), "", 80, ir.MTLSStrict},
		"another workload":         {peerAuthentication("default", "w", "1", "selector: {matchLabels: {app: b}}, mtls: {mode: STRICT}"), "", 80, ir.MTLSPermissive},
		"the oldest workload wins": {peerAuthentication("default", "a", "2", app+"mtls: {mode: STRICT}") + peerAuthentication("default", "b", "1", app+"mtls: {mode: DISABLE}"), "", 80, ir.MTLSDisable},
		"the oldest of a namespace wins": {peerAuthentication("default", "a", "2", "mtls: {mode: STRICT}") +
			peerAuthentication("default", "b", "1", "mtls: {mode: DISABLE}"), "", 80, ir.MTLSDisable},
		"port over workload":        {peerAuthentication("default", "w", "1", app+"mtls: {mode: STRICT}, portLevelMtls: {80: {mode: DISABLE}}"), "", 80, ir.MTLSDisable},
		"another port":              {peerAuthentication("default", "w", "1", app+"mtls: {mode: STRICT}, portLevelMtls: {80: {mode: DISABLE}}"), "", 81, ir.MTLSStrict},
		"an unset port inherits":    {peerAuthentication("default", "w", "1", app+"mtls: {mode: STRICT}, portLevelMtls: {80: {mode: UNSET}}"), "", 80, ir.MTLSStrict},
		"an unset workload as well": {mesh + peerAuthentication("default", "w", "1", app+"mtls: {mode: UNSET}"), "", 80, ir.MTLSStrict},
		"a selector in the root namespace has no effect": {
			peerAuthentication("istio-system", "w", "1", app+"mtls: {mode: STRICT}"), "istio-system", 80,
			ir.MTLSPermissive,
		},
		"nor for other namespaces": {peerAuthentication("istio-system", "w", "1", app+"mtls: {mode: STRICT}"), "", 80, ir.MTLSPermissive},
	} {
		t.Run(name, func(t *testing.T) {
			r := read(t, c.input)
			ns := c.ns
			if ns == "" {
				ns = "default"
			}
			labels := map[string]string{"app": "a"}
			class := resolve.Classify(r, &model.Proxy{Type: model.SidecarProxy, Name: "a-0", Namespace: ns, Labels: labels})
			if got := resolve.InboundMTLS(r, &class, c.port).Mode; got != c.want {
				t.Errorf("the workload accepts %s, want %s", got, c.want)
			}
			if got := resolve.EndpointMTLS(r, ns, labels, c.port).Mode; got != c.want {
				t.Errorf("its clients see %s, want %s", got, c.want)
			}
		})
	}
}

func TestInboundMTLSPortsAreThoseOfTheWorkloadInForce(t *testing.T) {
	r := read(t, peerAuthentication("default", "w", "1", "selector: {matchLabels: {app: a}}, portLevelMtls: {81: {mode: DISABLE}, 80: {mode: STRICT}}")+
		peerAuthentication("default", "younger", "2", "selector: {matchLabels: {app: a}}, portLevelMtls: {90: {mode: DISABLE}}"))
	class := resolve.Classify(r, &model.Proxy{Type: model.SidecarProxy, Namespace: "default", Labels: map[string]string{"app": "a"}})
	if got := resolve.InboundMTLSPorts(r, &class); len(got) != 2 || got[0] != 80 || got[1] != 81 {
		t.Errorf("ports %v, want 80 and 81", got)
	}
}
