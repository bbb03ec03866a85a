package random

import (
	"fmt"
	"strings"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// gateway selects all, some or none of the routers. Its servers share ports with those of others,
// and their hosts meet those of VirtualServices or not.
func (e *editor) gateway() string {
	var servers strings.Builder
	for i := range 1 + e.rng.IntN(3) {
		fmt.Fprintf(&servers, "\n  - %s", e.gatewayServer(i))
	}
	selector := e.one("istio: ingressgateway", "istio: ingressgateway", "istio: egressgateway", "istio: ingressgateway, app: edge", "app: edge", "")
	return fmt.Sprintf(`apiVersion: networking.istio.io/v1
kind: Gateway
%s
spec:
  selector: {%s}
  servers:%s`, e.metadata(fmt.Sprintf("g%d", e.rng.IntN(2)), e.anyNamespace()), selector, servers.String())
}

// gatewayServer binds only to addresses that an Envoy in a network namespace of its own has.
func (e *editor) gatewayServer(i int) string {
	protocol, tls := e.one("HTTP", "HTTP", "HTTP", "HTTP2", "GRPC", "HTTPS", "TLS"), ""
	switch {
	case protocol == "HTTPS":
		tls = ", tls: {mode: SIMPLE, credentialName: cert}"
	case protocol == "TLS":
		tls = ", tls: {mode: " + e.one("PASSTHROUGH", "PASSTHROUGH", "AUTO_PASSTHROUGH") + "}"
	case e.rng.IntN(5) == 0:
		tls = ", tls: {httpsRedirect: true}"
	}
	bind := e.one("", "", "", "", "", ", bind: 127.0.0.1", ", bind: 127.0.0.2", ", bind: 0.0.0.0")
	hosts := e.some(3, "'*'", "'*.example.com'", "w.example.com", "v.example.com", "a/w.example.com", "b/w.example.com", "./w.example.com",
		"'./*'", "'./*.example.com'", "'*/*'", "'*/v.example.com'", "'a/*'", "'b/*.example.com'", "s1.a.svc.cluster.local",
		"'*.a.svc.cluster.local'", "'*/*.svc.cluster.local'", "none.example.org")
	return fmt.Sprintf("{port: {number: %s, name: p%d, protocol: %s}, hosts: [%s]%s%s}",
		e.one("80", "80", "8080", "8443", "9000"), i, protocol, hosts, tls, bind)
}

// gatewayNames are gateways in all the ways in which a VirtualService names them.
func (e *editor) gatewayNames() string {
	return e.some(3, "mesh", "mesh", "g0", "g0", "g1", "a/g0", "a/g1", "b/g0", "b/g1", model.RootNamespace+"/g0", model.RootNamespace+"/g1", "b/none")
}

// Routers live in the root namespace, or in that of some of the sidecars.
func (e *editor) routerNamespace() string {
	return e.one(model.RootNamespace, model.RootNamespace, model.RootNamespace, "a")
}

// routerLabels tell which Gateway objects select a router.
func (e *editor) routerLabels() map[string]string {
	out := map[string]string{"istio": e.one("ingressgateway", "ingressgateway", "egressgateway")}
	if e.rng.IntN(3) == 0 {
		out["app"] = "edge"
	}
	return out
}

// routerPod is the pod of a router, whose labels count for more than what it says of itself.
func (e *editor) routerPod() string {
	i := sidecars + e.rng.IntN(routers)
	labels := e.routerLabels()
	text := "istio: " + labels["istio"]
	if labels["app"] != "" {
		text += ", app: " + labels["app"]
	}
	return e.podNamed(routerName(i), e.routerNamespace(), text, routerHost+i)
}

// routerService tells on which of its own ports a router listens for one that a Gateway names.
func (e *editor) routerService() string {
	return fmt.Sprintf(`apiVersion: v1
kind: Service
metadata: {name: gw%d, namespace: %s, labels: {%s}}
spec: {clusterIP: 10.96.3.%d, externalIPs: [%s], selector: {%s}, ports: [%s]}`, e.rng.IntN(2), e.routerNamespace(),
		e.one("", "", "topology.istio.io/network: n1", "topology.istio.io/network: n2"), 1+e.rng.IntN(2), e.one("", "203.0.113.7"),
		e.one("istio: ingressgateway", "istio: egressgateway", "app: edge"),
		e.some(2, "{name: http, port: 80, targetPort: "+e.one("80", "8080", "web")+"}", "{name: http-alt, port: 8443, targetPort: "+e.one("8443", "8080")+"}"))
}

// ingress is of the mesh's class, of one that an object tells, or of another one's.
func (e *editor) ingress() string {
	class := e.one("", "ingressClassName: c0, ", "ingressClassName: c1, ", "ingressClassName: none, ")
	annotation := e.one("", "", ", annotations: {kubernetes.io/ingress.class: istio}", ", annotations: {kubernetes.io/ingress.class: other}")
	var paths []string
	for range 1 + e.rng.IntN(3) {
		paths = append(paths, fmt.Sprintf("{path: %s, pathType: %s, backend: {service: {name: s%d, port: {%s}}}}",
			e.one("/", "/a", "/a/b/", "/a/*"), e.one("Exact", "Prefix", "Prefix", "ImplementationSpecific"), e.rng.IntN(3), e.one("number: 80", "number: 9000", "name: http", "name: none")))
	}
	return fmt.Sprintf(`apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: i%d, namespace: %s%s}
spec: {%stls: [%s], rules: [{%shttp: {paths: [%s]}}]}`, e.rng.IntN(2), e.anyNamespace(), annotation, class,
		e.one("", "{secretName: cert}", "{secretName: cert, hosts: [w.example.com]}"), e.one("", "host: w.example.com, ", "host: '*.example.com', "), strings.Join(paths, ", "))
}

func (e *editor) ingressClass() string {
	return fmt.Sprintf(`apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: c%d, annotations: {ingressclass.kubernetes.io/is-default-class: '%s'}}
spec: {controller: %s}`, e.rng.IntN(2), e.one("true", "false"), e.one("istio.io/ingress-controller", "other.io/x"))
}
