package traffic

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/explain"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/file"
	"github.com/pilothouse-mesh/pilothouse/test/translate"
)

// A slow second reading of what VirtualServices mean to a request, written from Istio's documentation and
// sharing nothing with the translation: no index, no table, one rule after the other.

// simpleVS is a VirtualService of the model.
type simpleVS struct {
	namespace, name string
	age             int // the smaller, the older
	host            string
	exportTo        string // "", ".", "*" or a namespace
	gateways        []string
	rules           []simpleRule
}

// simpleRule has one match, and leads to a subset of its own.
type simpleRule struct {
	namespace, label, prefix string
	gateway                  string
	group                    string // a claim of the request's token
	subset                   string
}

// takes tells whether a request matches, of which a valid token says the group, "" for none.
func (r *simpleRule) takes(path, group string) bool {
	return strings.HasPrefix(path, r.prefix) && (r.group == "" || r.group == group)
}

// simpleClient is who asks: a sidecar, or the gateway.
type simpleClient struct {
	proxy            string
	namespace, label string
	gateway          bool
}

// visible tells whether a namespace sees it, and how near it is: 0 private, 1 by name, 2 public.
func (v *simpleVS) visible(namespace string) (class int, ok bool) {
	switch v.exportTo {
	case ".", v.namespace: // both mean its own
		return 0, v.namespace == namespace
	case "", "*":
		return 2, true
	}
	return 1, v.exportTo == namespace
}

// covers gives how specifically the host covers a name; negative where it does not.
func covers(host, name string) int {
	suffix, wild := strings.CutPrefix(host, "*")
	switch {
	case host == name:
		return 1 << 10
	case wild && strings.HasSuffix(name, suffix):
		return len(suffix)
	}
	return -1
}

// applies tells whether the conditions that are decided for a client hold.
func (r *simpleRule) applies(c *simpleClient) bool {
	gateway := "mesh"
	if c.gateway {
		gateway = "default/edge"
	}
	return (r.namespace == "" || r.namespace == c.namespace) && (r.label == "" || r.label == c.label) && (r.gateway == "" || r.gateway == gateway)
}

// destination gives the subset that a request goes to; "-" for the service itself, "404" for none.
func destination(all []*simpleVS, c *simpleClient, name, path, group string) string {
	var found []*simpleVS
	for _, v := range all {
		_, seen := v.visible(c.namespace)
		applies := slices.ContainsFunc(v.rules, func(r simpleRule) bool { return r.applies(c) })
		if seen && applies && slices.Contains(v.gateways, "mesh") && covers(v.host, name) >= 0 {
			found = append(found, v)
		}
	}
	if len(found) == 0 {
		return "-"
	}
	best := slices.MinFunc(found, func(a, b *simpleVS) int {
		if d := covers(b.host, name) - covers(a.host, name); d != 0 {
			return d
		}
		x, _ := a.visible(c.namespace)
		y, _ := b.visible(c.namespace)
		if x != y {
			return x - y
		}
		return a.age - b.age
	})
	for _, r := range best.rules {
		if r.applies(c) && r.takes(path, group) {
			return r.subset
		}
	}
	return "404"
}

// atGateway is the same at a gateway, where the rules of all count, in order, those that take everything last.
func atGateway(all []*simpleVS, c *simpleClient, host, path, group string) string {
	var found []*simpleVS
	for _, v := range all {
		if _, seen := v.visible(c.namespace); seen && slices.Contains(v.gateways, "default/edge") && v.host == host {
			found = append(found, v)
		}
	}
	slices.SortFunc(found, func(a, b *simpleVS) int {
		x, _ := a.visible(c.namespace)
		y, _ := b.visible(c.namespace)
		if x != y {
			return x - y
		}
		return a.age - b.age
	})
	last := ""
	for _, v := range found {
		for _, r := range v.rules {
			switch {
			case !r.applies(c):
			case r.prefix == "/" && r.group == "":
				if last == "" {
					last = r.subset
				}
			case r.takes(path, group):
				return r.subset
			}
			if r.applies(c) && r.prefix == "/" && r.group == "" {
				break // what follows it in its VirtualService is never reached
			}
		}
	}
	if last != "" {
		return last
	}
	return "404"
}

func (v *simpleVS) yaml() string {
	var b strings.Builder
	fmt.Fprintf(&b, "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: %s, namespace: %s, creationTimestamp: \"2020-01-01T00:%02d:00Z\"}\nspec:\n", v.name, v.namespace, v.age)
	if v.exportTo != "" {
		fmt.Fprintf(&b, "  exportTo: [%q]\n", v.exportTo)
	}
	fmt.Fprintf(&b, "  hosts: [%q]\n  gateways: [%s]\n  http:\n", v.host, strings.Join(v.gateways, ", "))
	for _, r := range v.rules {
		fmt.Fprintf(&b, "  - match: [{uri: {prefix: %q}", r.prefix)
		if r.namespace != "" {
			fmt.Fprintf(&b, ", sourceNamespace: %s", r.namespace)
		}
		if r.label != "" {
			fmt.Fprintf(&b, ", sourceLabels: {app: %s}", r.label)
		}
		if r.gateway != "" {
			fmt.Fprintf(&b, ", gateways: [%s]", r.gateway)
		}
		if r.group != "" {
			fmt.Fprintf(&b, ", headers: {\"@request.auth.claims.group\": {exact: %s}}", r.group)
		}
		fmt.Fprintf(&b, "}]\n    route: [{destination: {host: reviews.default.svc.cluster.local, subset: %s, port: {number: 9080}}}]\n", r.subset)
	}
	return b.String()
}

