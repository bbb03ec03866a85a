package fleet

import (
	"fmt"
	"strings"
)

// Objects that concern a namespace, beside those of services.
const (
	sidecarYAML = `apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: default, namespace: team}
spec: {egress: [{hosts: ["shop/*"]}]}
`
	peersYAML = `apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: shop}
spec: {mtls: {mode: STRICT}}
`
)

// yaml gives a service with everything that belongs to it, so that all changes at once. Its answers
// carry the round's number, where rules can say so.
func (s *service) yaml(round int) string {
	var b strings.Builder
	protocol := "http"
	if s.tcp {
		protocol = "tcp"
	}
	fmt.Fprintf(&b, `apiVersion: v1
kind: Service
metadata: {name: %[1]s, namespace: %[2]s}
spec: {clusterIP: 10.96.%[3]d.%[4]d, selector: {app: %[1]s}, ports: [{name: %[6]s, port: %[5]d, targetPort: web}]}
`, s.name, namespace, s.port/250, s.port%250, s.port, protocol)
	for _, p := range s.pods {
		fmt.Fprintf(&b, `---
apiVersion: v1
kind: Pod
metadata: {name: %s, namespace: %s, labels: {app: %s, version: %s}}
spec: {serviceAccountName: default, containers: [{name: app, image: x, ports: [{name: web, containerPort: %d}]}]}
status: {podIP: %s, phase: Running, conditions: [{type: Ready, status: "True"}]}
`, p.name, namespace, s.name, p.version, p.port, p.address)
	}
	if s.ruled {
		fmt.Fprintf(&b, `---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: %[1]s, namespace: %[2]s}
spec: {host: %[1]s, trafficPolicy: {connectionPool: {tcp: {connectTimeout: %[3]ds}}}, subsets: [%[4]s]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: %[1]s, namespace: %[2]s}
spec: {hosts: [%[1]s], %[5]s}
`, s.name, namespace, s.timeout, s.subsets(), s.routes(round))
	}
	return b.String()
}

// versions are those of the pods that stay, in order.
func (s *service) versions() []string {
	var out []string
	for _, v := range []string{"v1", "v2", "v3"} {
		for _, p := range s.pods {
			if p.version == v && !p.leaving {
				out = append(out, v)
				break
			}
		}
	}
	return out
}

func (s *service) subsets() string {
	var out []string
	for _, v := range s.versions() {
		out = append(out, fmt.Sprintf("{name: %[1]s, labels: {version: %[1]s}}", v))
	}
	return strings.Join(out, ", ")
}

// routes shares requests out among the versions. Nothing is tried a second time, so that what fails
// is seen.
func (s *service) routes(round int) string {
	var out []string
	versions := s.versions()
	for i, v := range versions {
		weight := s.weight
		if i > 0 {
			weight = (100 - s.weight) / (len(versions) - 1)
		}
		if i == len(versions)-1 { // what is left of rounding
			weight = 100 - s.weight - (100-s.weight)/(len(versions)-1)*(len(versions)-2)
		}
		out = append(out, fmt.Sprintf("{destination: {host: %s, subset: %s}, weight: %d}", s.name, v, weight))
	}
	list := strings.Join(out, ", ")
	if s.tcp {
		return "tcp: [{route: [" + list + "]}]"
	}
	return fmt.Sprintf(`http: [{headers: {response: {set: {x-round: "%d"}}}, retries: {attempts: 0}, route: [%s]}]`, round, list)
}
