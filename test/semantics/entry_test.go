package semantics

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// A slow second reading of ServiceEntries and DestinationRules, as virtualservice_test.go has one of VirtualServices.

// simpleEntry is a ServiceEntry, or the Service of world.yaml that some of its hosts are those of.
type simpleEntry struct {
	kubernetes      bool
	namespace, name string
	age             int // the smaller, the older
	hosts           []string
	address         string // an IP, a subnet, or "" for none
	resolution      string
	internal        bool
	ports           []int
	exportTo        string // "", ".", "*" or a namespace
	servers         []simpleServer
}

// simpleServer is an endpoint, with the version that subsets ask for.
type simpleServer struct{ address, version string }

// simplePorts are the protocols of the ports that entries have.
func simplePorts() map[int]string {
	return map[int]string{80: "HTTP", 9080: "HTTP", 443: "TLS", 6000: "TCP"}
}

// simpleDR is a DestinationRule. Its traffic policy asks for a name of its own in TLS, by which the model
// and Explain tell which one counts.
type simpleDR struct {
	namespace, name string
	age             int
	host            string
	exportTo        string
	policy          bool
	port            string // of port 80: "", "tls", or "reset", which has settings without TLS
	subset          string // the version that it gives a subset, or ""
	subsetPolicy    bool
}

// exported tells whether a namespace sees what is exported so from another.
func exported(exportTo, from, to string) bool {
	switch exportTo {
	case "", "*":
		return true
	case ".":
		return from == to
	}
	return exportTo == to
}

// simpleService is what a namespace sees under one host: an entry, with others of its namespace that say
// the same but for their ports.
type simpleService struct {
	host    string
	entries []*simpleEntry
	servers []*simpleEntry // whose servers count: all of the host in the namespace
}

func (s *simpleService) has(port int) bool {
	return slices.ContainsFunc(s.entries, func(e *simpleEntry) bool { return slices.Contains(e.ports, port) })
}

// only gives the port of a service that has no other; 0 where there are several, or is no service.
func (s *simpleService) only() int {
	var all []int
	if s != nil {
		for _, e := range s.entries {
			all = append(all, e.ports...)
		}
	}
	slices.Sort(all)
	if all = slices.Compact(all); len(all) != 1 {
		return 0
	}
	return all[0]
}

