package random

import (
	"fmt"
	"strings"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// subnet tells the pods' and services' addresses of a namespace apart.
func subnet(namespace string) int {
	switch namespace {
	case "a":
		return 1
	case "b":
		return 2
	}
	return 3
}

// pod is one of those behind the services, often that of a client. Which port it calls web moves,
// also to a container that starts first and keeps running.
func (e *editor) pod() string {
	ns := e.namespace()
	i := e.rng.IntN(sidecars + 2)
	labels := fmt.Sprintf("app: s%d, version: %s%s%s", e.rng.IntN(4), e.one("v1", "v2"),
		e.one("", ", security.istio.io/tlsMode: istio")+e.one("", "", ", topology.istio.io/network: n1", ", topology.istio.io/network: n2"), e.one("", "", ", istio-locality: r1.z1", ", istio-locality: r1.z2"))
	return e.podNamed(fmt.Sprintf("p%d", i), ns, labels, i+1)
}

func (e *editor) podNamed(name, ns, labels string, host int) string {
	web, other := e.one("8080", "9090"), ""
	if e.rng.IntN(5) == 0 {
		other = fmt.Sprintf("initContainers: [{name: first, image: x, restartPolicy: Always, ports: [{name: %s, containerPort: 7070}]}], ",
			e.one("web", "admin"))
	}
	return fmt.Sprintf(`apiVersion: v1
kind: Pod
metadata: {name: %s, namespace: %s, labels: {%s}}
spec: {serviceAccountName: sa%d, nodeName: n%d, %scontainers: [{name: app, image: x, ports: [{name: web, containerPort: %s}]}]}
status: {podIP: 10.0.%d.%d, phase: %s, conditions: [{type: Ready, status: "%s"}]}`,
		name, ns, labels, e.rng.IntN(2), e.rng.IntN(2), other, web,
		subnet(ns), host, e.one("Running", "Running", "Running", "Running", "Failed"), e.one("True", "True", "True", "False"))
}

// slice lists endpoints of a service, some of which are pods.
func (e *editor) slice() string {
	svc, ns := e.service(), e.namespace()
	endpoint := func() string {
		conditions := e.one("ready: true", "ready: true", "ready: false", "ready: false, serving: true, terminating: true")
		if e.rng.IntN(3) == 0 {
			i := e.rng.IntN(3)
			return fmt.Sprintf("{addresses: [10.0.%d.%d], targetRef: {kind: Pod, name: p%d, namespace: %s}, conditions: {%s}}", subnet(ns), i+1, i, ns, conditions)
		}
		return fmt.Sprintf("{addresses: [10.0.9.%d], zone: %s, conditions: {%s}}", 1+e.rng.IntN(3), e.one("z1", "z2"), conditions)
	}
	return fmt.Sprintf(`apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: %s-%s, namespace: %s, labels: {kubernetes.io/service-name: %s}}
addressType: IPv4
ports: [%s]
endpoints: [%s]`,
		svc, e.one("x", "y"), ns, svc, e.some(2, "{name: http, port: "+e.one("8080", "9090")+"}", "{name: tcp, port: 9000}"),
		e.some(3, endpoint(), endpoint(), endpoint()))
}

func (e *editor) serviceObject() string { return e.serviceNamed(e.service(), e.namespace()) }

// serviceNamed is a service of some shape: headless, without a selector, or an alias.
func (e *editor) serviceNamed(name, ns string) string {
	ports := e.one("{name: http, port: 80, targetPort: 8080}", "{name: http, port: 80, targetPort: web}, {name: tcp, port: 9000}",
		"{name: http, port: 80}, {name: http-admin, port: 81, targetPort: admin}", "{name: tls, port: 443}, {name: http, port: 80}",
		"{name: tcp, port: 80}", "{name: http, port: 80, targetPort: 9090}", "{port: 80}", "{name: grpc, port: 80}, {name: udp, port: 53, protocol: UDP}")
	ip := fmt.Sprintf("10.96.%d.%s", subnet(ns), strings.TrimLeft(name, "swg"))
	shape := fmt.Sprintf("clusterIP: %s, selector: {app: %s}", ip, name)
	switch e.rng.IntN(10) {
	case 0, 1:
		shape = fmt.Sprintf("clusterIP: None, selector: {app: %s}", name)
	case 2:
		shape = "clusterIP: " + ip
	case 3:
		shape = fmt.Sprintf("clusterIP: %s, publishNotReadyAddresses: true, selector: {app: %s, version: v1}", ip, name)
	case 4:
		if e.rng.IntN(3) == 0 { // often of another alias, also in a circle
			shape = "type: ExternalName, externalName: " + e.one("w.example.com", e.service()+"."+e.namespace()+".svc.cluster.local", e.service()+"."+e.namespace()+".svc.cluster.local")
		}
	case 5:
		shape = fmt.Sprintf("clusterIP: %s, clusterIPs: [%s, 'fd00::%d:%s'], ipFamilyPolicy: PreferDualStack, selector: {app: %s}", ip, ip, subnet(ns), strings.TrimLeft(name, "swg"), name)
	}
	return fmt.Sprintf(`apiVersion: v1
kind: Service
metadata: {name: %s, namespace: %s, annotations: {networking.istio.io/exportTo: "%s"}}
spec: {%s, ports: [%s]}`, name, ns, e.one("", "*", "*", ".", "~", "a", "b", ".,b", model.RootNamespace), shape, ports)
}

// mesh is the mesh configuration, in the ConfigMap that the control plane reads. Root and default
// scopes are mostly the usual ones, since they change what all else means.
func (e *editor) mesh() string {
	root := e.one(model.RootNamespace, model.RootNamespace, model.RootNamespace, "b")
	scope := func(field string) string {
		return e.one("", "", "", "    "+field+": ['"+e.one("*", ".", "~", "b")+"']\n")
	}
	return fmt.Sprintf(`apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data:
  mesh: |
    rootNamespace: %s
    connectTimeout: %ds
    outboundTrafficPolicy: {mode: %s}
    accessLogFile: '%s'
    enableAutoMtls: %s
    proxyHttpPort: %s
%s%s%s%s%s%s`,
		root, 1+e.rng.IntN(2), e.one("ALLOW_ANY", "REGISTRY_ONLY"), e.one("", "/dev/stdout"), e.one("true", "true", "false"), e.one("0", "0", "15002", "15003"),
		scope("defaultVirtualServiceExportTo"), scope("defaultDestinationRuleExportTo"), scope("defaultServiceExportTo"), e.authorizers(),
		e.entryVisibility(), e.one("", "", "    "+e.zones()+"\n", "    "+e.localities()+"\n")) + e.one("", "", e.meshNetworks())
}

// meshNetworks are a part of the same ConfigMap: what is in which network, and gateways between them.
func (e *editor) meshNetworks() string {
	network := func() string {
		return "{endpoints: [" + e.one("", "{fromCidr: 10.0.0.0/16}", "{fromRegistry: Kubernetes}", "{fromCidr: 10.0.9.0/24}") + "], gateways: [" +
			e.one("", "", "{address: 203.0.113.1, port: 443}", "{address: 203.0.113.1, port: 443}, {address: 203.0.113.2, port: 443}") + "]}"
	}
	return "\n  meshNetworks: |\n    networks:\n      n1: " + network() + "\n      n2: " + network()
}

// entryVisibility bounds by the labels of namespaces how far ServiceEntries are seen.
func (e *editor) entryVisibility() string {
	how := func() string { return e.one("NONE", "NAMESPACE", "PUBLIC") }
	matching := e.one("matchLabels: {team: x}", "matchExpressions: [{key: team, operator: NotIn, values: ['y']}]", "matchLabels: {kubernetes.io/metadata.name: a}")
	return e.one("", "", "    serviceEntryVisibility: {applyToSidecars: true, defaultVisibility: "+how()+
		", policies: [{visibility: "+how()+", matchingRules: [{namespaceSelector: {"+matching+"}}]}]}\n")
}

func (e *editor) namespaceObject() string {
	return fmt.Sprintf("apiVersion: v1\nkind: Namespace\nmetadata: {name: %s, labels: {team: %s}}", e.namespace(), e.one("x", "y"))
}
