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
	if err := take(map[string]string{"trust-domain:ours": "", "trust-domain:far": string(theirs.RootPEM()), "PATH": "x"}); err != nil {
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
	if v, err := m.Secret(Root); err != nil || len(v.Domains) > 0 || string(v.Roots) != string(ours.RootPEM())+string(next.RootPEM()) {
		t.Errorf("own roots: %+v, %v", v, err)
	}
	for name, want := range map[string]int{"ROOTCA-with:far": 2, "ROOTCA-with:absent,far": 2, "ROOTCA-with:absent": 1, "ROOTCA-with:": 1} {
		if v, err := m.Secret(name); err != nil || len(v.Domains) != want {
			t.Errorf("%s: %+v, %v", name, v, err)
		}
	}
	// Agents of a former version served what has this key under ROOTCA, too.
	if v, err := m.Secret(Root); err != nil || len(v.Domains) > 0 {
		t.Errorf("%+v, %v", v, err)
	}
	if err := take(map[string]string{"trust-domain:ours": "", "trust-domain:far": "x"}); err == nil {
		t.Error("a domain whose roots cannot be read is taken")
	}
	last := m.Roots().Version
	if err := take(map[string]string{"trust-domain:ours": "", "trust-domain:far": string(next.RootPEM())}); err != nil || m.Roots().Version == last {
		t.Errorf("another root of a domain: %v, version %s", err, m.Roots().Version)
	}
}
