package resolve_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/file"
	"github.com/pilothouse-mesh/pilothouse/pilot/store"
	"github.com/pilothouse-mesh/pilothouse/security/ca"
)

// trusting gives a snapshot of a mesh configuration, in which %[1]s and %[2]s stand for two further roots, beside
// a CA whose root is "own".
func trusting(t *testing.T, mesh string) (r resolve.Reader, one, two string) {
	t.Helper()
	var roots [2]string
	var quoted [2]any
	for i := range roots {
		a, err := ca.New(ca.Options{})
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(string(a.RootPEM()))
		if err != nil {
			t.Fatal(err)
		}
		roots[i], quoted[i] = string(a.RootPEM()), string(text)
	}
	text, err := json.Marshal(fmt.Sprintf(mesh, quoted[:]...))
	if err != nil {
		t.Fatal(err)
	}
	objects, problems := file.Decode([]byte(`{apiVersion: v1, kind: ConfigMap, metadata: {name: istio, namespace: istio-system}, data: {mesh: `+string(text)+`}}`), "test.yaml")
	for _, p := range problems {
		if p.Severity == model.SeverityError {
			t.Fatalf("the test's own YAML: %s", p)
		}
	}
	own := &model.Object{Key: model.Key{Kind: model.KindTrustBundle, Name: "default"}, Spec: &model.TrustBundle{Roots: []string{"own"}}}
	return store.FromObjects(append(objects, own), store.Options{Domain: "cluster.local"}).Reader(nil), roots[0], roots[1]
}

// A root is for the trust domains that it names, else for the mesh's own; a domain that is named has no other
// roots than these.
func TestTrustDomainsHaveTheirOwnRoots(t *testing.T) {
	const one, two = "{pem: %[1]s", ", {pem: %[2]s"
	own := func(names ...string) []ir.TrustDomain {
		var out []ir.TrustDomain
		for _, n := range names {
			out = append(out, ir.TrustDomain{Name: n})
		}
		return out
	}
	for name, c := range map[string]struct {
		mesh    string
		roots   string // of the mesh's own beside "own": one, two, both
		domains []ir.TrustDomain
		further map[string]string
	}{
		"none":                       {"{trustDomainAliases: [old]} # %[1]s %[2]s", "", nil, nil},
		"for all":                    {"caCertificates: [" + one + "}]  # %[2]s", "one", nil, nil},
		"for the mesh's by its name": {"caCertificates: [" + one + ", trustDomains: [cluster.local]}" + two + "}]", "both", nil, nil},
		"of another":                 {"caCertificates: [" + one + ", trustDomains: [far]}" + two + "}]", "two", own("cluster.local"), map[string]string{"far": "one"}},
		"an alias without roots": {
			"{trustDomainAliases: [old], caCertificates: [" + one + ", trustDomains: [far]}]} # %[2]s", "",
			own("cluster.local", "old"),
			map[string]string{"far": "one"},
		},
		"an alias with roots": {
			"{trustDomainAliases: [old, far], caCertificates: [" + one + ", trustDomains: [far]}]} # %[2]s", "",
			own("cluster.local", "old"),
			map[string]string{"far": "one"},
		},
		"several for two, one of them ours": {
			"caCertificates: [" + one + ", trustDomains: [far, cluster.local]}" + two + ", trustDomains: [far]}]", "one",
			own("cluster.local"),
			map[string]string{"far": "both"},
		},
		"one at fault beside another": {
			"{trustDomainAliases: [old, far], caCertificates: [{pem: x, trustDomains: [far]}" + two + "}]} # %[1]s", "two",
			own("cluster.local", "old"), nil,
		},
		"one with a domain at fault": {
			"caCertificates: [" + one + ", trustDomains: [cluster.local, 'a b']}" + two + "}]", "two", own("cluster.local"), nil,
		},
		"a bundle that anybody could give": {
			"{trustDomainAliases: [far], caCertificates: [{spiffeBundleUrl: 'http://far', trustDomains: [far]}" + two + "}]} # %[1]s", "two",
			own("cluster.local"), nil,
		},
		"a bundle that would have to be fetched": {
			"{trustDomainAliases: [far], caCertificates: [{spiffeBundleUrl: 'https://far', trustDomains: [far]}]} # %[1]s %[2]s", "",
			own("cluster.local"), nil,
		},
	} {
		r, first, second := trusting(t, c.mesh)
		list := map[string][]string{"": nil, "one": {first}, "two": {second}, "both": {first, second}}
		want := &ir.TrustBundle{Roots: append([]string{"own"}, list[c.roots]...), Domains: c.domains}
		for n, roots := range c.further {
			want.Domains = append(want.Domains, ir.TrustDomain{Name: n, Roots: list[roots]})
		}
		if got := resolve.TrustBundle(r); !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n%+v, want\n%+v", name, got, want)
		}
	}
}

