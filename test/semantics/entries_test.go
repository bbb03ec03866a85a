package semantics

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
	"github.com/pilothouse-mesh/pilothouse/pilot/validate"
	"github.com/pilothouse-mesh/pilothouse/test/translate"
)

const (
	reviewsHost = "reviews.default.svc.cluster.local"
	splitHost   = "b.example.com" // of which a VirtualService sends a part to the subset v1
)

// entriesAround are a VirtualService for sidecars, and a gateway by whose paths each host is reached.
const entriesAround = `
---
{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: split, namespace: default}, spec: {hosts: [b.example.com], http: [
  {match: [{uri: {prefix: /v1}}], route: [{destination: {host: b.example.com, subset: v1}}]}, {route: [{destination: {host: b.example.com}}]}]}}
---
{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: edge, namespace: istio-system}, spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}}
---
{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: edge, namespace: istio-system}, spec: {hosts: [edge.test], gateways: [edge], http: [
  {match: [{uri: {prefix: /a}}], route: [{destination: {host: a.example.com, port: {number: 80}}}]},
  {match: [{uri: {prefix: /b/v1}}], route: [{destination: {host: b.example.com, subset: v1, port: {number: 80}}}]},
  {match: [{uri: {prefix: /b}}], route: [{destination: {host: b.example.com, port: {number: 80}}}]},
  {match: [{uri: {prefix: /r}}], route: [{destination: {host: reviews.default.svc.cluster.local, port: {number: 9080}}}]}]}}
`

// world is one random mesh of entries and rules.
type entryWorld struct {
	entries []*simpleEntry
	rules   []*simpleDR
}

func randomEntries(r *rand.Rand) *entryWorld {
	w := &entryWorld{entries: []*simpleEntry{{kubernetes: true, namespace: "default", name: "reviews", age: -1, hosts: []string{reviewsHost}, address: "10.96.0.2", resolution: "STATIC", ports: []int{9080}}}}
	ages := r.Perm(60)
	for i := range 2 + r.IntN(3) {
		e := &simpleEntry{
			namespace: pick(r, "default", "other", "istio-system"), name: fmt.Sprintf("e%d", i), age: ages[i],
			hosts:      []string{pick(r, "a.example.com", "a.example.com", splitHost, "*.example.com", "*.com", reviewsHost)},
			resolution: pick(r, "NONE", "STATIC", "STATIC", "DNS", "DNS_ROUND_ROBIN"), internal: r.IntN(4) == 0,
			address:  pick(r, "", "", fmt.Sprintf("198.51.100.%d", 1+i), fmt.Sprintf("198.51.%d.0/24", 101+i)),
			exportTo: pick(r, "", "", ".", "*", "other", "default", "istio-system"),
		}
		if other := pick(r, "", "c.example.com"); other != "" {
			e.hosts = append(e.hosts, other)
		}
		for _, p := range []int{80, 9080, 443, 6000} {
			if r.IntN(2) == 0 {
				e.ports = append(e.ports, p)
			}
		}
		if len(e.ports) == 0 {
			e.ports = []int{80}
		}
		if strings.Contains(e.address, "/") {
			e.resolution = "NONE" // for others Istio refuses subnets
		}
		if strings.HasPrefix(e.hosts[0], "*") && strings.HasPrefix(e.resolution, "DNS") {
			e.resolution = pick(r, "NONE", "STATIC") // and for these wildcards
		}
		if e.resolution == "STATIC" {
			for j := range 1 + r.IntN(2) {
				e.servers = append(e.servers, simpleServer{fmt.Sprintf("192.0.2.%d", 10*i+j+1), pick(r, "one", "two")})
			}
		}
		w.entries = append(w.entries, e)
	}
	for i := range 1 + r.IntN(4) {
		w.rules = append(w.rules, &simpleDR{
			namespace: pick(r, "default", "other", "istio-system"), name: fmt.Sprintf("d%d", i), age: ages[10+i],
			host:     pick(r, "a.example.com", splitHost, splitHost, "*.example.com", "*.com", reviewsHost, "*.svc.cluster.local"),
			exportTo: pick(r, "", "", ".", "*", "other", "default", "istio-system"), policy: r.IntN(3) > 0, port: pick(r, "", "tls", "reset"),
			subset: pick(r, "", "one", "two"), subsetPolicy: r.IntN(2) == 0,
		})
	}
	return w
}

func (w *entryWorld) yaml() string {
	var b strings.Builder
	for _, e := range w.entries {
		if !e.kubernetes {
			b.WriteString(e.yaml())
		}
	}
	for _, d := range w.rules {
		b.WriteString(d.yaml())
	}
	return b.String()
}

// entryCall is one request or connection, and what the model says of it.
type entryCall struct {
	request explain.Request
	service []*simpleService // that may be asked; none for an unknown destination
	port    int
	subset  bool
}

