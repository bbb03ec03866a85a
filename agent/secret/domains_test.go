package secret

import (
	"testing"

	"google.golang.org/protobuf/proto"
	meshconfig "istio.io/api/mesh/v1alpha1"
)

// Trust domains that have roots of their own are with the roots, but for those who ask for the workload's own; what
// the CA adds to these, and a list, leave them there.
func TestTrustDomainsAreBesideTheRoots(t *testing.T) {
	ours, next, theirs := newAuthority(t), newAuthority(t), newAuthority(t)
	m := New(Config{Logger: quietLog})
	take := func(domains map[string]string) error {
		value, err := proto.Marshal(&meshconfig.ProxyConfig{
			CaCertificatesPem: []string{string(ours.RootPEM())}, ProxyMetadata: domains,
		})
		if err != nil {
			t.Fatal(err)
		}
		return m.TakeTrust(value)
	}
	if err := take(map[string]string{"spiffe://ours": "", "spiffe://far": string(theirs.RootPEM()), "PATH": "x"}); err != nil {
		t.Fatal(err)
	}
	first := m.Roots()
	m.set(&Value{}, &Value{Version: "x", Roots: next.RootPEM()})
	for _, v := range []*Value{first, m.Roots(), withCRL(m.Roots(), []byte("list"))} {
		if len(v.Domains) != 2 || v.Domains[0].Name != "far" || string(v.Domains[0].Roots) != string(theirs.RootPEM()) ||
			v.Domains[1].Name != "ours" || len(v.Domains[1].Roots) > 0 {
			t.Errorf("domains are %+v", v.Domains)
		}
	}
	if v, err := m.Secret(OwnRoot); err != nil || len(v.Domains) > 0 || string(v.Roots) != string(ours.RootPEM())+string(next.RootPEM()) {
		t.Errorf("own roots: %+v, %v", v, err)
	}
	if err := take(map[string]string{"spiffe://ours": "", "spiffe://far": "x"}); err == nil {
		t.Error("a domain whose roots cannot be read is taken")
	}
	last := m.Roots().Version
	if err := take(map[string]string{"spiffe://ours": "", "spiffe://far": string(next.RootPEM())}); err != nil || m.Roots().Version == last {
		t.Errorf("another root of a domain: %v, version %s", err, m.Roots().Version)
	}
}