// visible gives the services that a namespace sees, by host: its own, else Kubernetes', else one that is for it by name, else
// the oldest.
func visible(all []*simpleEntry, namespace string) map[string]*simpleService {
	out := map[string]*simpleService{}
	order := slices.Clone(all)
	slices.SortFunc(order, func(a, b *simpleEntry) int {
		own := func(e *simpleEntry) bool { return e.namespace != namespace }
		named := func(e *simpleEntry) bool { return e.exportTo == namespace }
		return cmp.Or(compareBool(own(a), own(b)), -compareBool(a.kubernetes, b.kubernetes), -compareBool(named(a), named(b)), cmp.Compare(a.age, b.age))
	})
	for _, e := range order {
		for _, host := range e.hosts {
			// What is hidden in its own namespace, nobody sees.
			if out[host] == nil && exported(e.exportTo, e.namespace, namespace) && e == leader(all, e, host) {
				out[host] = joined(all, e, host)
			}
		}
	}
	return out
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// inNamespace gives those of a host in the namespace of one, Kubernetes' first, then the oldest.
func inNamespace(all []*simpleEntry, e *simpleEntry, host string) []*simpleEntry {
	var out []*simpleEntry
	for _, o := range all {
		if o.namespace == e.namespace && slices.Contains(o.hosts, host) {
			out = append(out, o)
		}
	}
	slices.SortFunc(out, func(a, b *simpleEntry) int {
		return cmp.Or(-compareBool(a.kubernetes, b.kubernetes), cmp.Compare(a.age, b.age))
	})
	return out
}

func leader(all []*simpleEntry, e *simpleEntry, host string) *simpleEntry {
	return inNamespace(all, e, host)[0]
}

// joined gives the service of an entry: the ports of those count that resolve alike, are for the same
// namespaces, and have addresses where it has.
func joined(all []*simpleEntry, e *simpleEntry, host string) *simpleService {
	out := &simpleService{host: host, entries: []*simpleEntry{e}}
	for _, o := range inNamespace(all, e, host) {
		out.servers = append(out.servers, o)
		if o != e && !e.kubernetes && o.resolution == e.resolution && cmp.Or(o.exportTo, "*") == cmp.Or(e.exportTo, "*") && (o.address == "") == (e.address == "") {
			out.entries = append(out.entries, o)
		}
	}
	return out
}

// served finds the service of a request by its host: its own, else the most specific wildcard.
func served(seen map[string]*simpleService, port int, host string) *simpleService {
	var out *simpleService
	for _, s := range seen {
		if s.has(port) && covers(s.host, host) >= 0 && (out == nil || covers(s.host, host) > covers(out.host, host)) {
			out = s
		}
	}
	return out
}

// connected finds the services that a connection may be for: that of its address, else those of its
// subnet, else those without an address. In TLS the name that is asked for decides, but at an address that
// one service alone has. (In Istio the first of several has such an address for itself.)
func connected(seen map[string]*simpleService, to netip.AddrPort, sni string) []*simpleService {
	var exact, subnet, anywhere []claim
	for _, s := range seen {
		if !s.has(int(to.Port())) {
			continue
		}
		named := to.Port() != 443 || covers(s.host, sni) >= 0
		for _, e := range s.entries {
			prefix, err := netip.ParsePrefix(e.address)
			switch {
			case e.address == "" && named:
				anywhere = append(anywhere, claim{s, e.age})
			case e.address == to.Addr().String():
				exact = append(exact, claim{s, e.age})
			case err == nil && prefix.Contains(to.Addr()):
				subnet = append(subnet, claim{s, e.age})
			}
		}
	}
	byName := to.Port() == 443 && len(exact) != 1
	for _, found := range [][]claim{exact, subnet, anywhere} {
		if len(found) == 0 {
			continue
		}
		if byName { // an address or subnet that is known decides, also where none of its names is asked for
			found = slices.DeleteFunc(found, func(c claim) bool { return covers(c.host, sni) < 0 })
		}
		return narrowed(found, byName, sni)
	}
	return nil
}

// claim is a service with the age of the entry by which it has an address.
type claim struct {
	*simpleService
	age int
}

// narrowed gives those of the most specific name where it is asked for, and of these the oldest.
func narrowed(found []claim, named bool, sni string) (out []*simpleService) {
	best, oldest := -1, 1<<30
	for _, c := range found {
		best = max(best, covers(c.host, sni))
	}
	if named {
		found = slices.DeleteFunc(found, func(c claim) bool { return covers(c.host, sni) < best })
	}
	for _, c := range found {
		oldest = min(oldest, c.age)
	}
	for _, c := range found {
		if c.age == oldest {
			out = append(out, c.simpleService)
		}
	}
	return out
}

// rulesFor gives the DestinationRules in force: those of the client's namespace, else of the service's,
// else of the root's, of the most specific host there. For clients in the root namespace only those come
// first that nobody else sees. What is exported otherwise than the youngest does not count beside it.
func rulesFor(all []*simpleDR, client string, s *simpleService) []*simpleDR {
	const root = "istio-system"
	private := func(d *simpleDR) bool { return d.exportTo == "." || d.exportTo == d.namespace }
	for i, namespace := range []string{client, s.entries[0].namespace, root} {
		var found []*simpleDR
		best := -1
		for _, d := range all {
			if i == 0 && client == root && !private(d) {
				continue
			}
			if d.namespace == namespace && exported(d.exportTo, d.namespace, client) && hostCovers(d.host, s.host) {
				found, best = append(found, d), max(best, specific(d.host))
			}
		}
		found = slices.DeleteFunc(found, func(d *simpleDR) bool { return specific(d.host) < best })
		if len(found) > 0 {
			slices.SortFunc(found, func(a, b *simpleDR) int { return cmp.Compare(a.age, b.age) })
			youngest := found[len(found)-1]
			return slices.DeleteFunc(found, func(d *simpleDR) bool { return d.exportTo != youngest.exportTo })
		}
	}
	return nil
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

// hostCovers tells whether a host, which may be a wildcard, covers another one, which may be one as well.
func hostCovers(host, other string) bool {
	suffix, wild := strings.CutPrefix(host, "*")
	return host == other || wild && strings.HasSuffix(strings.TrimPrefix(other, "*"), suffix)
}

func specific(host string) int {
	if strings.HasPrefix(host, "*") {
		return len(host)
	}
	return 1 << 10
}

// asked gives the name that TLS asks for by the rules, "" for none, and the version of the subset v1.
func asked(rules []*simpleDR, port int, subset bool) (name, version string) {
	for _, d := range rules {
		if !d.policy {
			continue
		}
		name = d.name + ".example.org"
		if port == 80 && d.port == "tls" {
			name = d.name + "-80.example.org"
		} else if port == 80 && d.port == "reset" {
			name = ""
		}
		break
	}
	if !subset {
		return name, ""
	}
	for _, d := range rules {
		if d.subset == "" {
			continue
		}
		if d.subsetPolicy {
			name = d.name + "-v1.example.org"
		}
		return name, d.subset
	}
	return "", ""
}

// addresses gives the servers of a port of a service, nil where it is not by them that it is reached.
func (s *simpleService) addresses(port int, version string) (out []string, known bool) {
	for _, e := range s.servers {
		if e.resolution != "STATIC" || e.kubernetes {
			return nil, false
		}
		if !slices.Contains(e.ports, port) {
			continue
		}
		for _, server := range e.servers {
			if version == "" || server.version == version {
				out = append(out, fmt.Sprintf("%s:%d", server.address, port))
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out), true
}

func (e *simpleEntry) yaml() string {
	var b strings.Builder
	fmt.Fprintf(&b, "---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: %s, namespace: %s, creationTimestamp: \"2020-01-01T00:%02d:00Z\"}\nspec:\n", e.name, e.namespace, e.age)
	fmt.Fprintf(&b, "  hosts: [\"%s\"]\n  resolution: %s\n  location: %s\n", strings.Join(e.hosts, `", "`), e.resolution, map[bool]string{true: "MESH_INTERNAL", false: "MESH_EXTERNAL"}[e.internal])
	if e.exportTo != "" {
		fmt.Fprintf(&b, "  exportTo: [%q]\n", e.exportTo)
	}
	if e.address != "" {
		fmt.Fprintf(&b, "  addresses: [%s]\n", e.address)
	}
	b.WriteString("  ports:\n")
	for _, p := range e.ports {
		fmt.Fprintf(&b, "  - {number: %d, name: p%d, protocol: %s}\n", p, p, simplePorts()[p])
	}
	if len(e.servers) > 0 {
		b.WriteString("  endpoints:\n")
	}
	for _, s := range e.servers {
		fmt.Fprintf(&b, "  - {address: %s, labels: {version: %s}}\n", s.address, s.version)
	}
	return b.String()
}

func (d *simpleDR) yaml() string {
	var b strings.Builder
	fmt.Fprintf(&b, "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: %s, namespace: %s, creationTimestamp: \"2020-01-01T00:%02d:00Z\"}\nspec:\n  host: %q\n", d.name, d.namespace, d.age, d.host)
	if d.exportTo != "" {
		fmt.Fprintf(&b, "  exportTo: [%q]\n", d.exportTo)
	}
	if d.policy {
		fmt.Fprintf(&b, "  trafficPolicy:\n    tls: {mode: SIMPLE, sni: %s.example.org}\n", d.name)
		switch d.port {
		case "tls":
			fmt.Fprintf(&b, "    portLevelSettings: [{port: {number: 80}, tls: {mode: SIMPLE, sni: %s-80.example.org}}]\n", d.name)
		case "reset":
			b.WriteString("    portLevelSettings: [{port: {number: 80}, connectionPool: {tcp: {maxConnections: 5}}}]\n")
		}
	}
	if d.subset != "" {
		fmt.Fprintf(&b, "  subsets:\n  - name: v1\n    labels: {version: %s}\n", d.subset)
		if d.subsetPolicy {
			fmt.Fprintf(&b, "    trafficPolicy: {tls: {mode: SIMPLE, sni: %s-v1.example.org}}\n", d.name)
		}
	}
	return b.String()
}
