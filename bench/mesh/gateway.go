package mesh

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
)

// Gateways are the routers of a mesh. Each has a namespace, a Service and a Gateway object of its
// own, so that no two get the same.
type Gateways struct {
	Count int `json:"count"`
	// Servers of each Gateway object, for a wildcard host each, are spread over five ports.
	Servers int `json:"servers"`
	// Routes are VirtualServices that are bound to each Gateway object, for a host each, and live in
	// the namespace of the service that they lead to.
	Routes int `json:"routes"`
	// Replicas are the pods of each.
	Replicas int `json:"replicas"`
	// TLS makes the servers of four of the five ports terminate it, each with a Secret of its own.
	TLS bool `json:"tls,omitempty"`
}

const (
	gatewayPorts = 5
	// A gateway's Service has these ports, and its pods listen on those from gatewayTarget.
	gatewayPort, gatewayTarget = 80, 8080
	gatewayPrefix              = "gateway-"
)

func (g Gateways) check() error {
	if g != (Gateways{}) && min(g.Count, g.Replicas, g.Servers) < 1 || g.Routes < 0 {
		return fmt.Errorf("synthetic mesh: gateways %+v, want at least one with a server and a replica", g)
	}
	return nil
}

// Len is the number of gateways' pods.
func (g Gateways) Len() int { return g.Count * g.Replicas }

// GatewayNamespace gives the namespace of a gateway.
func GatewayNamespace(g int) string { return fmt.Sprintf("%s%d", gatewayPrefix, g) }

func isGateway(ns string) bool { return strings.HasPrefix(ns, gatewayPrefix) }

// GatewayPod gives a gateway's pod i: first one of each gateway, then the next of each, and so on.
func (m *Mesh) GatewayPod(i int) Workload {
	g, replica := i%m.spec.Gateways.Count, i/m.spec.Gateways.Count
	name := GatewayNamespace(g)
	return Workload{
		Name: fmt.Sprintf("%s-%d", name, replica), Namespace: name, ServiceAccount: name, Address: gatewayAddress(i),
		Labels: gatewayLabels(g), Region: region, Zone: zone(replica % m.spec.Zones), Router: true,
	}
}

// gatewayAddress is in 11.0.0.0/8, where no other pod is.
func gatewayAddress(i int) netip.Addr { return ipAt(11<<24, i+1) }

func gatewayLabels(g int) map[string]string {
	name := GatewayNamespace(g)
	return map[string]string{"app": name, "istio": name}
}

// GatewayRoutes gives the name of the route configuration that holds a route of a gateway: a server of
// TLS has one of its own.
func (m *Mesh) GatewayRoutes(g, route int) string {
	s := m.serverOf(route)
	if m.spec.Gateways.secure(s) {
		return fmt.Sprintf("https.%d.%s.gateway.%s", gatewayPort+s%gatewayPorts, serverPort(s), GatewayNamespace(g))
	}
	return fmt.Sprintf("http.%d", gatewayTarget+s%gatewayPorts)
}

// serverPort is the name of a server's port.
func serverPort(server int) string { return fmt.Sprintf("http-%d", server) }

// gatewayHost is what a server is for.
func gatewayHost(g, server int) string {
	return fmt.Sprintf("*.s-%d.%s.example.com", server, GatewayNamespace(g))
}

func (m *Mesh) serverOf(route int) int { return route % m.spec.Gateways.Servers }

// GatewayRoute changes a timeout in one of the VirtualServices that are bound to a gateway.
func (m *Mesh) GatewayRoute(g, route int) Edit {
	var b bytes.Buffer
	name := fmt.Sprintf("%s-route-%d", GatewayNamespace(g), route)
	m.edits[name]++
	m.renderGatewayRoute(&b, g, route, m.edits[name])
	return m.file(name, &b)
}

// renderGateway gives everything of a gateway.
func (m *Mesh) renderGateway(g int) []byte {
	var b bytes.Buffer
	name := GatewayNamespace(g)
	document(&b, "apiVersion: v1\nkind: Namespace\nmetadata: {name: %s}", name)
	document(&b, "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: %s, namespace: %s}", name, name)
	document(&b, "apiVersion: v1\nkind: Service\nmetadata: {name: %s, namespace: %s}\nspec:\n  clusterIP: %s\n"+
		"  selector: {istio: %s}\n  ports:", name, name, ipAt(172<<24|30<<16, g+1), name)
	for i := range gatewayPorts {
		fmt.Fprintf(&b, "  - {name: http-%d, port: %d, targetPort: %d}\n", i, gatewayPort+i, gatewayTarget+i)
	}
	for replica := range m.spec.Gateways.Replicas {
		w := m.GatewayPod(replica*m.spec.Gateways.Count + g)
		document(&b, "apiVersion: v1\nkind: Pod\nmetadata: {name: %s, namespace: %s, labels: {app: %s, istio: %s}}\n"+
			"spec:\n  serviceAccountName: %s\n  containers: [{name: istio-proxy, image: auto}]\n"+
			"status:\n  phase: Running\n  podIP: %s\n  podIPs: [{ip: %s}]\n  conditions: [{type: Ready, status: \"True\"}]",
			w.Name, name, name, name, name, w.Address, w.Address)
	}
	document(&b, "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: gateway, namespace: %s}\n"+
		"spec:\n  selector: {istio: %s}\n  servers:", name, name)
	for s := range m.spec.Gateways.Servers {
		protocol, tls := "HTTP", ""
		if m.spec.Gateways.secure(s) {
			protocol, tls = "HTTPS", fmt.Sprintf(", tls: {mode: SIMPLE, credentialName: %s}", credential(s))
		}
		fmt.Fprintf(&b, "  - {port: {number: %d, name: %s, protocol: %s}, hosts: [%q]%s}\n",
			gatewayPort+s%gatewayPorts, serverPort(s), protocol, gatewayHost(g, s), tls)
	}
	for s := range m.spec.Gateways.Servers {
		if m.spec.Gateways.secure(s) {
			m.renderSecret(&b, g, s, 0)
		}
	}
	for route := range m.spec.Gateways.Routes {
		m.renderGatewayRoute(&b, g, route, 0)
	}
	return b.Bytes()
}

func (m *Mesh) renderGatewayRoute(b *bytes.Buffer, g, route, generation int) {
	name := GatewayNamespace(g)
	s := m.named[(g*m.spec.Gateways.Routes+route)%len(m.named)]
	document(b, `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: %s-route-%d, namespace: %s}
spec:
  hosts: [r-%d.s-%d.%s.example.com]
  gateways: [%s/gateway]
  http:
  - match: [{uri: {prefix: /v2}}]
    timeout: %dms
    route: [{destination: {host: %s}}]
  - retries: {attempts: 3, perTryTimeout: 2s, retryOn: "5xx"}
    route: [{destination: {host: %s}}]`,
		name, route, m.namespaceOf(s), route, m.serverOf(route), name, name, 5000+generation, m.Host(s), m.Host(s))
}
