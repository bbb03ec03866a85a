package explain

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/pilothouse-mesh/pilothouse/spelling"
)

// UnknownAddress stands for the address of a host that only DNS outside of the mesh knows (RFC 5737, TEST-NET-3).
const UnknownAddress = "203.0.113.1"

// Host is a host as a client finds it, by the mesh's DNS or by its own.
type Host struct {
	Name      string       // in full
	Object    string       // that has it, as resources name the objects that they come from; may be empty
	Addresses []netip.Addr // none where nobody knows them here
	Ports     []uint16     // that it has; none where nobody knows
	// Servers gives those to which Kubernetes leads what is sent to a port of its address; nil where nobody knows.
	Servers func(port uint16) []Endpoint
	// Headless tells that its addresses are those of its servers, so that it has none without servers.
	Headless bool
	// Hidden tells that the proxy does not see it.
	Hidden bool
	// Undiscovered tells that no DNS of the mesh has the name, but perhaps that of the client.
	Undiscovered bool
	// Absent says why DNS has no address for it; empty where it may have one.
	Absent string
	// Near are the names of the mesh that come closest to one that it does not know.
	Near []string
}

// Find gives the address to which a client of a namespace connects for a host, and what is known of the host: by Host,
// else by what the resources themselves say. It fails where these do not tell the address, and the listener depends on it.
func (c *Config) Find(name, namespace string, port uint16) (netip.Addr, *Host, error) {
	name = strings.Trim(name, "[]")
	var host *Host
	if c.Host != nil {
		host = c.Host(name)
	} else {
		host = c.hostShown(name, namespace)
	}
	if ip, err := netip.ParseAddr(name); err == nil {
		return ip, host, nil
	}
	if len(host.Addresses) > 0 {
		return c.reachable(host.Addresses), host, nil
	}
	if c.Host == nil && len(host.Ports) > 0 {
		if may := c.unclaimed(port); len(may) > 0 {
			return netip.Addr{}, nil, fmt.Errorf("the dump does not tell the address of %s, on which it depends what gets port %d: give it with --to; the proxy has listeners for %s", name, port, strings.Join(may, ", "))
		}
	}
	return netip.MustParseAddr(UnknownAddress), host, nil
}

// reachable gives the first address of the family that the client has.
func (c *Config) reachable(all []netip.Addr) netip.Addr {
	i := slices.IndexFunc(all, func(a netip.Addr) bool { return c.IP.IsValid() && a.Is4() == c.IP.Unmap().Is4() })
	return all[max(i, 0)]
}

// lacks tells whether what is asked for is a port that the host's Service does not have, so that nothing answers at
// its address.
func (h *Host) lacks(to netip.AddrPort) bool {
	return h != nil && !h.Headless && isService(h.Object) && len(h.Ports) > 0 &&
		slices.Contains(h.Addresses, to.Addr()) && !slices.Contains(h.Ports, to.Port())
}

// isService tells whether an object is a Service, whose address stands for its ports and nothing else.
func isService(object string) bool { return strings.Contains(object, "/service/") }

// ports lists those of a host.
func (h *Host) ports() string {
	var out []string
	for _, p := range slices.Compact(slices.Sorted(slices.Values(h.Ports))) {
		out = append(out, fmt.Sprint(p))
	}
	return strings.Join(out, ", ")
}

// find tells which address the client has found for the host.
func (w *walk) find() (found bool) {
	h, to := w.request.Named, w.request.Destination
	if h == nil {
		return true
	}
	var text string
	others := len(h.Addresses) - 1
	switch {
	case h.Absent != "":
		w.closed("", fmt.Sprintf("DNS has no address for host %s, and the client connects to nothing: %s", h.Name, h.Absent))
		text = "has no address in DNS: " + h.Absent
	case len(h.Addresses) == 0 && h.Headless:
		w.closed("", fmt.Sprintf("host %s is headless and has no server that is ready: DNS has no address for it, and the client connects to nothing", h.Name))
		text = w.answer.Outcome.Reason
	case to.Addr().String() == UnknownAddress:
		text = fmt.Sprintf("has the address that the client's DNS gives, for which %s stands", UnknownAddress)
		if h.Object == "" && h.Near != nil {
			text = "is no host of the mesh, and " + text
		}
	case others > 0:
		text = fmt.Sprintf("is found at %s, and at %d more: --to asks another", to.Addr(), others)
	default:
		text = fmt.Sprintf("is found at %s", to.Addr())
	}
	if h.Undiscovered && to.Addr().String() != UnknownAddress {
		text += ", if the client's own DNS knows the name: no proxy answers DNS here (ISTIO_META_DNS_CAPTURE)"
	}
	if h.Hidden {
		text += "; the proxy does not see it (exportTo or a Sidecar leaves it out)"
	}
	var details []string
	if len(h.Ports) > 0 && !slices.Contains(h.Ports, to.Port()) {
		details = append(details, fmt.Sprintf("it has no port %d; its ports are %s", to.Port(), h.ports()))
	}
	for _, n := range h.Near {
		details = append(details, "there is "+n)
	}
	w.stepOf(StageHost, h.Name, text, Part{Object: h.Object}, details...)
	return !w.answer.Outcome.Closed
}

