package analyze

import (
	"context"
	"fmt"
	"slices"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/proto"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/build"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/pilot/store"
)

// Place is where something stands that proxies do.
type Place struct {
	Object model.Key
	Field  string // path in the object; "" where only the object is known
	Name   string // that the rule has itself; may be empty
	// Of is the Ingress that Object was made of, in which Field stands; empty where Field stands in Object itself.
	Of model.Key
	model.Origin
}

// Places tells where in the files the rules stand by which one proxy goes.
type Places struct {
	mesh   *mesh
	routes map[routeAt]markedRoute
	ports  map[uint16]uint16 // of the proxy, by those of its Services
}

// routeAt is a route's place among the resources.
type routeAt struct {
	routes, host string
	index        int
}

// markedRoute is a route that says in which rules it was asked for, a delegating one before its delegate's.
type markedRoute struct {
	match *routev3.RouteMatch
	rules []Place
}

// Places makes the proxy's routes once more, of VirtualServices in which each rule has its place in its name:
// resources do not say it, since it would change them whenever a rule before it comes or goes. Where a patch goes by
// names of routes, what it changes is not found.
func (t *Translation) Places(ctx context.Context, p Proxy) (*Places, error) {
	out := &Places{mesh: t.mesh, routes: map[routeAt]markedRoute{}, ports: p.Ports}
	objects := t.mesh.withoutIngresses()
	for i, o := range objects {
		if vs, ok := o.Spec.(*networking.VirtualService); ok {
			marked := *o
			marked.Spec = markRules(o.Key, vs)
			objects[i] = &marked
		}
	}
	b := build.New(build.Options{Settings: t.settings})
	snapshot := store.FromObjects(objects, store.Options{Domain: t.mesh.domain, Cluster: t.mesh.cluster})
	if _, err := b.Advance(ctx, store.Commit{Snapshot: snapshot, Full: true}); err != nil {
		return nil, err
	}
	seat := b.Seat(p.of)
	for r := range b.Result(&seat.Class).Sets[resource.Routes].All() {
		message, err := r.Message()
		if err != nil {
			return nil, err
		}
		c := message.(*routev3.RouteConfiguration)
		for _, vh := range c.GetVirtualHosts() {
			for i, route := range vh.GetRoutes() {
				if rules := unmark(route.GetName()); len(rules) > 0 {
					out.routes[routeAt{c.GetName(), vh.GetName(), i}] = markedRoute{route.GetMatch(), rules}
				}
			}
		}
	}
	return out, nil
}

// A mark is put at the end of a rule's or a match's name: KIND/NAMESPACE/NAME and the field, between these.
const markBegin, markSeparator, markEnd = "\x01", "\x02", "\x03"

// markRules gives the rules of a VirtualService with their places in their names.
func markRules(key model.Key, vs *networking.VirtualService) *networking.VirtualService {
	out := proto.CloneOf(vs)
	for i, rule := range out.GetHttp() {
		field := fmt.Sprintf("spec.http[%d]", i)
		for j, m := range rule.GetMatch() {
			m.Name += mark(key, fmt.Sprintf("%s.match[%d]", field, j), rule.GetName())
		}
		rule.Name += mark(key, field, rule.GetName())
	}
	return out
}

func mark(key model.Key, field, name string) string {
	return markBegin + strings.Join([]string{key.Namespace, key.Name, field, name}, markSeparator) + markEnd
}

// unmark gives the marks in a name. Of a rule and a match in it, the match stays.
func unmark(name string) []Place {
	var out []Place
	for {
		_, rest, found := strings.Cut(name, markBegin)
		if !found {
			return out
		}
		text, after, _ := strings.Cut(rest, markEnd)
		name = after
		parts := strings.Split(text, markSeparator)
		if len(parts) != 4 {
			continue
		}
		p := Place{Object: model.Key{Kind: model.KindVirtualService, Namespace: parts[0], Name: parts[1]}, Field: parts[2], Name: parts[3]}
		same := func(o Place) bool { return o.Object == p.Object && strings.HasPrefix(p.Field, o.Field) }
		if i := slices.IndexFunc(out, same); i >= 0 {
			out[i] = p
		} else {
			out = append(out, p)
		}
	}
}

// Route gives the rules that a route comes from, a delegating one before its delegate's; none where the proxy runs
// another route there.
func (p *Places) Route(routes, host string, index int, match *routev3.RouteMatch) []Place {
	found, ok := p.routes[routeAt{routes, host, index}]
	if !ok || !proto.Equal(found.match, match) {
		return nil
	}
	out := slices.Clone(found.rules)
	for i := range out {
		p.stand(&out[i])
	}
	return out
}

// Subset gives where a DestinationRule has a subset.
func (p *Places) Subset(rule model.Key, name string) Place {
	out := Place{Object: rule}
	if o := p.mesh.known(rule); o != nil && name != "" {
		if spec, ok := o.Spec.(*networking.DestinationRule); ok {
			if i := slices.IndexFunc(spec.GetSubsets(), func(s *networking.Subset) bool { return s.GetName() == name }); i >= 0 {
				out.Field = fmt.Sprintf("spec.subsets[%d]", i)
			}
		}
	}
	p.stand(&out)
	return out
}

// Server gives where a Gateway has the server of a port, or a VirtualService the rule of names in TLS handshakes, that
// has one of the names; any where there are none.
func (p *Places) Server(of model.Key, port uint16, names []string) Place {
	out := Place{Object: of}
	var spec any
	if o := p.mesh.known(of); o != nil {
		spec = o.Spec
	}
	switch spec := spec.(type) {
	case *networking.Gateway:
		out.Field = serverOf(spec, p.ports, port, names)
	case *networking.VirtualService:
		out.Field = connectionRuleOf(spec, names)
	}
	p.stand(&out)
	return out
}

// serverOf finds the one server of a Gateway that a listener's port and names in TLS handshakes fit; "" where several
// do. ports are where the gateway's Service sends what comes to its own ports, by which servers go.
func serverOf(gw *networking.Gateway, ports map[uint16]uint16, port uint16, names []string) string {
	found := ""
	for i, s := range gw.GetServers() {
		number := uint16(s.GetPort().GetNumber())
		if number != port && ports[number] != port {
			continue
		}
		if plain := s.GetTls() == nil || s.GetTls().GetHttpsRedirect(); !(len(names) == 0 && plain) && !slices.ContainsFunc(s.GetHosts(), func(host string) bool {
			_, name, qualified := strings.Cut(host, "/")
			if !qualified {
				name = host
			}
			return slices.Contains(names, name)
		}) {
			continue
		}
		if found != "" {
			return ""
		}
		found = fmt.Sprintf("spec.servers[%d]", i)
	}
	return found
}

// connectionRuleOf finds the rule for names in TLS handshakes, or the only one for TCP.
func connectionRuleOf(vs *networking.VirtualService, names []string) string {
	for i, rule := range vs.GetTls() {
		for j, m := range rule.GetMatch() {
			if slices.ContainsFunc(m.GetSniHosts(), func(n string) bool { return slices.Contains(names, n) }) {
				return fmt.Sprintf("spec.tls[%d].match[%d]", i, j)
			}
		}
	}
	if len(vs.GetTcp()) == 1 && len(names) == 0 {
		return "spec.tcp[0]"
	}
	return ""
}

// Object gives where an object itself stands.
func (p *Places) Object(key model.Key) Place {
	out := Place{Object: key}
	p.stand(&out)
	return out
}

// stand fills in file and line.
func (p *Places) stand(at *Place) { p.mesh.stand(at) }
