package explain

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/proto"
)

// Part is what decided a step, as far as the resources tell it.
type Part struct {
	// Object is what the part names as its origin: /apis/GROUP/VERSION/namespaces/NS/KIND/NAME.
	Object string
	// Route stands at Index in a virtual host of a route configuration; nil where the part is none.
	Route               *routev3.Route
	Routes, VirtualHost string
	Index               int
	// Chain is a filter chain of a listener on Port; nil where the part is none.
	Chain *listenerv3.FilterChain
	Port  uint16
	// Subset is that of a cluster.
	Subset string
	// Field is where in the object the part stands, for one that says so itself, as a policy's rule.
	Field string
}

// Place is where it was asked for.
type Place struct {
	// Field is a path in the object, e.g. spec.http[2].match[0]; Name is that of the rule itself.
	Field string `json:"field,omitempty"`
	Name  string `json:"rule,omitempty"`
	// Of is the object in which Field stands, where the one that the resource names was made of it.
	Of   string `json:"of,omitempty"`
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"`
	// Read tells when File was read, where it has had another text since, as "as last read at 15:04:05".
	Read string `json:"read,omitempty"`
	// Delegate is the rule of another object to which the rule delegates, and where that stands.
	Delegate string `json:"delegate,omitempty"`
}

// ClusterOrigin is what a cluster of a host goes by.
type ClusterOrigin struct {
	// Rule is the DestinationRule in force, or its subset; empty for none.
	Rule Part
	// Elsewhere are parts of its traffic policy that stand in other objects.
	Elsewhere []Part
}

// String gives FIELD "NAME" of OBJECT, FILE:LINE.
func (p Place) String() string {
	out := p.Field
	if p.Name != "" {
		out += fmt.Sprintf(" %q", p.Name)
	}
	if p.Of != "" {
		out += " of " + p.Of
	}
	if p.File != "" {
		out += fmt.Sprintf(", %s:%d", p.File, p.Line)
	}
	if p.Read != "" {
		out += " (" + p.Read + ")"
	}
	if p.Delegate != "" {
		out += ", which delegates to " + p.Delegate
	}
	return strings.TrimPrefix(strings.TrimSpace(out), ", ")
}

// place asks where a part was asked for.
func (c *Config) place(p Part) Place {
	if p.Object == "" || c.Place == nil {
		return Place{Field: p.Field}
	}
	return c.Place(p)
}

// Patch is one of an EnvoyFilter, and where it stands.
type Patch struct {
	Object string // as Part has it
	Place  Place
}

// servedBy names the object that has the host of a virtual host or a cluster; "" where nobody knows.
func (c *Config) servedBy(host string) string {
	if c.ServedBy == nil || host == "" {
		return ""
	}
	return c.ServedBy(host)
}

// clusterPart is the part that asked for a cluster: the DestinationRule in force, else what has the host. What of the
// traffic policy stands elsewhere is told in lines.
func (w *walk) clusterPart(name, subset, object string) (of Part, elsewhere []string) {
	of = Part{Object: object, Subset: subset}
	host, port, ok := outboundHost(name)
	if w.shortcut != nil || !ok || w.ClusterBy == nil {
		return of, nil
	}
	by := w.ClusterBy(host, port, subset)
	if by.Rule.Object != "" && object != "" {
		of = by.Rule
	}
	for _, p := range by.Elsewhere {
		elsewhere = append(elsewhere, "goes by "+(&Step{Object: p.Object, Place: w.place(p)}).origin())
	}
	if of.Object == "" {
		of.Object = w.servedBy(host)
	}
	return of, elsewhere
}

// hostPart is the part that asked for a virtual host: the object that it names, else what has the host.
func (w *walk) hostPart(vh *routev3.VirtualHost) Part {
	if object := source(vh.GetMetadata()); object != "" {
		return Part{Object: object}
	}
	if vh.GetName() == blockAll {
		return w.unknownPart()
	}
	host, port := splitPort(vh.GetName())
	if w.shortcut != nil || port == "" || w.Gateway { // whose virtual hosts are those of rules
		return Part{}
	}
	return Part{Object: w.servedBy(host)}
}

// unknownPart is what decides about destinations that the proxy does not know.
func (w *walk) unknownPart() Part {
	if w.UnknownBy == nil || w.shortcut != nil {
		return Part{}
	}
	return w.UnknownBy()
}

// patched tells of the patches that a resource, or one part of it, went through. What they change stands among what
// other objects ask for.
func (w *walk) patched(whole, part proto.Message) (out []string) {
	if w.Patched == nil || w.shortcut != nil {
		return nil
	}
	for _, p := range w.Patched(whole, part) {
		out = append(out, "is patched by "+(&Step{Object: p.Object, Place: p.Place}).origin())
	}
	return out
}

// part is the route at a place of the virtual host.
func (x *exchange) part(index int, r *routev3.Route) Part {
	object := source(r.GetMetadata())
	if object == "" && source(x.vhost.GetMetadata()) == "" && slices.Contains([]string{"default", blockAll}, r.GetName()) {
		return x.hostPart(x.vhost) // no rule has it
	}
	return Part{
		Object: object, Route: r, Routes: x.config.GetName(), VirtualHost: x.vhost.GetName(), Index: index,
	}
}

// routeStep adds a step that the route asked for.
func (x *exchange) routeStep(stage Stage, name, text string, details ...string) {
	x.stepOf(stage, name, text, x.part(x.index, x.route), details...)
}

// routeAt names a route in a list of those that did not match.
func (x *exchange) routeAt(i int, r *routev3.Route) string {
	at := x.place(x.part(i, r))
	at.Name, at.Delegate = "", ""
	if text := at.String(); cmp.Or(at.Field, at.File) != "" {
		return fmt.Sprintf("%s (%s)", routeName(i, r), text)
	}
	return routeName(i, r)
}
