package dns

import (
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/pilothouse-mesh/pilothouse/proto/nds"
)

// ttl of answers from the table, in seconds.
const ttl = 30

// kubernetes is the registry whose names have short forms.
const kubernetes = "Kubernetes"

// entry is what a name resolves to.
type entry struct{ v4, v6 []netip.Addr }

// table is a name table made ready for look-up; it never changes. Names are in lower case, with the
// final dot; a wildcard starts with "*.".
type table struct {
	names map[string]*entry
	// search is the workload's first search domain, with a dot on either side; "" for none.
	search string
}

func newTable(t *nds.NameTable, namespace string, search []string) *table {
	out := &table{names: make(map[string]*entry, 2*len(t.GetTable()))}
	if len(search) > 0 {
		out.search = "." + canonical(search[0])
	}
	hosts := slices.Sorted(maps.Keys(t.GetTable()))
	for _, host := range hosts {
		out.names[canonical(host)] = newEntry(t.GetTable()[host].GetIps())
	}
	// Short forms come after all hosts, and never hide one.
	for _, host := range hosts {
		info := t.GetTable()[host]
		if info.GetRegistry() != kubernetes || info.GetShortname() == "" || info.GetNamespace() == "" {
			continue
		}
		e := out.names[canonical(host)]
		short := info.GetShortname()
		inNamespace := short + "." + info.GetNamespace()
		if info.GetNamespace() == namespace {
			out.add(short, e)
		}
		out.add(inNamespace, e)
		out.add(inNamespace+".svc", e)
	}
	return out
}

func (t *table) add(name string, e *entry) {
	name = canonical(name)
	if _, ok := t.names[name]; !ok {
		t.names[name] = e
	}
}

func canonical(name string) string { return strings.ToLower(dns.Fqdn(name)) }

// newEntry leaves out what is no address.
func newEntry(ips []string) *entry {
	e := &entry{}
	for _, s := range ips {
		ip, err := netip.ParseAddr(s)
		switch {
		case err != nil:
		case ip.Unmap().Is4():
			e.v4 = append(e.v4, ip.Unmap())
		default:
			e.v6 = append(e.v6, ip.WithZone(""))
		}
	}
	return e
}

// lookup answers for A and AAAA. False means that the name is none of the mesh's; a known name
// without an address of that family has an empty answer, since "no such name" would hide the other
// family.
func (t *table) lookup(name string, qtype uint16, shuffle func(int, func(i, j int))) ([]dns.RR, bool) {
	q := strings.ToLower(name)
	if e := t.names[q]; e != nil {
		return records(name, e, qtype, shuffle), true
	}
	// Resolvers try the search domains first: the chain says at once what the name without means.
	bare, searched := "", false
	if t.search != "" {
		bare, searched = strings.CutSuffix(q, t.search)
		bare += "."
	}
	if searched {
		if e := t.names[bare]; e != nil {
			return t.chain(name, bare, e, qtype, shuffle), true
		}
	}
	if e := t.wildcard(q); e != nil {
		return records(name, e, qtype, shuffle), true
	}
	if searched {
		if e := t.wildcard(bare); e != nil {
			return t.chain(name, bare, e, qtype, shuffle), true
		}
	}
	return nil, false
}

func (t *table) chain(name, bare string, e *entry, qtype uint16, shuffle func(int, func(i, j int))) []dns.RR {
	cname := &dns.CNAME{Hdr: header(name, dns.TypeCNAME), Target: bare}
	return append([]dns.RR{cname}, records(bare, e, qtype, shuffle)...)
}

// wildcard finds the most specific wildcard above a name.
func (t *table) wildcard(name string) *entry {
	for {
		_, parent, ok := strings.Cut(name, ".")
		if !ok || parent == "" {
			return nil
		}
		if e := t.names["*."+parent]; e != nil {
			return e
		}
		name = parent
	}
}

func header(name string, qtype uint16) dns.RR_Header {
	return dns.RR_Header{Name: name, Rrtype: qtype, Class: dns.ClassINET, Ttl: ttl}
}

func records(name string, e *entry, qtype uint16, shuffle func(int, func(i, j int))) []dns.RR {
	var out []dns.RR
	if qtype == dns.TypeA {
		for _, ip := range e.v4 {
			out = append(out, &dns.A{Hdr: header(name, qtype), A: net.IP(ip.AsSlice())})
		}
	} else {
		for _, ip := range e.v6 {
			out = append(out, &dns.AAAA{Hdr: header(name, qtype), AAAA: net.IP(ip.AsSlice())})
		}
	}
	shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}