// The roots of a bundle that was fetched count as those that are written; of one that was not, nobody is let in.
func TestRootsOfBundlesThatAreFetched(t *testing.T) {
	const mesh = `{rootNamespace: istio-system, trustDomainAliases: [far], caCertificates: [{spiffeBundleUrl: 'https://far', trustDomains: [far]}, {spiffeBundleUrl: 'https://near'}]}`
	fetched := func(at string, roots ...string) *model.Object {
		return &model.Object{Key: model.KeySetSource{Bundle: at}.Key(), Spec: &model.SPIFFEBundle{Roots: roots}}
	}
	world := func(more ...*model.Object) store.Reader {
		objects, _ := file.Decode([]byte(`{apiVersion: v1, kind: ConfigMap, metadata: {name: istio, namespace: istio-system}, data: {mesh: "`+mesh+`"}}`), "test.yaml")
		own := &model.Object{Key: model.Key{Kind: model.KindTrustBundle, Name: "default"}, Spec: &model.TrustBundle{Roots: []string{"own"}}}
		return store.FromObjects(append(append(objects, own), more...), store.Options{Domain: "cluster.local"}).Reader(nil)
	}
	us := ir.TrustDomain{Name: "cluster.local"}
	for name, c := range map[string]struct {
		fetched  []*model.Object
		want     ir.TrustBundle
		problems string
	}{
		"none":  {nil, ir.TrustBundle{Roots: []string{"own"}, Domains: []ir.TrustDomain{us}}, "[caCertificates[0].spiffeBundleUrl Error caCertificates[1].trustDomains Warning caCertificates[1].spiffeBundleUrl Error]"},
		"far's": {[]*model.Object{fetched("https://far", "a", "b")}, ir.TrustBundle{Roots: []string{"own"}, Domains: []ir.TrustDomain{us, {Name: "far", Roots: []string{"a", "b"}}}}, "[caCertificates[1].trustDomains Warning caCertificates[1].spiffeBundleUrl Error]"},
		"both": {
			[]*model.Object{fetched("https://far", "a"), fetched("https://near", "own", "c")},
			ir.TrustBundle{Roots: []string{"own", "c"}, Domains: []ir.TrustDomain{us, {Name: "far", Roots: []string{"a"}}}},
			"[caCertificates[1].trustDomains Warning]",
		},
		"taken back": {
			[]*model.Object{fetched("https://far"), fetched("https://near", "c")},
			ir.TrustBundle{Roots: []string{"own", "c"}, Domains: []ir.TrustDomain{us}},
			"[caCertificates[0].spiffeBundleUrl Warning caCertificates[1].trustDomains Warning]",
		},
	} {
		r := world(c.fetched...)
		if got := resolve.TrustBundle(r); !reflect.DeepEqual(got, &c.want) {
			t.Errorf("%s:\n%+v, want\n%+v", name, got, c.want)
		}
		problems := []string{}
		for _, p := range resolve.BundleProblems(r) {
			problems = append(problems, fmt.Sprint(p.Field, " ", p.Severity))
		}
		if fmt.Sprint(problems) != c.problems {
			t.Errorf("%s: problems %v, want %s", name, problems, c.problems)
		}
		if got := r.KeySources(); len(got) != 2 || got[0].Bundle != "https://far" || model.ParseKeySetSource(got[1].Name()) != got[1].KeySetSource {
			t.Errorf("%s: %v is fetched", name, got)
		}
	}
}

// A foreign root could sign a certificate of two identities, one of them ours: callers are verified by it only where
// an alias lets its domain in.
func TestRootsOfCallers(t *testing.T) {
	for mesh, want := range map[string]string{
		"{trustDomainAliases: [old]} # %[1]s %[2]s":                                                     ir.SecretRoot,
		"caCertificates: [{pem: %[1]s, trustDomains: [far]}] # %[2]s":                                   ir.SecretRoot,
		"{trustDomainAliases: [old], caCertificates: [{pem: %[1]s, trustDomains: [far]}]} # %[2]s":      ir.SecretRoot,
		"{trustDomainAliases: [old, far], caCertificates: [{pem: %[1]s, trustDomains: [far]}]} # %[2]s": "ROOTCA-with:far",
		// Roots of a domain that no alias lets in could sign a second identity, of one that is let in.
		"{trustDomainAliases: [z, far], caCertificates: [{pem: %[1]s, trustDomains: [far, near]}, {pem: %[2]s, trustDomains: [z]}]}": "ROOTCA-with:far,z",
		// What is asked for does not go by what was fetched.
		"{trustDomainAliases: [far], caCertificates: [{spiffeBundleUrl: 'https://far', trustDomains: [far]}]} # %[1]s %[2]s": "ROOTCA-with:far",
	} {
		r, _, _ := trusting(t, mesh)
		if got := resolve.InboundTLS(r).RootSecret; got != want {
			t.Errorf("%s: %s, not %s", mesh, got, want)
		}
	}
}
