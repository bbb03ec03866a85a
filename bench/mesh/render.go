package mesh

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
)

const region = "region-1"

func zone(n int) string { return fmt.Sprintf("zone-%d", n) }

// renderNamespace gives everything in a namespace.
func (m *Mesh) renderNamespace(n int) []byte {
	var b bytes.Buffer
	ns := Namespace(n)
	document(&b, "apiVersion: v1\nkind: Namespace\nmetadata: {name: %s, labels: {istio-injection: enabled}}", ns)
	if m.spec.Scoped {
		document(&b, "apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: default, namespace: %s}\n"+
			"spec: {egress: [{hosts: [./*, istio-system/*]}]}", ns)
	}
	for _, s := range m.inNS[n] {
		m.renderService(&b, s)
		for o := range m.spec.Endpoints {
			p := &m.pods[m.index(s, o)]
			m.renderPod(&b, p, p.rolled, running)
		}
	}
	for i := range m.spec.DestinationRules {
		if m.namespaceOf(m.hosts[i]) == ns {
			m.renderRule(&b, i, 0)
		}
	}
	for i := range m.spec.VirtualServices {
		if m.namespaceOf(m.hosts[i]) == ns {
			m.renderRoute(&b, i, 0)
		}
	}
	m.renderBreadth(&b, n)
	return b.Bytes()
}

func document(b *bytes.Buffer, format string, args ...any) {
	b.WriteString("---\n")
	fmt.Fprintf(b, format, args...)
	b.WriteByte('\n')
}

func (m *Mesh) renderService(b *bytes.Buffer, s int) {
	name := fmt.Sprintf("svc-%d", s)
	document(b, "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: %s, namespace: %s}", name, m.namespaceOf(s))
	ip, port, protocol := ipAt(172<<24|20<<16, s+1).String(), HTTPPort, "http"
	if m.headless(s) {
		ip, port, protocol = "None", tcpPort, "tcp"
	}
	document(b, "apiVersion: v1\nkind: Service\nmetadata: {name: %s, namespace: %s, labels: {app: %s}}\n"+
		"spec:\n  clusterIP: %s\n  selector: {app: %s}\n  ports: [{name: %s, port: %d, targetPort: %d}]",
		name, m.namespaceOf(s), name, ip, name, protocol, port, port)
}

// phase is a pod's stage of life.
type phase int

const (
	running phase = iota
	terminating
	ended
)

// renderPod gives a pod as it is after it was replaced so often, with what an API server shows.
func (m *Mesh) renderPod(b *bytes.Buffer, p *pod, rolled int, at phase) {
	labels, err := json.Marshal(m.podLabels(p, rolled))
	if err != nil { // a map of strings always marshals
		labels = []byte("{}")
	}
	owner, kind := fmt.Sprintf("svc-%d-v%d-%s", p.service, m.version(p.ordinal), m.podHash(p, rolled)), "ReplicaSet"
	if m.headless(p.service) {
		owner, kind = fmt.Sprintf("svc-%d", p.service), "StatefulSet"
	}
	deletion, status := "", "Running"
	switch at {
	case terminating:
		deletion = "\n  deletionTimestamp: \"2026-01-01T00:00:00Z\""
	case ended:
		status = "Succeeded"
	}
	address := m.podAddress(p, rolled)
	port := HTTPPort
	if m.headless(p.service) {
		port = tcpPort
	}
	document(b, `apiVersion: v1
kind: Pod
metadata:
  name: %s
  namespace: %s%s
  labels: %s
  annotations: {example.org/checked: "%d"}
  ownerReferences: [{apiVersion: apps/v1, kind: %s, name: %s, uid: %s, controller: true}]
spec:
  serviceAccountName: svc-%d
  containers: [{name: app, image: example.org/app:v1, ports: [{containerPort: %d}]}]
status:
  phase: %s
  podIP: %s
  podIPs: [{ip: %s}]
  conditions: [{type: Ready, status: "True", message: "checked %d times"}]`,
		m.podName(p, rolled), m.namespaceOf(p.service), deletion, labels, p.notes, kind, owner, owner,
		p.service, port, status, address, address, p.notes)
}

