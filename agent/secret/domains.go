package secret

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// proxyMetadata is the number of ProxyConfig.proxy_metadata in istio.mesh.v1alpha1, where the control plane names
// trust domains.
const proxyMetadata protowire.Number = 24

// domainKey begins the names of trust domains there.
const domainKey = "trust-domain:"

// Domain is a trust domain whose identities are verified against roots of its own.
type Domain struct {
	Name string
	// Roots is PEM; empty for the workload's own domain, whose roots are those of the Value.
	Roots []byte
}

// readDomain takes a trust domain from one entry of the metadata, nil for another entry.
func readDomain(entry []byte) (*Domain, error) {
	var key, value string
	for len(entry) > 0 {
		num, typ, n := protowire.ConsumeTag(entry)
		if n < 0 {
			return nil, protowire.ParseError(n)
		}
		entry = entry[n:]
		var text string
		if typ == protowire.BytesType {
			text, n = protowire.ConsumeString(entry)
		} else {
			n = protowire.ConsumeFieldValue(num, typ, entry)
		}
		if n < 0 {
			return nil, protowire.ParseError(n)
		}
		entry = entry[n:]
		switch num {
		case 1:
			key = text
		case 2:
			value = text
		}
	}
	name, ok := strings.CutPrefix(key, domainKey)
	if !ok || name == "" {
		return nil, nil
	}
	d := &Domain{Name: name}
	if value == "" {
		return d, nil
	}
	var err error
	if d.Roots, err = normalized(value); err != nil {
		return nil, fmt.Errorf("trust domain %q: %w", name, err)
	}
	return d, nil
}

// domainsOf gives the trust domains in the order of their names, of which a map has none.
func domainsOf(all map[string]Domain) []Domain {
	var out []Domain
	for _, name := range slices.Sorted(maps.Keys(all)) {
		out = append(out, all[name])
	}
	return out
}

// versionOf names roots, those of trust domains included.
func versionOf(roots []byte, domains []Domain) string {
	all := slices.Clone(roots)
	for _, d := range domains {
		all = fmt.Appendf(all, "%q %q", d.Name, d.Roots)
	}
	return version(all)
}

// own gives the roots of the workload's own trust domain alone, by which every peer is verified.
func own(v *Value) *Value {
	if v == nil || len(v.Domains) == 0 {
		return v
	}
	return &Value{Version: version(v.Roots), Roots: v.Roots}
}

// with gives the roots of the workload's own trust domain and those of further ones that are named, each for its
// own identities. A domain that is not known adds nothing.
func with(v *Value, names []string) *Value {
	if v == nil || len(v.Domains) == 0 {
		return v
	}
	domains := slices.DeleteFunc(slices.Clone(v.Domains), func(d Domain) bool { return len(d.Roots) > 0 && !slices.Contains(names, d.Name) })
	return &Value{Version: versionOf(v.Roots, domains), Roots: v.Roots, Domains: domains}
}
