package semantics

import (
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"google.golang.org/protobuf/proto"
)

// What delegates mean: VirtualServices without hosts, whose rules stand where another's rule names them.

// delegated gives a VirtualService with the rules of its delegates in their place.
func (m *mesh) delegated(v *virtualService) *virtualService {
	out := &virtualService{v.meta, proto.CloneOf(v.VirtualService)}
	out.Http = nil
	for _, rule := range v.GetHttp() {
		if rule.GetDelegate() == nil {
			out.Http = append(out.Http, rule)
			continue
		}
		namespace := rule.GetDelegate().GetNamespace()
		if namespace == "" {
			namespace = v.namespace
		}
		for _, d := range m.rules {
			if d.namespace != namespace || d.name != rule.GetDelegate().GetName() || len(d.GetHosts()) > 0 || !lends(d, v.namespace) {
				continue
			}
			for _, own := range d.GetHttp() {
				if merged, ok := mergedMatches(rule.GetMatch(), own.GetMatch()); ok {
					own = proto.CloneOf(own)
					own.Match = merged
					out.Http = append(out.Http, own)
				}
			}
		}
	}
	return out
}

// lends tells whether a delegate is for those that delegate from a namespace.
func lends(d *virtualService, namespace string) bool {
	list := d.GetExportTo()
	return len(list) == 0 || slices.Contains(list, "*") || slices.Contains(list, namespace) || slices.Contains(list, ".") && d.namespace == namespace
}

// mergedMatches gives the matches of a delegate's rule, each with each of the root's that it lies in. Not ok
// tells that one lies in none, so that the rule has no effect.
func mergedMatches(root, own []*networking.HTTPMatchRequest) (out []*networking.HTTPMatchRequest, ok bool) {
	if len(root) == 0 || len(own) == 0 {
		return append(slices.Clone(root), own...), true
	}
	for _, o := range own {
		lies := false
		for _, r := range root {
			if !conflict(r, o) {
				out, lies = append(out, mergedMatch(r, o)), true
			}
		}
		if !lies {
			return nil, false
		}
	}
	return out, true
}

func mergedMatch(root, own *networking.HTTPMatchRequest) *networking.HTTPMatchRequest {
	out := proto.CloneOf(root)
	for name, m := range own.GetHeaders() {
		put(&out.Headers, name, m)
	}
	for name, m := range own.GetWithoutHeaders() {
		put(&out.WithoutHeaders, name, m)
	}
	for name, m := range own.GetQueryParams() {
		put(&out.QueryParams, name, m)
	}
	for name, value := range own.GetSourceLabels() {
		put(&out.SourceLabels, name, value)
	}
	if own.GetUri() != nil {
		out.Uri = own.GetUri()
	}
	if own.GetScheme() != nil {
		out.Scheme = own.GetScheme()
	}
	if own.GetMethod() != nil {
		out.Method = own.GetMethod()
	}
	if own.GetAuthority() != nil {
		out.Authority = own.GetAuthority()
	}
	if own.GetPort() != 0 {
		out.Port = own.GetPort()
	}
	if len(own.GetGateways()) > 0 {
		out.Gateways = own.GetGateways()
	}
	if own.GetSourceNamespace() != "" {
		out.SourceNamespace = own.GetSourceNamespace()
	}
	return out // both treat case alike, or they were in conflict
}

func put[V any](m *map[string]V, name string, value V) {
	if *m == nil {
		*m = map[string]V{}
	}
	(*m)[name] = value
}

// conflict tells whether a match of a delegate's rule does not lie in one of the root's. What either does not
// say is no conflict, but for the namespace: what a root asks for, the delegate has to ask for as well.
func conflict(root, own *networking.HTTPMatchRequest) bool {
	apart := beyond(root.GetUri(), own.GetUri()) || beyond(root.GetScheme(), own.GetScheme()) || beyond(root.GetMethod(), own.GetMethod()) || beyond(root.GetAuthority(), own.GetAuthority())
	for name, m := range own.GetHeaders() {
		apart = apart || beyond(root.GetHeaders()[name], m)
	}
	for name, m := range own.GetWithoutHeaders() {
		apart = apart || beyond(root.GetWithoutHeaders()[name], m)
	}
	for name, m := range own.GetQueryParams() {
		apart = apart || beyond(root.GetQueryParams()[name], m)
	}
	for name, value := range own.GetSourceLabels() {
		rootValue, asked := root.GetSourceLabels()[name]
		apart = apart || asked && value != rootValue
	}
	for _, g := range own.GetGateways() {
		apart = apart || len(root.GetGateways()) > 0 && !slices.Contains(root.GetGateways(), g)
	}
	return apart || root.GetSourceNamespace() != "" && own.GetSourceNamespace() != root.GetSourceNamespace() ||
		root.GetIgnoreUriCase() != own.GetIgnoreUriCase() || root.GetPort() != 0 && own.GetPort() != 0 && root.GetPort() != own.GetPort()
}

// beyond tells whether a match takes what the root's does not, or that this is not known, as of regular expressions and of
// matches without a value.
func beyond(root, own *networking.StringMatch) bool {
	switch {
	case root == nil || own == nil:
		return false
	case root.GetRegex() != "" || own.GetRegex() != "":
		return true
	case root.GetExact() != "":
		return own.GetExact() != root.GetExact()
	case root.GetPrefix() == "", own.GetPrefix() == "" && own.GetExact() == "":
		return true
	case own.GetPrefix() != "":
		return !strings.HasPrefix(own.GetPrefix(), root.GetPrefix())
	}
	return !strings.HasPrefix(own.GetExact(), root.GetPrefix())
}