// Explain says of random ServiceEntries and DestinationRules what the slow model says.
func TestModelOfEntries(t *testing.T) {
	base, err := os.ReadFile(worldFile)
	if err != nil {
		t.Fatal(err)
	}
	// The world's own rule for reviews would be one more, older than all.
	input, _, _ := strings.Cut(string(base), "---\n{apiVersion: networking.istio.io/v1, kind: DestinationRule")
	calls := 0
	for i := range *seeds {
		seed := uint64(*firstSeed + i)
		w := randomEntries(rand.New(rand.NewPCG(seed, 11)))
		objects, problems := file.Decode([]byte(input+entriesAround+w.yaml()), "input.yaml")
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		for _, o := range objects {
			for _, p := range validate.Object(o) {
				if p.Severity == model.SeverityError {
					t.Fatalf("seed %d: %v", seed, p)
				}
			}
		}
		snapshot := translate.Snapshot(objects)
		for _, from := range clients() {
			config := from.translated(snapshot)
			seen := visible(w.entries, from.namespace)
			for _, c := range w.calls(from.gateway, seen) {
				calls++
				a := config.Explain(c.request)
				if wrong := w.compare(&a.Outcome, &c, from.namespace); wrong != "" {
					var steps strings.Builder
					_ = a.Print(&steps)
					t.Fatalf("seed %d: %s calls %+v: %s\n%s\n%s", seed, from.proxy, c.request, wrong, w.yaml(), &steps)
				}
			}
		}
	}
	t.Logf("%d calls", calls)
}

// calls gives what a client asks.
func (w *entryWorld) calls(gateway bool, seen map[string]*simpleService) []entryCall {
	var out []entryCall
	named := func(s *simpleService, host string) []*simpleService {
		if s == nil && host != "" {
			s = &simpleService{host: host, entries: []*simpleEntry{{namespace: "nowhere"}}} // a cluster that is not there
		}
		if s == nil {
			return nil
		}
		return []*simpleService{s}
	}
	if gateway {
		for path, host := range map[string]string{"/a": "a.example.com", "/b": splitHost, "/b/v1": splitHost, "/r": reviewsHost} {
			port := 80
			if host == reviewsHost {
				port = 9080
			}
			s := seen[host]
			if s != nil && !s.has(port) {
				s = nil
			}
			out = append(out, entryCall{explain.Request{Way: explain.Direct, Destination: netip.MustParseAddrPort("10.3.0.1:80"), Protocol: explain.HTTP11, Host: "edge.test", Path: path}, named(s, host), port, path == "/b/v1"})
		}
		return out
	}
	for _, host := range []string{"a.example.com", splitHost, "c.example.com", "d.example.com", "x.com", reviewsHost, "x.test"} {
		for _, port := range []int{80, 9080} {
			for _, path := range []string{"/", "/v1"} {
				s, own, at := served(seen, port, host), "", port
				if host == splitHost && port == 80 && (seen[host] == nil || !seen[host].has(80)) {
					s, own = nil, host // of the VirtualService, whose destination says no port
					if only := seen[host].only(); only != 0 {
						s, own, at = seen[host], "", only
					}
				}
				subset := path == "/v1" && host == splitHost && (own != "" || s != nil && s.host == host)
				out = append(out, entryCall{explain.Request{Way: explain.Outbound, Destination: netip.AddrPortFrom(netip.MustParseAddr("203.0.113.1"), uint16(port)), Protocol: explain.HTTP11, Host: host, Path: path}, named(s, own), at, subset})
			}
		}
		for _, port := range []uint16{443, 6000} {
			for _, to := range append([]string{"203.0.113.1"}, w.addresses()...) {
				q := explain.Request{Way: explain.Outbound, Destination: netip.AddrPortFrom(netip.MustParseAddr(to), port), Protocol: explain.TCP}
				if port == 443 {
					q.TLS = &explain.TLS{SNI: host}
				}
				out = append(out, entryCall{q, connected(seen, q.Destination, host), int(port), false})
			}
		}
	}
	return out
}

// addresses gives one in each of those of the entries.
func (w *entryWorld) addresses() []string {
	var out []string
	for _, e := range w.entries {
		if prefix, err := netip.ParsePrefix(e.address); err == nil {
			out = append(out, prefix.Addr().Next().String())
		} else if e.address != "" {
			out = append(out, e.address)
		}
	}
	return out
}

// compare tells what is another than the model says, "" for nothing.
func (w *entryWorld) compare(o *explain.Outcome, c *entryCall, client string) string {
	if o.Forward == nil {
		return fmt.Sprintf("is not forwarded: %+v", *o)
	}
	got := &o.Forward.Clusters[0]
	if len(c.service) == 0 {
		if got.Name != "PassthroughCluster" {
			return "goes to " + got.Name + ", want PassthroughCluster"
		}
		return ""
	}
	subset := map[bool]string{true: "v1"}[c.subset]
	i := slices.IndexFunc(c.service, func(s *simpleService) bool {
		return got.Name == fmt.Sprintf("outbound|%d|%s|%s", c.port, subset, s.host)
	})
	if i < 0 {
		return fmt.Sprintf("goes to %s, want port %d of %s", got.Name, c.port, c.service[0].host)
	}
	s := c.service[i]
	rules := rulesFor(w.rules, client, s)
	name, version := asked(rules, c.port, c.subset)
	there := s.entries[0].namespace != "nowhere" && (!c.subset || version != "")
	if gone := got.Flags == "NC"; gone == there {
		return fmt.Sprintf("%s is there: %v, want %v", got.Name, !gone, there)
	}
	if !there {
		return ""
	}
	var servers []string
	for _, e := range got.Endpoints {
		servers = append(servers, e.Address)
		if sni := e.SNI; sni != name && (name != "" || strings.HasSuffix(sni, ".example.org")) {
			return fmt.Sprintf("%s is asked for %q, want %q", got.Name, sni, name)
		}
	}
	slices.Sort(servers)
	if want, known := s.addresses(c.port, version); known && !slices.Equal(servers, want) {
		return fmt.Sprintf("%s has servers %v, want %v", got.Name, servers, want)
	}
	return ""
}
