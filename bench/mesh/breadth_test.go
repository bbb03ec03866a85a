package mesh

import (
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func broad() Spec {
	spec := small()
	spec.Breadth = Breadth{ServiceEntries: 50, Policies: 100, EnvoyFilters: 25}
	return spec
}

func TestBreadthIsOfAllSorts(t *testing.T) {
	spec := broad()
	spec.Gateways = Gateways{Count: 2, Servers: 10, Routes: 5, Replicas: 1, TLS: true}
	_, text := written(t, spec)
	for what, want := range map[string]int{
		"kind: ServiceEntry\n": 50, "resolution: DNS\n": 17, "resolution: STATIC\n": 17, "resolution: NONE\n": 16,
		"kind: AuthorizationPolicy\n": 60, "kind: RequestAuthentication\n": 20, "kind: PeerAuthentication\n": 20,
		"kind: EnvoyFilter\n": 25, "applyTo: CLUSTER\n": 5, "applyTo: NETWORK_FILTER\n": 5, "applyTo: VIRTUAL_HOST\n": 5,
		"context: SIDECAR_INBOUND": 5, "context: GATEWAY": 5,
		"kind: Secret\n": 16, "protocol: HTTPS}": 16, "credentialName: cert-1}": 2,
	} {
		if got := strings.Count(text, what); got != want {
			t.Errorf("%q is there %d times, want %d", what, got, want)
		}
	}
	if of := regexp.MustCompile(`kind: EnvoyFilter\nmetadata: \{name: [a-z0-9-]+, namespace: ns-0\}`).FindString(text); of != "" {
		t.Errorf("ns-0 has one: %s", of)
	}
}

func TestASecretHasAPairForItsHost(t *testing.T) {
	spec := small()
	spec.Gateways = Gateways{Count: 1, Servers: 2, Routes: 5, Replicas: 1, TLS: true}
	m, text := gatewaysText(t, spec)
	var names []string
	for _, data := range []string{text, string(first(m.Secret(0)).Data), string(first(m.Secret(0)).Data)} {
		found := regexp.MustCompile(`tls.crt: (\S+), tls.key: (\S+)}`).FindStringSubmatch(data)
		if found == nil {
			t.Fatalf("no Secret in %s", data)
		}
		var pair [2][]byte
		for i := range pair {
			var err error
			if pair[i], err = base64.StdEncoding.DecodeString(found[i+1]); err != nil {
				t.Fatal(err)
			}
		}
		cert, err := tls.X509KeyPair(pair[0], pair[1])
		if err != nil {
			t.Fatal(err)
		}
		if err := cert.Leaf.VerifyHostname("r-1.s-1.gateway-0.example.com"); err != nil {
			t.Error(err)
		}
		names = append(names, found[1])
	}
	if slices.Sort(names); len(slices.Compact(names)) != 3 {
		t.Error("two generations have one certificate")
	}
	if got, want := m.GatewayRoutes(0, 1), "https.81.http-1.gateway.gateway-0"; got != want {
		t.Errorf("the routes are in %s, want %s", got, want)
	}
}

func first(e Edit, _ string) Edit { return e }

func TestChangesOfBreadthAreOthersEachTime(t *testing.T) {
	m, text := written(t, broad())
	for name, edit := range map[string]func() Edit{
		"policy of a workload": m.PolicyOfWorkload, "policy of all": m.PolicyOfAll, "filter of a workload": m.FilterOfWorkload,
		"external":              func() Edit { return first(m.External()) },
		"filter of a namespace": func() Edit { return first(m.FilterOfNamespace()) },
	} {
		if a, b := edit(), edit(); a.Path != b.Path || bytes.Equal(a.Data, b.Data) {
			t.Errorf("%s: a second change is none, or is in another file", name)
		}
	}
	if _, cluster := m.External(); !strings.Contains(text, "name: ext-0, namespace: ns-0}") || cluster != "outbound|443||ext-0.example.net" {
		t.Errorf("the external service of ns-0 is %s", cluster)
	}
	if w := m.Workload(m.Fixed(1)); w.ServiceAccount != m.Alone() || w.Namespace != Namespace(0) || w.Labels["app"] != m.Alone() {
		t.Errorf("%+v is not %s", w, m.Alone())
	}
}
