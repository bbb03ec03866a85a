package store

import (
	"slices"
	"strings"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/file"
)

// Endpoints that somebody wrote by hand may be pods of another namespace. The pod at the address says who it is; one
// that a reference names is of the slice's own namespace, whatever the reference says.
func TestEndpointsInAnotherNamespace(t *testing.T) {
	const mesh = `{apiVersion: v1, kind: Service, metadata: {name: a, namespace: default}, spec: {clusterIP: 10.96.0.1, ports: [{name: http, port: 80}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: other, labels: {security.istio.io/tlsMode: istio, version: v1}}, spec: {serviceAccountName: there, containers: [{name: a, image: a}]}, status: {podIP: 10.0.0.1}}
---
{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: default, labels: {version: v2}}, spec: {serviceAccountName: here, containers: [{name: a, image: a}]}, status: {podIP: 10.0.0.2}}
---
`
	slice := func(namespace, endpoint string) string {
		return mesh + "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: x, namespace: " + namespace +
			", labels: {kubernetes.io/service-name: a}}, addressType: IPv4, ports: [{name: http, port: 80}], endpoints: [{" + endpoint + "}]}"
	}
	for name, c := range map[string]struct {
		input, namespace, tls, version, account string
	}{
		"by its address": {slice("default", "addresses: [10.0.0.1]"), "other", model.TLSModeIstio, "v1", "other/sa/there"},
		"by a reference, which stays in its namespace": {
			slice("default", "addresses: [10.0.0.1], targetRef: {kind: Pod, name: p, namespace: other}"),
			"default", model.TLSModeDisabled, "v2", "default/sa/here",
		},
		"nobody's":                            {slice("default", "addresses: [10.0.0.3]"), "default", model.TLSModeDisabled, "", ""},
		"a slice of another namespace is not": {slice("other", "addresses: [10.0.0.1]"), "", "", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			objects, problems := file.Decode([]byte(c.input), "test.yaml")
			if len(problems) > 0 {
				t.Fatal(problems)
			}
			s := FromObjects(objects, Options{})
			const host = "a.default.svc.cluster.local"
			got := s.Endpoints(model.ServiceID{Namespace: "default", Hostname: host})
			if c.namespace == "" {
				if len(got) > 0 {
					t.Errorf("it has endpoints: %v", got)
				}
				return
			}
			if len(got) != 1 || got[0].Namespace != c.namespace || got[0].TLSMode != c.tls || got[0].Labels["version"] != c.version {
				t.Errorf("endpoints %+v, want one of namespace %s, TLS %s, version %q", got, c.namespace, c.tls, c.version)
			}
			accounts := s.Reader(nil).Service("default", host).ServiceAccounts
			if want := c.account; want == "" && len(accounts) > 0 || want != "" && !slices.ContainsFunc(accounts, func(a string) bool { return strings.HasSuffix(a, "/ns/"+want) }) {
				t.Errorf("identities %v, want of %q", accounts, want)
			}
		})
	}
}