func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

// randomVS makes one; subsets are named so that each rule has one of its own.
func randomVS(r *rand.Rand, i int) *simpleVS {
	v := &simpleVS{
		namespace: pick(r, "default", "other"), name: fmt.Sprintf("v%d", i), age: r.IntN(30)*2 + i%2,
		exportTo: pick(r, "", "", ".", "*", "other", "default", "istio-system"),
		gateways: pick(r, []string{"mesh"}, []string{"mesh"}, []string{"default/edge"}, []string{"mesh", "default/edge"}),
	}
	v.host = pick(r, "details.default.svc.cluster.local", "details.default.svc.cluster.local", "*.default.svc.cluster.local", "*.svc.cluster.local", "www.example.com")
	if slices.Contains(v.gateways, "default/edge") {
		v.host = pick(r, "details.default.svc.cluster.local", "www.example.com")
	}
	for j := range 1 + r.IntN(3) {
		v.rules = append(v.rules, simpleRule{
			namespace: pick(r, "", "", "default", "other"), label: pick(r, "", "", "client", "other"), gateway: pick(r, append(v.gateways, "", "", "")...),
			prefix: pick(r, "/", "/a", "/a/b", "/c"), group: pick(r, "", "", "staff", "guest"), subset: fmt.Sprintf("s%d-%d", i, j),
		})
	}
	return v
}

// modelRounds is how many meshes are made; each is asked about sixty times.
const modelRounds = 100

// Explain says of random pairs of VirtualServices what the slow model says.
func TestModel(t *testing.T) {
	world, err := os.ReadFile("testdata/world.yaml")
	if err != nil {
		t.Fatal(err)
	}
	clients := []*simpleClient{{proxy: "client", namespace: "default", label: "client"}, {proxy: "other", namespace: "other", label: "other"}, {proxy: "gateway", namespace: "istio-system", gateway: true}}
	const edge = "\n---\n{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: edge, namespace: default}, spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [\"*\"]}]}}\n" +
		"---\n{apiVersion: security.istio.io/v1, kind: RequestAuthentication, metadata: {name: all, namespace: istio-system}, spec: {jwtRules: [{issuer: me}]}}\n"
	calls := 0
	for seed := range uint64(modelRounds) {
		r := rand.New(rand.NewPCG(seed, 7))
		var all []*simpleVS
		input := string(world) + edge
		for i := range 2 + r.IntN(2) {
			v := randomVS(r, i)
			if slices.ContainsFunc(all, func(o *simpleVS) bool { return o.age == v.age }) {
				v.age = 59 - i
			}
			all = append(all, v)
			input += v.yaml()
		}
		objects, problems := file.Decode([]byte(input), "input.yaml")
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		calls += askModel(t, seed, all, objects, clients)
	}
	t.Logf("%d calls", calls)
}

// askModel compares what both say, for every client.
func askModel(t *testing.T, seed uint64, all []*simpleVS, objects []*model.Object, clients []*simpleClient) (calls int) {
	snapshot := translate.Snapshot(objects)
	for _, c := range clients {
		p := worldProxies()[c.proxy]
		config := explained(translate.Build(snapshot, p.Model()))
		for _, host := range []string{"details.default.svc.cluster.local", "ratings.default.svc.cluster.local", "www.example.com"} {
			for i, path := range []string{"/", "/a", "/a/b", "/a/c", "/c/d", "/z", "/", "/a", "/a/b", "/c/d"} {
				calls++
				group := []string{"", "staff", "guest"}[i%3]
				q := explain.Request{Way: explain.Outbound, Destination: netip.MustParseAddrPort("10.96.0.4:9080"), Protocol: explain.HTTP11, Host: host, Path: path}
				if group != "" {
					q.Claims = map[string]any{"iss": "me", "group": group}
				}
				want := destination(all, c, host, path, group)
				switch {
				case c.gateway:
					q.Way, q.Destination = explain.Direct, netip.MustParseAddrPort("10.3.0.1:80")
					want = atGateway(all, c, host, path, group)
				case host == "www.example.com": // of no service: on port 80 only
					q.Destination = netip.MustParseAddrPort("203.0.113.1:80")
				}
				a := config.Explain(q)
				if got := subsetOf(&a.Outcome); got != want {
					var steps strings.Builder
					_ = a.Print(&steps)
					var rules string
					for _, v := range all {
						rules += v.yaml()
					}
					t.Fatalf("seed %d: %s of %s%s (%s): %s, want %s\n%s\n%s", seed, c.proxy, host, path, group, got, want, rules, &steps)
				}
			}
		}
	}
	return calls
}

// subsetOf names where a request goes, as the model does.
func subsetOf(o *explain.Outcome) string {
	if o.Forward == nil {
		return fmt.Sprint(o.Status)
	}
	name := o.Forward.Clusters[0].Name
	parts := strings.Split(name, "|")
	if len(parts) == 4 && parts[2] != "" {
		return parts[2]
	}
	return "-"
}
