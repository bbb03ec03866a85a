package explain

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/proto"
)

// Change is one thing that an Envoy does differently, or has differently.
type Change struct {
	// Request is what is asked, e.g. "GET http://reviews:9080/a"; empty for a resource.
	Request string `json:"request,omitempty"`
	// Resource is a type and a name, e.g. "cluster outbound|80||a"; empty for a request.
	Resource string `json:"resource,omitempty"`
	Before   string `json:"before,omitempty"`
	After    string `json:"after,omitempty"`
}

// String gives one line.
func (c Change) String() string {
	if c.Request != "" {
		return fmt.Sprintf("%s: %s, and was: %s", c.Request, c.After, c.Before)
	}
	return fmt.Sprintf("%s: %s", c.Resource, c.After)
}

// Diff lists what changes from one configuration to another: requests that the routes and listeners of either
// name and that are answered otherwise, then resources.
func Diff(before, after *Config) []Change {
	var out []Change
	probes := before.probes()
	maps.Copy(probes, after.probes())
	for _, name := range slices.Sorted(maps.Keys(probes)) {
		a, b := before.Explain(probes[name]).Outcome, after.Explain(probes[name]).Outcome
		if x, y := said(&a), said(&b); x != y {
			out = append(out, Change{Request: name, Before: a.difference(&b), After: b.difference(&a)})
		}
	}
	return append(out, resources(before, after)...)
}

// said is all of an outcome, for comparing.
func said(o *Outcome) string {
	text, err := json.Marshal(o)
	if err != nil {
		return err.Error() // it has no value that JSON lacks
	}
	return string(text)
}

// difference describes an outcome beside another one: by its line where that differs, else by all of it.
func (o *Outcome) difference(other *Outcome) string {
	if o.String() != other.String() || o.Forward == nil {
		return o.String()
	}
	var parts []string
	f := o.Forward
	parts = append(parts, o.String())
	for _, c := range f.Clusters {
		var hosts []string
		for _, e := range c.Endpoints {
			hosts = append(hosts, describeEndpoint(e))
		}
		parts = append(parts, fmt.Sprintf("%d endpoints [%s]", len(hosts), strings.Join(hosts, "; ")))
	}
	parts = append(parts, fmt.Sprintf("path %s, host %s, timeout %s", f.Path, f.Host, f.Timeout))
	if f.Retry != nil {
		parts = append(parts, fmt.Sprintf("%d retries on %s", f.Retry.Attempts, f.Retry.On))
	}
	for _, m := range f.Mirrors {
		parts = append(parts, fmt.Sprintf("%g %% copied to %s", m.Percent, m.Cluster))
	}
	for _, h := range append(slices.Clone(f.RequestHeaders), f.ResponseHeaders...) {
		parts = append(parts, fmt.Sprintf("%s %s %s", h.Do, h.Name, h.Value))
	}
	return strings.Join(parts, ", ")
}

// probes are requests that the configuration has something to say about, by what is printed of them.
func (c *Config) probes() map[string]Request {
	out := map[string]Request{}
	for _, l := range c.Listeners {
		at, err := netip.ParseAddr(l.GetAddress().GetSocketAddress().GetAddress())
		if err != nil || l.GetName() == virtualOutbound || l.GetName() == virtualInbound {
			continue
		}
		way := Direct
		if c.Captures() {
			way = Outbound
		}
		if at.IsUnspecified() {
			at = netip.MustParseAddr(UnknownAddress)
		}
		to := netip.AddrPortFrom(at, port(l.GetAddress()))
		out["tcp://"+to.String()] = Request{Way: way, Destination: to, Protocol: TCP}
		for _, chain := range append(slices.Clone(l.GetFilterChains()), l.GetDefaultFilterChain()) {
			for _, f := range chain.GetFilters() {
				m := &hcm.HttpConnectionManager{}
				if !f.GetTypedConfig().MessageIs(m) || f.GetTypedConfig().UnmarshalTo(m) != nil {
					continue
				}
				for _, vh := range c.routesOf(m).GetVirtualHosts() {
					probeHost(out, Request{Way: way, Destination: to, Protocol: HTTP11}, vh)
				}
			}
		}
	}
	return out
}

// probeHost adds a request for each route of a virtual host, under its first domain.
func probeHost(out map[string]Request, r Request, vh *routev3.VirtualHost) {
	r.Host = strings.Replace(vh.GetDomains()[0], "*", "any", 1)
	add := func(path string, header map[string][]string) {
		r.Path, r.Header = path, header
		name := fmt.Sprintf("GET http://%s:%d%s", r.Host, r.Destination.Port(), path)
		for _, h := range slices.Sorted(maps.Keys(header)) {
			name += fmt.Sprintf(" -H '%s: %s'", h, header[h][0])
		}
		out[name] = r
	}
	add("/", nil)
	for _, route := range vh.GetRoutes() {
		path := "/"
		switch p := route.GetMatch().GetPathSpecifier().(type) {
		case *routev3.RouteMatch_Prefix:
			path = p.Prefix
		case *routev3.RouteMatch_Path:
			path = p.Path
		}
		header := map[string][]string{}
		for _, h := range route.GetMatch().GetHeaders() {
			value := h.GetStringMatch().GetExact() + h.GetStringMatch().GetPrefix()
			if !h.GetInvertMatch() && value != "" && !strings.HasPrefix(h.GetName(), ":") {
				header[h.GetName()] = []string{value}
			}
		}
		add(path, header)
	}
}

// resources lists those that came, went, or are others now.
func resources(before, after *Config) []Change {
	a, b := before.named(), after.named()
	all := maps.Clone(a)
	maps.Copy(all, b)
	var out []Change
	for _, name := range slices.Sorted(maps.Keys(all)) {
		switch {
		case b[name] == nil:
			out = append(out, Change{Resource: name, Before: "there", After: "removed"})
		case a[name] == nil:
			out = append(out, Change{Resource: name, After: "added"})
		case !proto.Equal(a[name], b[name]):
			out = append(out, Change{Resource: name, Before: "there", After: "changed"})
		}
	}
	return out
}

// named gives all resources by type and name.
func (c *Config) named() map[string]proto.Message {
	out := map[string]proto.Message{}
	for _, m := range c.Listeners {
		out["listener "+m.GetName()] = m
	}
	for name, m := range c.Routes {
		out["routes "+name] = m
	}
	for name, m := range c.Clusters {
		out["cluster "+name] = m
	}
	for name, m := range c.Endpoints {
		out["endpoints of "+name] = m
	}
	return out
}
