package analyze

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"
)

// alikes are objects of each kind, all of which want the same: what may be told of each pair of them.
func alikes() map[string]string {
	return map[string]string{
		"Gateway of one certificate":                       "{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: o%d, namespace: shop}, spec: {selector: {app: cart}, servers: [{port: {number: 443, name: h, protocol: HTTPS}, hosts: [h%[1]d.test], tls: {mode: SIMPLE, credentialName: c}}]}}",
		"Gateway of one certificate and each its selector": "{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: o%d, namespace: shop}, spec: {selector: {app: a%[1]d}, servers: [{port: {number: 443, name: h, protocol: HTTPS}, hosts: [h%[1]d.test], tls: {mode: SIMPLE, credentialName: c}}]}}",
		"Gateway of one host":                              "{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: o%d, namespace: shop}, spec: {selector: {app: cart}, servers: [{port: {number: 80, name: h, protocol: HTTP}, hosts: ['*']}]}}",
		"VirtualService of one host":                       "{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: o%d, namespace: shop}, spec: {hosts: [cart], http: [{route: [{destination: {host: cart}}]}]}}",
		"VirtualService of another protocol":               "{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: o%d, namespace: shop}, spec: {hosts: [h%[1]d.test], gateways: [g], tcp: [{route: [{destination: {host: cart}}]}], http: []}}",
		"VirtualService of one Gateway":                    "{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: o%d, namespace: shop}, spec: {hosts: [h%[1]d.test], gateways: [g], http: [{route: [{destination: {host: cart}}]}]}}",
		"DestinationRule of one host":                      "{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {name: o%d, namespace: shop}, spec: {host: cart, subsets: [{name: v%[1]d, labels: {app: cart}}]}}",
		"Sidecar of one workload":                          "{apiVersion: networking.istio.io/v1, kind: Sidecar, metadata: {name: o%d, namespace: shop}, spec: {workloadSelector: {labels: {app: cart}}, egress: [{hosts: ['./*']}]}}",
		"DestinationRule without TLS":                      "{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {name: o%d, namespace: shop}, spec: {host: cart, trafficPolicy: {tls: {mode: DISABLE}}}}\n---\n{apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {name: o%[1]d, namespace: shop}, spec: {mtls: {mode: STRICT}}}",
		"AuthorizationPolicy":                              "{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: o%d, namespace: shop}, spec: {selector: {matchLabels: {app: cart}}, rules: [{from: [{source: {namespaces: [shop]}}]}]}}",
		"AuthorizationPolicy that is refused":              "{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: o%d, namespace: shop}, spec: {action: DENY}}",
		"PeerAuthentication":                               "{apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {name: o%d, namespace: shop}, spec: {selector: {matchLabels: {app: cart}}, mtls: {mode: STRICT}}}",
		"RequestAuthentication":                            "{apiVersion: security.istio.io/v1, kind: RequestAuthentication, metadata: {name: o%d, namespace: shop}, spec: {selector: {matchLabels: {app: cart}}, jwtRules: [{issuer: i%[1]d, jwks: '{\"keys\":[]}'}]}}",
		"Telemetry":                                        "{apiVersion: telemetry.istio.io/v1, kind: Telemetry, metadata: {name: o%d, namespace: shop}, spec: {selector: {matchLabels: {app: cart}}, accessLogging: [{disabled: true}]}}",
		"EnvoyFilter":                                      "{apiVersion: networking.istio.io/v1alpha3, kind: EnvoyFilter, metadata: {name: o%d, namespace: shop}, spec: {workloadSelector: {labels: {app: cart}}, configPatches: [{applyTo: CLUSTER, match: {cluster: {name: x}}, patch: {operation: REMOVE}}]}}",
		"Service of one workload":                          "{apiVersion: v1, kind: Service, metadata: {name: o%d, namespace: shop}, spec: {selector: {app: cart}, ports: [{name: http, port: 80}]}}",
		"Pod":                                              "{apiVersion: v1, kind: Pod, metadata: {name: o%d, namespace: shop, labels: {app: cart}}, spec: {containers: [{name: c, image: x}]}}",
		"Namespace":                                        "{apiVersion: v1, kind: Namespace, metadata: {name: n%d}}",
		"Ingress of one host":                              "{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: o%d, namespace: shop}, spec: {ingressClassName: istio, rules: [{host: x.test, http: {paths: [{path: /%[1]d, pathType: Prefix, backend: {service: {name: cart, port: {number: 80}}}}]}}]}}",
	}
}

