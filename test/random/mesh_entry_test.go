package random

import "fmt"

// serviceEntry is one of few hosts, so that several meet, also with a Service and with VirtualServices.
func (e *editor) serviceEntry() string {
	ns := e.anyNamespace()
	hosts := e.some(2, "w.example.com", "w.example.com", "v.example.com", "x.example.com", e.service()+"."+e.namespace()+".svc.cluster.local")
	ports := e.one("{number: 80, name: http, protocol: HTTP}", "{number: 80, name: http, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}",
		"{number: 9000, name: tcp, protocol: TCP, targetPort: 9090}", "{number: 443, name: https, protocol: HTTPS}", "{number: 80, name: auto}",
		"{number: 80, name: grpc, protocol: GRPC}, {number: 9000, name: mongo, protocol: MONGO}")
	addresses := e.one("", "", "\n  addresses: [10.97.0.1]", "\n  addresses: [10.97.0.1, 10.97.0.2]")
	var found string
	switch e.rng.IntN(7) {
	case 0:
		found = "\n  resolution: NONE"
		addresses = e.one(addresses, "\n  addresses: [10.97.0.0/24]", "\n  addresses: [10.97.0.0/24, 10.98.0.0/24]")
		hosts = e.one(hosts, "'*.example.com'")
	case 1:
		found = "\n  resolution: DNS" + e.one("", "\n  endpoints: [{address: a.example.net}, {address: 10.99.0.1, labels: {version: v1}}]", e.workloadSelector())
	case 2:
		found = "\n  resolution: DNS_ROUND_ROBIN" + e.one("", "\n  endpoints: [{address: a.example.net, locality: r1/z1}]", e.workloadSelector())
	case 6:
		found, hosts = "\n  resolution: DYNAMIC_DNS", e.one("'*.example.com'", "'*.example.com', '*.example.net'")
		ports = e.one("{number: 80, name: http, protocol: HTTP}", "{number: 80, name: http, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}")
	case 3:
		found = "\n  resolution: STATIC" + e.workloadSelector()
	default:
		found = "\n  resolution: STATIC\n  endpoints: [" + e.some(3, "{address: 10.99.0.1, locality: r1/z1}", "{address: 10.99.0.2, weight: 3, labels: {version: v1}}",
			"{address: 10.99.0.3, serviceAccount: sa0, labels: {version: v2}}", "{address: 10.99.0.4, network: n2, locality: r1/z2}") + "]"
	}
	return fmt.Sprintf(`apiVersion: networking.istio.io/v1
kind: ServiceEntry
%s
spec:
  hosts: [%s]
  location: %s
  ports: [%s]%s%s%s%s`, e.metadata(fmt.Sprintf("e%d", e.rng.IntN(3)), ns), hosts, e.one("MESH_EXTERNAL", "MESH_INTERNAL"), ports,
		addresses, found, e.exportTo(), e.one("", "", "\n  subjectAltNames: [spiffe://cluster.local/ns/x/sa/y, w.example.com]"))
}

// workloadSelector selects pods and WorkloadEntries.
func (e *editor) workloadSelector() string {
	return "\n  workloadSelector: {labels: {" + e.one("app: s0", "app: s1", "version: v1", "app: s1, version: v2") + "}}"
}

// workloadEntry is one that Services and ServiceEntries select by their labels, those of its metadata and
// of its spec.
func (e *editor) workloadEntry() string {
	i := e.rng.IntN(4)
	health := e.one("", "", ", annotations: {proxy.istio.io/health-checks-enabled: 'true'}")
	status := e.one("", "\nstatus: {conditions: [{type: Healthy, status: 'True'}]}", "\nstatus: {conditions: [{type: Healthy, status: 'False'}]}")
	return fmt.Sprintf(`apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: w%d, namespace: %s, labels: {%s}%s}
spec: {address: %s, labels: {app: %s}%s%s%s%s}%s`, i, e.namespace(), e.one("version: v1", "version: v2", "app: s0, version: v1"), health,
		e.one(fmt.Sprintf("10.99.1.%d", i), fmt.Sprintf("10.99.1.%d", i), "10.99.1.9", "vm.example.net"), e.one("s0", "s1", "s2"),
		e.one("", ", serviceAccount: sa0"), e.one("", ", ports: {http: 8081, web: 8082}"), e.one("", ", locality: r1/z2, weight: 5"), e.one("", "", ", network: n2"), status)
}
