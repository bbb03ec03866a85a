package explain

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tcpproxy "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	"google.golang.org/protobuf/proto"
)

// probe is a request that is tried, and what is printed of it.
type probe struct {
	name    string
	request Request
	// left are the routes that can match, before and after.
	left [2]routesLeft
	// like names the request of another client, beside which this one is told only if something else becomes of it.
	like string
	// gone is how many routes a host had that has none of its own any more; 0 for all else.
	gone int
}

// routesLeft are the routes of a virtual host that can match a request; nil for none of a virtual host.
type routesLeft struct {
	of     *routev3.VirtualHost
	routes []*routev3.Route
}

// requests lists those that are answered otherwise. A gateway's policies decide about what comes to its listeners.
func (f *focus) requests() []Change {
	var out []Change
	said := map[string][]Difference{}
	for _, p := range f.probes() {
		a, b := f.try(p)
		c := Change{Request: p.name, Was: &a.Outcome, Is: &b.Outcome}
		switch {
		case p.gone > 0:
			c.Was, c.Differences = nil, []Difference{{Before: fmt.Sprintf("%d routes", p.gone), After: b.unanswered()}}
		case a.said() != b.said():
			c.Differences = f.differences(&p.request, a, b)
		}
		if len(c.Differences) > 0 && !slices.Equal(c.Differences, said[p.like]) {
			out = append(out, c)
		}
		said[p.name] = c.Differences
	}
	if !f.before.Captures() && !f.after.Captures() {
		out = append(out, f.calls()...)
	}
	return append(out, f.observed()...)
}

// observed lists what is told of all requests to a listener, and changes nothing of what becomes of them.
func (f *focus) observed() []Change {
	var out []Change
	for _, c := range f.resources {
		name, ok := strings.CutPrefix(c.Resource, "listener ")
		if !ok {
			continue
		}
		said := map[Difference]bool{}
		change := Change{Request: "any request " + listenerWords(name)}
		for _, d := range c.Differences {
			if !observes(d.What) {
				continue
			}
			before, after := extensions(d.Before), extensions(d.After)
			if before == after {
				before, after = otherWords(d.Before, d.After), otherWords(d.After, d.Before)
			}
			if before == after {
				before, after = "as before", "otherwise"
			}
			d.Before, d.After = before, after
			if !said[d] {
				said[d] = true
				change.Differences = append(change.Differences, d)
			}
		}
		if len(change.Differences) > 0 {
			out = append(out, change)
		}
	}
	return out
}

// observes tells of what is told of requests and changes nothing of what becomes of them.
func observes(topic string) bool { return topic == "access logs" || topic == "tracing" }

// wordsShown is how many words are named by which settings differ.
const wordsShown = 3

// otherWords gives the words and values in the JSON of a field that another one does not have.
func otherWords(text, other string) string {
	words := func(text string) []string {
		return strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(` "{}[],\…`, r) })
	}
	known := map[string]bool{":": true}
	for _, w := range words(other) {
		known[w] = true
	}
	var out []string
	for _, w := range words(text) {
		if !known[w] {
			known[w] = true
			out = append(out, w)
		}
	}
	if n := len(out) - wordsShown; n > 0 {
		out = append(out[:wordsShown], fmt.Sprintf("and %d more", n))
	}
	return strings.Join(out, " ")
}