const aroundThem = `{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {istio-injection: enabled}}}
---
{apiVersion: v1, kind: Pod, metadata: {name: cart, namespace: shop, labels: {app: cart}}, spec: {containers: [{name: c, image: x}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: cart, namespace: shop}, spec: {selector: {app: cart}, ports: [{name: http, port: 80}]}}
---
{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: g, namespace: shop}, spec: {selector: {app: cart}, servers: [{port: {number: 81, name: h, protocol: HTTP}, hosts: ['*.test']}]}}
`

// What analyzers do of thousands of alike objects grows as these do, and not as their square.
func TestAnalyzersDoNotCompareAllWithAll(t *testing.T) {
	const few, factor = 375, 8
	for name, text := range alikes() {
		before := timed(t, text, few)
		for analyzer, took := range timed(t, text, few*factor) {
			// The square would be 8 times as much again. What takes no time tells nothing.
			if took > 250*time.Millisecond && took > 4*factor*before[analyzer] {
				t.Errorf("%s: %s takes %v for %d objects and %v for %d", name, analyzer, before[analyzer], few, took, few*factor)
			}
		}
	}
}

// Gateways that nobody of the files is selected by are translated for one router.
func TestGatewaysOfOneSelectorAreTranslatedOnce(t *testing.T) {
	const few, factor = 375, 8
	for name, text := range map[string]string{
		"in the clear":  "{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: o%d, namespace: shop}, spec: {selector: {app: edge}, servers: [{port: {number: 80, name: h, protocol: HTTP}, hosts: [h%[1]d.test, '*']}]}}",
		"TLS":           "{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: o%d, namespace: shop}, spec: {selector: {app: edge}, servers: [{port: {number: 443, name: h, protocol: HTTPS}, hosts: [h%[1]d.test], tls: {mode: SIMPLE, credentialName: c%[1]d}}]}}",
		"each its port": "{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: o%d, namespace: shop}, spec: {selector: {app: edge}, servers: [{port: {number: 2%04[1]d, name: h, protocol: HTTP}, hosts: ['*']}]}}",
		"with a rule":   "{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: o%d, namespace: shop}, spec: {selector: {app: edge}, servers: [{port: {number: 80, name: h, protocol: HTTP}, hosts: [h%[1]d.test]}]}}\n---\n{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: o%[1]d, namespace: shop}, spec: {hosts: [h%[1]d.test], gateways: [o%[1]d], http: [{route: [{destination: {host: cart}}]}]}}",
	} {
		before, after := translated(t, text, few), translated(t, text, few*factor)
		// The square would be 8 times as much again. What takes no time tells nothing.
		if after > 500*time.Millisecond && after > 4*factor*before {
			t.Errorf("%s: %d take %v, and %d %v", name, few, before, few*factor, after)
		}
	}
}

// translated gives how long the translation of so many objects takes.
func translated(t *testing.T, text string, n int) time.Duration {
	t.Helper()
	m := load([]File{{Name: "f", Data: manyOf(text, n)}})
	start := used(t)
	if err := m.translate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return used(t) - start
}

// timed gives how long each analyzer takes of so many objects.
func timed(t *testing.T, text string, n int) map[string]time.Duration {
	t.Helper()
	m := decoded([]File{{Name: "f", Data: manyOf(text, n)}})
	m.deny()
	m.settle()
	out := map[string]time.Duration{}
	for _, a := range Analyzers() {
		start := used(t)
		a.find(m)
		out[a.Name] = used(t) - start
	}
	return out
}

// used gives the processor's time of the tests so far, which on a busy machine tells more than the clock.
func used(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func manyOf(text string, n int) []byte {
	var b strings.Builder
	b.WriteString(aroundThem)
	for i := range n {
		b.WriteString("---\n")
		fmt.Fprintf(&b, text+"\n", i)
	}
	return []byte(b.String())
}
