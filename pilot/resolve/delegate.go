package resolve

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"google.golang.org/protobuf/proto"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// httpRule is one HTTP rule in force of a VirtualService: its own, or a delegate's in the place of the
// rule that names the delegate.
type httpRule struct {
	spec *networking.HTTPRoute
	// owner and index say where it is written: in spec.http of which object.
	owner *model.Object
	index int
	// by is the place of the rule that names the delegate, that of the rule itself where it is no delegate's.
	by int
	// within are, for each match of a delegate's rule, the match of the delegating rule that it lies in; nil
	// where that has none.
	within []*networking.HTTPMatchRequest
}

// RuleInForce is an HTTP rule of a VirtualService, or one of a delegate with what the delegating rule adds.
type RuleInForce struct {
	Spec *networking.HTTPRoute
	// Owner is the object in whose spec.http the rule stands, at Index.
	Owner *model.Object
	Index int
	// By is the place of the rule that names the delegate; Index where Owner is the VirtualService itself.
	By int
}

// RulesInForce gives the HTTP rules of a VirtualService, those of delegates in the place of the rules that name them.
func RulesInForce(r Reader, o *model.Object) []RuleInForce {
	var out []RuleInForce
	for _, rule := range newVirtualService(r, o).http {
		out = append(out, RuleInForce{Spec: rule.spec, Owner: rule.owner, Index: rule.index, By: rule.by})
	}
	return out
}

func (rule *httpRule) field() string { return fmt.Sprintf("spec.http[%d]", rule.index) }

// carried tells whether the workload carries the labels that the delegating rule asks for in a match.
func (rule *httpRule) carried(match int, carries func(map[string]string) bool) bool {
	return rule.within == nil || carries(rule.within[match].GetSourceLabels())
}

// expand puts the rules of delegates in the place of those that name them, as Istio merges them.
func (vs *virtualService) expand(r Reader) {
	for i, rule := range vs.spec.GetHttp() {
		if rule.GetDelegate() == nil {
			vs.http = append(vs.http, httpRule{spec: rule, owner: vs.Object, index: i, by: i})
			continue
		}
		field := fmt.Sprintf("spec.http[%d]", i)
		delegate, why := vs.delegate(r, rule.GetDelegate())
		if delegate == nil {
			vs.problems = append(vs.problems, vs.ErrorAt(field+".delegate", model.ReasonReference, why+"; until then the rule is left out"))
			continue
		}
		vs.take(r, i, rule, delegate)
	}
}

// delegate finds the object that a rule names, or tells why there is none.
func (vs *virtualService) delegate(r Reader, ref *networking.Delegate) (*model.Object, string) {
	key := model.Key{Kind: model.KindVirtualService, Namespace: ref.GetNamespace(), Name: ref.GetName()}
	if key.Namespace == "" {
		key.Namespace = vs.Namespace
	}
	o := r.Object(key)
	if o == nil {
		return nil, "there is no " + key.String() + "; write one without hosts"
	}
	spec := o.Spec.(*networking.VirtualService)
	if len(spec.GetHosts()) > 0 {
		return nil, key.String() + " has hosts of its own, so it is no delegate; remove them"
	}
	if !model.VirtualServiceAudience(r.Mesh(), spec, o.Namespace).Has(vs.Namespace) {
		return nil, key.String() + " is not exported to namespace " + vs.Namespace + "; add it to the delegate's exportTo"
	}
	return o, ""
}

// take adds the rules of a delegate. One with a match that no match of the delegating rule holds for is
// left out.
func (vs *virtualService) take(r Reader, by int, root *networking.HTTPRoute, delegate *model.Object) {
	whole := completed(r, root, vs.Namespace)
	for i, rule := range delegate.Spec.(*networking.VirtualService).GetHttp() {
		out := httpRule{spec: completed(r, rule, delegate.Namespace), owner: delegate, index: i, by: by}
		if at, ok := out.narrow(whole.GetMatch()); !ok {
			vs.problems = append(vs.problems, delegate.ErrorAt(fmt.Sprintf("%s.match[%d]", out.field(), at), model.ReasonConflict,
				fmt.Sprintf("it lies in no match of spec.http[%d] of %s, which delegates to it; narrow it, until then the rule is left out there", by, vs.Key)))
			continue
		}
		inherit(out.spec, whole)
		vs.http = append(vs.http, out)
	}
}

// completed copies a rule with the short names of hosts and gateways completed by its object's namespace.
func completed(r Reader, rule *networking.HTTPRoute, namespace string) *networking.HTTPRoute {
	out := proto.CloneOf(rule)
	complete := func(d *networking.Destination) {
		if d.GetHost() != "" {
			d.Host = model.ResolveHost(d.GetHost(), namespace, r.Domain())
		}
	}
	for _, d := range out.GetRoute() {
		complete(d.GetDestination())
	}
	complete(out.GetMirror())
	for _, m := range out.GetMirrors() {
		complete(m.GetDestination())
	}
	for _, m := range out.GetMatch() {
		for i, g := range m.GetGateways() {
			m.Gateways[i] = model.GatewayName(g, namespace)
		}
	}
	return out
}

// narrow gives a delegate's rule the matches that hold where one of its own and one of the delegating
// rule's do. Not ok tells of a match that lies in none of those.
func (rule *httpRule) narrow(roots []*networking.HTTPMatchRequest) (at int, ok bool) {
	own := rule.spec.GetMatch()
	switch {
	case len(roots) == 0:
		return 0, true
	case len(own) == 0:
		rule.spec.Match = roots
		return 0, true
	}
	var merged []*networking.HTTPMatchRequest
	for i, m := range own {
		found := false
		for _, root := range roots {
			if liesIn(m, root) {
				merged, rule.within, found = append(merged, mergeMatch(root, m)), append(rule.within, root), true
			}
		}
		if !found {
			return i, false
		}
	}
	rule.spec.Match = merged
	return 0, true
}