// extensions names those in the JSON of a field.
func extensions(text string) string {
	var out []string
	for _, found := range extensionName.FindAllStringSubmatch(text, -1) {
		if name := found[1]; !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return strings.Join(out, ", ")
}

var extensionName = regexp.MustCompile(`"name":"envoy\.(?:access_loggers|tracers)\.([a-z_]+)"`)

// listenerWords says where the requests go that a listener takes.
func listenerWords(name string) string {
	switch name {
	case virtualInbound:
		return "that comes in"
	case virtualOutbound:
		return "to " + anyOtherPort
	}
	if at := strings.LastIndexByte(name, '_'); strings.HasPrefix(name, "0.0.0.0_") && at > 0 {
		return "to port " + name[at+1:]
	}
	return "to " + name
}

// door is where requests come in at a listener: one connection manager.
type door struct {
	request Request
	routes  [2]*routev3.RouteConfiguration // before and after
	hot     bool                           // it differs itself
	asks    bool                           // clients may show a certificate
	names   []string                       // in handshakes that lead to it; none for any
}

// probes gives requests that come to something that differs, by what is printed of them.
func (f *focus) probes() []probe {
	out, doors := map[string]probe{}, map[string]*door{}
	for side, config := range []*Config{f.before, f.after} {
		for _, l := range config.Listeners {
			if at, ok := reached(l); ok && l.GetName() != virtualInbound {
				f.enter(out, doors, config, side, l, at)
			}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(doors)) {
		f.pass(out, doors[key])
	}
	var all []probe
	for _, name := range slices.Sorted(maps.Keys(out)) {
		all = append(all, out[name])
	}
	return all
}

// reached gives where a client connects to so that a listener takes the connection.
func reached(l *listenerv3.Listener) (netip.AddrPort, bool) {
	at, err := netip.ParseAddr(l.GetAddress().GetSocketAddress().GetAddress())
	if err != nil {
		return netip.AddrPort{}, false
	}
	if at.IsUnspecified() {
		at = netip.MustParseAddr(UnknownAddress)
	}
	if l.GetName() == virtualOutbound {
		return netip.AddrPortFrom(at, otherPort), true // for which no listener is
	}
	return netip.AddrPortFrom(at, port(l.GetAddress())), true
}

// enter notes what can be tried at a listener: connections, names in handshakes, and doors.
func (f *focus) enter(out map[string]probe, doors map[string]*door, config *Config, side int, l *listenerv3.Listener, to netip.AddrPort) {
	way, hot := Direct, f.listeners[l.GetName()]
	asked := to.Port()
	if config.Captures() {
		way = Outbound
	} else {
		asked = config.askedFor(asked)
	}
	arrival := Request{Way: way, Destination: to, Protocol: TCP}
	if asked != to.Port() {
		arrival.Port = asked
	}
	where := netip.AddrPortFrom(to.Addr(), asked).String()
	if l.GetName() == virtualOutbound {
		where = "ANY:" + anyOtherPort
	} else if to.Addr().String() == UnknownAddress {
		where = fmt.Sprintf("*:%d", asked)
	}
	for _, chain := range append(slices.Clone(l.GetFilterChains()), l.GetDefaultFilterChain()) {
		if hot || f.leads(chain) {
			connections(out, chain, arrival, where)
		}
		for _, filter := range chain.GetFilters() {
			m := &hcm.HttpConnectionManager{}
			if !filter.GetTypedConfig().MessageIs(m) || filter.GetTypedConfig().UnmarshalTo(m) != nil {
				continue
			}
			r := arrival
			r.Protocol = HTTP11
			if chain.GetTransportSocket() != nil {
				r.TLS = &TLS{Certificate: true} // SNI is the host
			}
			key := fmt.Sprint(to, r.TLS != nil, cmp.Or(m.GetRds().GetRouteConfigName(), m.GetRouteConfig().GetName()))
			if doors[key] == nil {
				doors[key] = &door{request: r}
			}
			doors[key].routes[side] = config.routesOf(m)
			doors[key].hot, doors[key].asks = doors[key].hot || hot, doors[key].asks || asksCertificate(chain)
			doors[key].names = append(doors[key].names, namesAsked(chain)...)
		}
	}
}

// hasManager tells whether a chain takes requests.
func hasManager(chain *listenerv3.FilterChain) bool {
	return slices.ContainsFunc(chain.GetFilters(), func(f *listenerv3.Filter) bool { return f.GetTypedConfig().MessageIs(&hcm.HttpConnectionManager{}) })
}

// leads tells whether a chain leads connections to a cluster that differs.
func (f *focus) leads(chain *listenerv3.FilterChain) bool {
	for _, filter := range chain.GetFilters() {
		m := &tcpproxy.TcpProxy{}
		if !filter.GetTypedConfig().MessageIs(m) || filter.GetTypedConfig().UnmarshalTo(m) != nil {
			continue
		}
		for _, c := range m.GetWeightedClusters().GetClusters() {
			if f.clusters[c.GetName()] {
				return true
			}
		}
		return f.clusters[m.GetCluster()]
	}
	return false
}

// leadsRoute tells whether a route leads requests to a cluster that differs.
func (f *focus) leadsRoute(r *routev3.Route) bool {
	a := r.GetRoute()
	if f.clusters[a.GetCluster()] || a.GetClusterHeader() != "" && len(f.clusters) > 0 {
		return true
	}
	for _, c := range a.GetWeightedClusters().GetClusters() {
		if f.clusters[c.GetName()] {
			return true
		}
	}
	return slices.ContainsFunc(a.GetRequestMirrorPolicies(), func(m *routev3.RouteAction_RequestMirrorPolicy) bool { return f.clusters[m.GetCluster()] })
}

// pass adds requests to the virtual hosts of a door that differ, or that lead to what differs.
func (f *focus) pass(out map[string]probe, d *door) {
	asked := map[[2]*routev3.VirtualHost]bool{}
	for side, routes := range d.routes {
		changed := f.hosts[routes.GetName()]
		hot := d.hot || changed[""] || d.routes[1-side] == nil
		for _, vh := range routes.GetVirtualHosts() {
			differs := hot || changed[vh.GetName()]
			if !differs && !slices.ContainsFunc(vh.GetRoutes(), f.leadsRoute) {
				continue
			}
			for i, domain := range vh.GetDomains() {
				if i > 0 && !changed[vh.GetName()] {
					break // all others lead to the same
				}
				host := d.asked(domain)
				both := f.bothHosts(d, host)
				if asked[both] {
					continue
				}
				asked[both] = true
				r := d.request
				r.Host = host
				if short := shortHost(host); r.TLS == nil && both == f.bothHosts(d, short) {
					r.Host = short
				}
				for _, r := range d.clients(r) {
					f.ask(out, r, both, differs && hot || !alikeHosts(both))
				}
			}
		}
	}
}

// ask adds a client's requests to a virtual host before and after; with everything all of its routes count as different.
func (f *focus) ask(out map[string]probe, r Request, both [2]*routev3.VirtualHost, everything bool) {
	if n := goneRoutes(both); n > 0 {
		r.Path = "/"
		name := "any request to " + r.place()
		out[name+r.shows()] = probe{name: name + r.shows(), like: name, request: r, gone: n}
		return
	}
	for _, p := range f.routed(r, both, everything) {
		p.like = strings.TrimSuffix(p.name, r.shows())
		out[p.name] = p
	}
}

// bothHosts gives the virtual hosts of a door, before and after, that a host is led to.
func (f *focus) bothHosts(d *door, host string) [2]*routev3.VirtualHost {
	return [2]*routev3.VirtualHost{f.by[0].hostOf(d.routes[0], host), f.by[1].hostOf(d.routes[1], host)}
}

// goneRoutes counts the routes of a host that now goes where all others go, which is said once; 0 where it still has a
// virtual host of its own, or had one route only, of which more can be said.
func goneRoutes(both [2]*routev3.VirtualHost) int {
	n := len(both[0].GetRoutes())
	others := both[1] == nil || slices.Contains(both[1].GetDomains(), "*") && len(both[1].GetRoutes()) == 1
	if n < 2 || !others || both[0].GetName() == both[1].GetName() {
		return 0
	}
	return n
}

// alikeHosts tells whether virtual hosts are the same but for their routes and domains.
func alikeHosts(both [2]*routev3.VirtualHost) bool {
	if both[0] == nil || both[1] == nil {
		return false
	}
	var settings [2]proto.Message
	for i, vh := range both {
		out := settingsOf(vh)
		out.Domains, out.Metadata = nil, nil
		settings[i] = out
	}
	return proto.Equal(settings[0], settings[1])
}

// place is the host of a request, as it is printed.
func (r Request) place() string {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	host, _ := splitPort(r.Host)
	return fmt.Sprintf("%s://%s:%d", scheme, host, cmp.Or(r.Port, r.Destination.Port()))
}

// line is what is printed of a request.
func (r Request) line() string {
	out := r.method() + " " + r.place() + r.Path
	for _, h := range slices.Sorted(maps.Keys(r.Header)) {
		out += fmt.Sprintf(" -H '%s: %s'", h, r.Header[h][0])
	}
	for _, name := range slices.Sorted(maps.Keys(r.Claims)) {
		out += fmt.Sprintf(" with the claim %s: %v", name, r.Claims[name])
	}
	return out + r.shows()
}

// shortHost leaves out what all names of Services of a cluster end in.
func shortHost(host string) string {
	if short, _, ok := strings.Cut(host, ".svc."); ok && strings.Count(short, ".") == 1 {
		return short
	}
	return host
}