// behind gives the servers behind the address of a Service to which a connection goes as it came; nil where these are
// not known.
func (w *walk) behind(to netip.AddrPort) []Endpoint {
	h := w.request.Named
	if h == nil || h.Servers == nil || h.Headless || !isService(h.Object) || to != w.request.Destination || !slices.Contains(h.Addresses, to.Addr()) {
		return nil
	}
	return h.Servers(to.Port())
}

// behindNames gives, in the place of endpoints that are names of Services, the servers behind the addresses which DNS has
// for these.
func (w *walk) behindNames(all []Endpoint) []Endpoint {
	if w.Host == nil {
		return all
	}
	var out []Endpoint
	for _, e := range all {
		servers := w.serversOf(e.Address)
		if len(servers) == 0 {
			out = append(out, e)
		}
		for _, s := range servers {
			server := e
			server.Address, server.Workload = s.Address, s.Workload
			out = append(out, server)
		}
	}
	return out
}

// serversOf gives the servers behind the address of a Service, of which a name and a port are given; nil where these are
// not known, and for all else.
func (w *walk) serversOf(named string) []Endpoint {
	name, port, err := net.SplitHostPort(named)
	if err != nil {
		return nil
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if _, isIP := netip.ParseAddr(name); err != nil || isIP == nil {
		return nil
	}
	h := w.Host(name)
	if h == nil || h.Servers == nil || h.Headless || !isService(h.Object) {
		return nil
	}
	return h.Servers(uint16(number))
}

// nothingThere says why nobody answers at a port that a Service does not have; "" where somebody may.
func (w *walk) nothingThere(to string) string {
	h := w.request.Named
	if !h.lacks(w.request.Destination) || to != w.request.Destination.String() {
		return ""
	}
	return fmt.Sprintf("%s has no port %d (it has %s): nothing answers at %s, and the connection is refused or waits in vain", (&Step{Object: h.Object}).origin(), w.request.Destination.Port(), h.ports(), to)
}

// Unknown gives a host that the mesh does not have, with those of its hosts that come closest.
func Unknown(name string, hosts []string) *Host {
	return &Host{Name: name, Near: append([]string{}, spelling.Nearest(name, hosts)...)}
}

// hostShown gives what resources tell of a host: the addresses beside its name among the domains of virtual hosts,
// those of listeners that lead straight to its clusters, and the ports of these. A listener that a VirtualService
// made does not tell whose it is.
func (c *Config) hostShown(name, namespace string) *Host {
	out := &Host{Name: name}
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	claimed := c.claims()
	for _, full := range claimed.hosts {
		if namesHost(full, name, namespace) {
			out.Name, out.Ports = full, claimed.ports[full]
			for _, ip := range claimed.addresses[full] {
				if !slices.Contains(out.Addresses, ip) {
					out.Addresses = append(out.Addresses, ip)
				}
			}
			break
		}
	}
	return out
}

// unclaimed lists the addresses on a port that listeners have and no known host.
func (c *Config) unclaimed(at uint16) []string {
	claimed := c.claims()
	var out []string
	for _, l := range c.Listeners {
		for _, a := range addresses(l) {
			ip, err := netip.ParseAddr(a.GetSocketAddress().GetAddress())
			if err != nil || ip.IsUnspecified() || port(a) != at || claimed.has(ip) {
				continue
			}
			out = append(out, ip.String())
		}
	}
	return out
}

// claimed is which hosts resources tell of.
type claimed struct {
	hosts     []string // sorted
	addresses map[string][]netip.Addr
	ports     map[string][]uint16
}

func (c claimed) has(ip netip.Addr) bool {
	for _, all := range c.addresses {
		if slices.Contains(all, ip) {
			return true
		}
	}
	return false
}

// claims reads the names of clusters, the domains of virtual hosts, and listeners that no object made.
func (c *Config) claims() claimed {
	out := claimed{addresses: map[string][]netip.Addr{}, ports: map[string][]uint16{}}
	for name := range c.Clusters {
		if host, port, ok := outboundHost(name); ok {
			if out.ports[host] == nil {
				out.hosts = append(out.hosts, host)
			}
			out.ports[host] = append(out.ports[host], port)
		}
	}
	slices.Sort(out.hosts)
	for _, r := range c.Routes {
		for _, vh := range r.GetVirtualHosts() {
			host, _ := splitPort(vh.GetName())
			for _, d := range vh.GetDomains() {
				d, _ = splitPort(d)
				if ip, err := netip.ParseAddr(strings.Trim(d, "[]")); err == nil {
					out.addresses[host] = append(out.addresses[host], ip)
				}
			}
		}
	}
	for _, l := range c.Listeners {
		host := straightTo(l)
		for _, a := range addresses(l) {
			ip, err := netip.ParseAddr(a.GetSocketAddress().GetAddress())
			if host != "" && err == nil && !ip.IsUnspecified() {
				out.addresses[host] = append(out.addresses[host], ip)
			}
		}
	}
	for _, all := range out.addresses {
		slices.SortFunc(all, func(a, b netip.Addr) int { return cmp.Or(cmp.Compare(a.BitLen(), b.BitLen()), a.Compare(b)) })
	}
	return out
}