// inherit fills in what a delegate's rule leaves out and the delegating rule says.
func inherit(rule, root *networking.HTTPRoute) {
	rule.Name = joined(root.GetName(), rule.GetName())
	rule.Rewrite = cmp.Or(rule.Rewrite, root.Rewrite)
	rule.Timeout = cmp.Or(rule.Timeout, root.Timeout)
	rule.Retries = cmp.Or(rule.Retries, root.Retries)
	rule.Fault = cmp.Or(rule.Fault, root.Fault)
	rule.CorsPolicy = cmp.Or(rule.CorsPolicy, root.CorsPolicy)
	rule.Headers = cmp.Or(rule.Headers, root.Headers)
	rule.Mirror = cmp.Or(rule.Mirror, root.Mirror)
	if len(rule.Mirrors) == 0 {
		rule.Mirrors = root.Mirrors
	}
	//lint:ignore SA1019 users still write it
	if rule.MirrorPercentage == nil && rule.MirrorPercent == nil {
		//lint:ignore SA1019 users still write it
		rule.MirrorPercentage, rule.MirrorPercent = root.MirrorPercentage, root.MirrorPercent
	}
}

// joined gives root-own, the name of what is merged.
func joined(root, own string) string {
	if root == "" || own == "" {
		return root + own
	}
	return root + "-" + own
}

// mergeMatch gives the match that holds where both do; own lies in root. Labels of the source stay those of
// own, since a set of labels is known as one: httpRule.carried asks for the others.
func mergeMatch(root, own *networking.HTTPMatchRequest) *networking.HTTPMatchRequest {
	if own == nil {
		own = &networking.HTTPMatchRequest{}
	}
	out := proto.CloneOf(own)
	out.Name = joined(root.GetName(), own.GetName())
	out.Uri = cmp.Or(out.Uri, root.GetUri())
	out.Scheme = cmp.Or(out.Scheme, root.GetScheme())
	out.Method = cmp.Or(out.Method, root.GetMethod())
	out.Authority = cmp.Or(out.Authority, root.GetAuthority())
	out.Headers = mergeStrings(root.GetHeaders(), own.GetHeaders())
	out.WithoutHeaders = mergeStrings(root.GetWithoutHeaders(), own.GetWithoutHeaders())
	out.QueryParams = mergeStrings(root.GetQueryParams(), own.GetQueryParams())
	out.Port = cmp.Or(out.Port, root.GetPort())
	out.SourceNamespace = cmp.Or(out.SourceNamespace, root.GetSourceNamespace())
	out.StatPrefix = cmp.Or(out.StatPrefix, root.GetStatPrefix())
	if len(out.Gateways) == 0 {
		out.Gateways = root.GetGateways()
	}
	return out
}

func mergeStrings(root, own map[string]*networking.StringMatch) map[string]*networking.StringMatch {
	if len(root) == 0 {
		return own
	}
	out := maps.Clone(root)
	maps.Copy(out, own)
	return out
}

// liesIn tells whether a match of a delegate's rule may hold only where the delegating rule's does. What
// either leaves out is no conflict, but for a namespace that the delegating rule asks for: as in Istio both have to.
func liesIn(own, root *networking.HTTPMatchRequest) bool {
	for _, pair := range [][2]*networking.StringMatch{
		{root.GetUri(), own.GetUri()}, {root.GetScheme(), own.GetScheme()}, {root.GetMethod(), own.GetMethod()}, {root.GetAuthority(), own.GetAuthority()},
	} {
		if !subset(pair[1], pair[0]) {
			return false
		}
	}
	for _, pair := range [][2]map[string]*networking.StringMatch{
		{root.GetHeaders(), own.GetHeaders()}, {root.GetWithoutHeaders(), own.GetWithoutHeaders()}, {root.GetQueryParams(), own.GetQueryParams()},
	} {
		for name, m := range pair[1] {
			if !subset(m, pair[0][name]) {
				return false
			}
		}
	}
	for name, value := range own.GetSourceLabels() {
		if v, asked := root.GetSourceLabels()[name]; asked && v != value {
			return false
		}
	}
	if ns := root.GetSourceNamespace(); ns != "" && own.GetSourceNamespace() != ns {
		return false
	}
	if p := own.GetPort(); p != 0 && root.GetPort() != 0 && p != root.GetPort() {
		return false
	}
	outside := func(g string) bool { return !slices.Contains(root.GetGateways(), g) }
	if len(root.GetGateways()) > 0 && slices.ContainsFunc(own.GetGateways(), outside) {
		return false
	}
	return own.GetIgnoreUriCase() == root.GetIgnoreUriCase()
}

// subset tells whether all that one match takes the other takes too. Of a regular expression beside another
// match that is not known.
func subset(own, root *networking.StringMatch) bool {
	if own == nil || root == nil {
		return true
	}
	switch root := root.GetMatchType().(type) {
	case *networking.StringMatch_Exact:
		own, exact := own.GetMatchType().(*networking.StringMatch_Exact)
		return exact && own.Exact == root.Exact
	case *networking.StringMatch_Prefix:
		switch own := own.GetMatchType().(type) {
		case *networking.StringMatch_Exact:
			return strings.HasPrefix(own.Exact, root.Prefix)
		case *networking.StringMatch_Prefix:
			return strings.HasPrefix(own.Prefix, root.Prefix)
		}
	}
	return false
}
