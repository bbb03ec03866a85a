package explain

import (
	"net/netip"
	"slices"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
)

// domains finds the virtual host of a host without comparing it with all of them.
type domains struct {
	exact map[string]*routev3.VirtualHost
	wild  []wildDomain
}

type wildDomain struct {
	domain string // in lower case
	of     *routev3.VirtualHost
}

func newDomains(config *routev3.RouteConfiguration) *domains {
	out := &domains{exact: map[string]*routev3.VirtualHost{}}
	for _, vh := range config.GetVirtualHosts() {
		for _, d := range vh.GetDomains() {
			d = strings.ToLower(d)
			if strings.HasPrefix(d, "*") || strings.HasSuffix(d, "*") {
				out.wild = append(out.wild, wildDomain{d, vh})
			} else if out.exact[d] == nil {
				out.exact[d] = vh
			}
		}
	}
	return out
}

// find compares a host, in lower case, with the domains: itself, then the longest "*.suffix", then the longest
// "prefix.*", then "*" (Envoy API config.route.v3.VirtualHost, domains). It gives the domain as well.
func (d *domains) find(host string) (vh *routev3.VirtualHost, domain string) {
	if vh = d.exact[host]; vh != nil {
		return vh, host
	}
	rank := 0
	for _, w := range d.wild {
		if r := domainRank(w.domain, host); r > rank {
			rank, vh, domain = r, w.of, w.domain
		}
	}
	return vh, domain
}

// hostOf gives the virtual host that a host is led to; nil for none.
func (s *shortcut) hostOf(routes *routev3.RouteConfiguration, host string) *routev3.VirtualHost {
	host = strings.ToLower(host)
	if routes.GetIgnorePortInHostMatching() {
		host, _ = splitPort(host)
	}
	vh, _ := s.domains(routes).find(host)
	return vh
}

// shortcut is for who follows many requests through one configuration and reads of the answers what becomes of them:
// it finds virtual hosts at once, and has routes passed over of which it is known that they do not match.
type shortcut struct {
	indexed  map[*routev3.RouteConfiguration]*domains
	of       *routev3.VirtualHost // of which only routes of narrowed can match; nil for none
	narrowed *routev3.VirtualHost
	hosts    map[string]*Host // that were looked for
}

func newShortcut() *shortcut {
	return &shortcut{indexed: map[*routev3.RouteConfiguration]*domains{}, hosts: map[string]*Host{}}
}

// named gives the host of a request that goes out, as the client beside the proxy finds it; nil where nobody knows it.
func (s *shortcut) named(c *Config, r Request) *Host {
	name, _ := splitPort(r.Host)
	if c.Host == nil || r.Way != Outbound || name == "" {
		return nil
	}
	host, known := s.hosts[name]
	if !known {
		if host = c.Host(name); host != nil && len(host.Addresses) == 0 {
			host = nil
		}
		s.hosts[name] = host
	}
	return host
}

// arriving gives a request as a client sends it that finds a host: to the address that its DNS has by this configuration,
// where the request was made up for any address, or for one that the host had or will have.
func (c *Config) arriving(r Request, host, other *Host) Request {
	at := r.Destination.Addr()
	if host == nil || slices.Contains(host.Addresses, at) {
		return r
	}
	if at.String() == UnknownAddress || other != nil && slices.Contains(other.Addresses, at) {
		r.Destination = netip.AddrPortFrom(c.reachable(host.Addresses), r.Destination.Port())
	}
	return r
}

// domains gives those of a route configuration.
func (s *shortcut) domains(config *routev3.RouteConfiguration) *domains {
	if s == nil {
		return newDomains(config)
	}
	d := s.indexed[config]
	if d == nil {
		d = newDomains(config)
		s.indexed[config] = d
	}
	return d
}

// narrow notes that of the routes of a virtual host only some can match.
func (s *shortcut) narrow(vh *routev3.VirtualHost, routes []*routev3.Route) {
	if s.of != vh {
		s.of, s.narrowed = vh, settingsOf(vh)
	}
	if vh != nil {
		s.narrowed.Routes = routes
	}
}

// shortened gives a virtual host with the routes that can match.
func (s *shortcut) shortened(vh *routev3.VirtualHost) *routev3.VirtualHost {
	if s != nil && vh != nil && s.of == vh {
		return s.narrowed
	}
	return vh
}

// settingsOf gives a virtual host without its routes.
func settingsOf(vh *routev3.VirtualHost) *routev3.VirtualHost {
	out := &routev3.VirtualHost{}
	fields := vh.ProtoReflect().Descriptor().Fields()
	for n := range fields.Len() {
		if f := fields.Get(n); f.Name() != "routes" && vh.ProtoReflect().Has(f) {
			out.ProtoReflect().Set(f, vh.ProtoReflect().Get(f))
		}
	}
	return out
}
