package resolve

import (
	"slices"
	"strings"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// otherHost is a host that VirtualServices name and that no service has on the port of a route configuration.
type otherHost struct {
	name string
	// sets are the model.HostSets of those VirtualServices, sorted; nil for all, as on port 80. On other ports they are
	// those that name a service of the port as well, which says that this port is meant.
	sets []string
}

func (h otherHost) key() string { return h.name }

func (h otherHost) same(o otherHost) bool { return slices.Equal(h.sets, o.sets) }

// by tells whether a VirtualService counts for the host.
func (h *otherHost) by(vs model.Key) bool {
	of := model.HostSetOf(vs)
	at, _ := slices.BinarySearch(h.sets, of)
	return h.sets == nil || at < len(h.sets) && strings.HasPrefix(h.sets[at], of)
}

// others gives the names of the hosts that no service has, sorted.
func (rp *routePlan) others() []string {
	out := make([]string, len(rp.hosts))
	for i, h := range rp.hosts {
		out[i] = h.name
	}
	return out
}

// otherHosts finds the hosts that VirtualServices name and no service has on a port.
type otherHosts struct {
	r        Reader
	c        *Class
	scope    *scope
	services []*model.Service // that listeners are for, sorted by host
	sets     []string         // of the hosts of VirtualServices that have several
	besides  map[*egressHosts]map[string][]*hostSet
}

// hostSet is those of the hosts of a VirtualService that an egress listener lets pass.
type hostSet struct {
	name  string // the model.HostSet of all
	hosts []string
}

func newOtherHosts(r Reader, c *Class, s *scope, services []*model.Service) *otherHosts {
	return &otherHosts{r, c, s, services, r.VirtualServiceHostSets(c.Namespace), map[*egressHosts]map[string][]*hostSet{}}
}

// of gives those of a route configuration, sorted. On port 80 that is all that VirtualServices name. On another one
// nothing says that they mean it, unless they name a service of the port as well.
func (o *otherHosts) of(route *routePlan) []otherHost {
	sets := map[string][]string{}
	if route.port == 80 {
		for _, host := range o.named(80, route.egress) {
			sets[host] = nil
		}
	} else {
		o.addBesides(route, sets)
	}
	out := make([]otherHost, 0, len(sets))
	for host, by := range sets {
		slices.Sort(by)
		out = append(out, otherHost{host, by})
	}
	slices.SortFunc(out, func(a, b otherHost) int { return strings.Compare(a.name, b.name) })
	return out
}

// named gives all that VirtualServices name and that an egress listener lets pass, without the hosts of services on
// a port, sorted.
func (o *otherHosts) named(port uint32, egress *egressHosts) []string {
	return slices.DeleteFunc(distinct(slices.Clone(o.scope.within(egress).hosts(o.r, o.c))), func(host string) bool {
		return o.ofService(host, port, egress)
	})
}

// addBesides adds the hosts that VirtualServices name beside the services of a route configuration.
func (o *otherHosts) addBesides(route *routePlan, sets map[string][]string) {
	known := map[*hostSet]struct{}{}
	for _, sp := range route.services {
		for _, set := range o.beside(route.egress)[sp.service.Hostname] {
			if _, seen := known[set]; seen {
				continue
			}
			known[set] = struct{}{}
			for _, host := range set.hosts {
				if !o.ofService(host, route.port, route.egress) {
					sets[host] = append(sets[host], set.name)
				}
			}
		}
	}
}

// beside gives, by the host of a service, the sets of hosts that it is among.
func (o *otherHosts) beside(egress *egressHosts) map[string][]*hostSet {
	if out, known := o.besides[egress]; known {
		return out
	}
	out := map[string][]*hostSet{}
	o.besides[egress] = out
	for _, name := range o.sets {
		namespace, hosts := model.ParseHostSet(name)
		if egress != nil {
			hosts = egress.passing(namespace, hosts)
		}
		set := &hostSet{name, hosts}
		for _, host := range hosts {
			o.covered(host, func(svc *model.Service) bool {
				out[svc.Hostname] = append(out[svc.Hostname], set)
				return false
			})
		}
	}
	return out
}

// ofService tells whether a service has a host on a port, or one of those that it stands for.
func (o *otherHosts) ofService(host string, port uint32, egress *egressHosts) bool {
	return o.covered(host, func(svc *model.Service) bool {
		return svc.PortByNumber(port) != nil && (egress == nil || egress.allowService(svc))
	})
}

// covered visits the services of a host, or of those that it stands for, until one is found.
func (o *otherHosts) covered(host string, found func(*model.Service) bool) bool {
	if !isWildcard(host) {
		svc, known := find(o.services, host, hostname)
		return known && found(svc)
	}
	return slices.ContainsFunc(o.services, func(svc *model.Service) bool { return model.HostCovers(host, svc.Hostname) && found(svc) })
}