// podName is as Deployments and StatefulSets give names.
func (m *Mesh) podName(p *pod, rolled int) string {
	if m.headless(p.service) {
		return fmt.Sprintf("svc-%d-%d", p.service, p.ordinal)
	}
	name := fmt.Sprintf("svc-%d-v%d-%s-%s", p.service, m.version(p.ordinal), m.podHash(p, rolled), p.suffix)
	return name
}

// podHash changes when the Deployment is rolled out.
func (m *Mesh) podHash(p *pod, rolled int) string {
	if rolled == 0 {
		return p.hash
	}
	return fmt.Sprintf("%s%d", p.hash[:8], 10+rolled%90)
}

func (m *Mesh) podLabels(p *pod, rolled int) map[string]string {
	app, version := fmt.Sprintf("svc-%d", p.service), fmt.Sprintf("v%d", m.version(p.ordinal))
	labels := map[string]string{
		"app": app, "version": version, "security.istio.io/tlsMode": "istio",
		"service.istio.io/canonical-name": app, "service.istio.io/canonical-revision": version,
		"topology.kubernetes.io/region": region, "topology.kubernetes.io/zone": zone(p.zone),
	}
	if m.headless(p.service) {
		labels["statefulset.kubernetes.io/pod-name"] = m.podName(p, rolled)
		labels["apps.kubernetes.io/pod-index"] = fmt.Sprint(p.ordinal)
		labels["controller-revision-hash"] = app + "-" + m.podHash(p, rolled)
	} else {
		labels["pod-template-hash"] = m.podHash(p, rolled)
	}
	return labels
}

// podAddress is in 10.0.0.0/8 and another one after each change.
func (m *Mesh) podAddress(p *pod, rolled int) netip.Addr {
	const changes = 100 // after so many an address comes back
	n := (p.address+7*rolled)%changes*len(m.pods) + m.index(p.service, p.ordinal)
	return ipAt(10<<24, n%(1<<24-2)+1)
}

func ipAt(base, n int) netip.Addr {
	ip := uint32(base + n)
	return netip.AddrFrom4([4]byte{byte(ip >> 24), byte(ip >> 16), byte(ip >> 8), byte(ip)})
}

// exportTo gives the namespaces that an object is exported to, as YAML.
func (m *Mesh) exportTo(i int) string {
	switch Reach(i) {
	case ReachNamespace:
		return `["."]`
	case ReachTenth:
		return "[" + strings.Join(m.tenth(), ", ") + "]"
	default:
		return `["*"]`
	}
}

func (m *Mesh) renderRule(b *bytes.Buffer, i, generation int) {
	s := m.hosts[i]
	failover := ""
	if i%failoverEvery == failoverEvery-1 {
		failover = "\n    loadBalancer: {localityLbSetting: {enabled: true}}" +
			"\n    outlierDetection: {consecutive5xxErrors: 5, interval: 10s}"
	}
	document(b, `apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: svc-%d, namespace: %s}
spec:
  host: %s
  exportTo: %s
  trafficPolicy:
    connectionPool: {tcp: {maxConnections: %d}, http: {http1MaxPendingRequests: 100}}%s
  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]`,
		s, m.namespaceOf(s), m.Host(s), m.exportTo(i), 1000+generation, failover)
}

func (m *Mesh) renderRoute(b *bytes.Buffer, i, generation int) {
	s := m.hosts[i]
	subset := func(v int) string {
		if i < m.spec.DestinationRules {
			return fmt.Sprintf("{host: %s, subset: v%d}", m.Host(s), v)
		}
		return fmt.Sprintf("{host: %s}", m.Host(s))
	}
	document(b, `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: svc-%d, namespace: %s}
spec:
  hosts: [%s]
  exportTo: %s
  http:
  - match: [{uri: {prefix: /v2}, headers: {end-user: {exact: tester}}}]
    timeout: %dms
    route: [{destination: %s}]
  - retries: {attempts: 3, perTryTimeout: 2s, retryOn: "5xx"}
    route: [{destination: %s, weight: 90}, {destination: %s, weight: 10}]`,
		s, m.namespaceOf(s), m.Host(s), m.exportTo(i), 5000+generation, subset(2), subset(1), subset(2))
}
