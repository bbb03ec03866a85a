// Package patch changes the messages that package envoy makes as EnvoyFilter objects ask for: it decodes
// their patches, finds what they match, and merges, inserts, replaces and removes as Istio documents it. A
// patch that fails, or leaves a message that Envoy's API forbids, is told and has no effect, and the others
// have theirs. It is pure: which patches there are, and in which order, is its caller's to say.
package patch

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// Patch is one item of an EnvoyFilter's configPatches.
type Patch struct {
	// ID tells patches apart, also those of two versions of one object.
	ID string

	object    *model.Object
	field     string // spec.configPatches[i]
	applyTo   networking.EnvoyFilter_ApplyTo
	context   networking.EnvoyFilter_PatchContext
	operation networking.EnvoyFilter_Patch_Operation
	match     *networking.EnvoyFilter_EnvoyConfigObjectMatch
	value     proto.Message // nil for REMOVE
	merger                  // for MERGE, which MERGE_AND_REPLACE_LIST is another way to do
}

// Parse decodes the patches of an EnvoyFilter object, each at its index: nil for one that cannot be used,
// which the problems say.
func Parse(o *model.Object) ([]*Patch, []model.Problem) {
	spec := o.Spec.(*networking.EnvoyFilter)
	out := make([]*Patch, len(spec.GetConfigPatches()))
	var problems []model.Problem
	for i, item := range spec.GetConfigPatches() {
		p := &parser{object: o, field: fmt.Sprintf("spec.configPatches[%d]", i)}
		if patch := p.parse(item); patch != nil {
			patch.ID = identity(o, i, item)
			out[i] = patch
		}
		problems = append(problems, p.problems...)
	}
	return out, problems
}

// identity names a patch with all that it says.
func identity(o *model.Object, i int, item *networking.EnvoyFilter_EnvoyConfigObjectPatch) string {
	content, _ := proto.MarshalOptions{Deterministic: true}.Marshal(item)
	return o.Key.String() + "#" + strconv.Itoa(i) + "=" + string(content)
}

// parser reads one patch.
type parser struct {
	object   *model.Object
	field    string
	problems []model.Problem
}

func (p *parser) report(field string, severity model.Severity, reason model.Reason, message string) {
	p.problems = append(p.problems, model.Problem{
		Object: p.object.Key, Field: p.field + field, Severity: severity, Reason: reason, Message: message, Origin: p.object.Origin,
	})
}

// fail refuses the object, as validation asks for its patches here.
func (p *parser) fail(field, message string) {
	p.report(field, model.SeverityError, model.ReasonInvalid, message+"; until then no patch of the object has an effect")
}

func (p *parser) parse(item *networking.EnvoyFilter_EnvoyConfigObjectPatch) *Patch {
	out := &Patch{
		object: p.object, field: p.field, applyTo: item.GetApplyTo(), context: item.GetMatch().GetContext(),
		operation: item.GetPatch().GetOperation(), match: item.GetMatch(),
	}
	bootstrap := out.applyTo == networking.EnvoyFilter_BOOTSTRAP
	if out.operation == networking.EnvoyFilter_Patch_MERGE_AND_REPLACE_LIST && !bootstrap { // whose lists Envoy merges
		out.operation, out.replaceLists = opMerge, true
	}
	k, known := kinds[out.applyTo]
	if slices.Contains(operations{opBefore, opAfter, opFirst}, out.operation) && !slices.Contains(k.operations, out.operation) {
		out.operation = opAdd // as in Istio, where there is no order
	}
	switch {
	case !known:
		p.fail(".applyTo", "write what the patch is applied to, such as CLUSTER or HTTP_FILTER")
		return nil
	case out.context == networking.EnvoyFilter_WAYPOINT:
		p.report(".match.context", model.SeverityWarning, model.ReasonNotTranslated, "there are no waypoints here; the patch has no effect")
		return nil
	case out.operation == networking.EnvoyFilter_Patch_INVALID:
		p.fail(".patch.operation", "there is none; write "+names(k.operations))
		return nil
	case !slices.Contains(k.operations, out.operation): // as documented, and told by no one in Istio
		p.report(".patch.operation", model.SeverityWarning, model.ReasonInvalid,
			fmt.Sprintf("%s is not possible for %s, so the patch has no effect; write %s", item.GetPatch().GetOperation(), out.applyTo, names(k.operations)))
		return nil
	case item.GetMatch().GetWaypoint() != nil:
		return nil // the source tells that there are none
	case !p.matches(out.applyTo, k.match, item.GetMatch()):
		return nil
	}
	if item.GetPatch().GetFilterClass() != networking.EnvoyFilter_Patch_UNSPECIFIED {
		p.report(".patch.filterClass", model.SeverityWarning, model.ReasonNotTranslated, "it has no effect; say where the filter goes by INSERT_BEFORE, INSERT_AFTER or INSERT_FIRST")
	}
	if out.operation != networking.EnvoyFilter_Patch_REMOVE && !p.decode(item.GetPatch().GetValue(), k.message(), out) {
		return nil
	}
	if bootstrap {
		out.context = networking.EnvoyFilter_ANY // an Envoy has one, whichever context the match names
	}
	if name, instead := istioOnly(out); instead != "" {
		p.report("", model.SeverityWarning, model.ReasonNotTranslated, "filter "+name+" is of Istio's own Envoy and not here: "+instead+"; the patch has no effect")
		return nil
	}
	return out
}

func names(operations []networking.EnvoyFilter_Patch_Operation) string {
	out := make([]string, len(operations))
	for i, op := range operations {
		out[i] = op.String()
	}
	return strings.Join(out, ", ")
}

// matches tells whether a match is of the class that the patch is applied to.
func (p *parser) matches(to networking.EnvoyFilter_ApplyTo, want matchClass, m *networking.EnvoyFilter_EnvoyConfigObjectMatch) bool {
	var got matchClass
	switch m.GetObjectTypes().(type) {
	case nil:
		return true
	case *networking.EnvoyFilter_EnvoyConfigObjectMatch_Listener:
		got = matchListener
	case *networking.EnvoyFilter_EnvoyConfigObjectMatch_RouteConfiguration:
		got = matchRoute
	case *networking.EnvoyFilter_EnvoyConfigObjectMatch_Cluster:
		got = matchCluster
	}
	if want == "" {
		p.report(".match", model.SeverityWarning, model.ReasonInvalid, fmt.Sprintf("a match of a %s says nothing of %s; remove it", got, to))
		return true
	}
	if got != want {
		p.fail(".match", fmt.Sprintf("a match of a %s says nothing of %s; match a %s", got, to, want))
	}
	return got == want
}

// istioOnly finds a filter of Istio's build of Envoy that a patch is about, and what takes its place.
func istioOnly(p *Patch) (name, instead string) {
	filter := p.match.GetListener().GetFilterChain().GetFilter()
	named := []string{filter.GetName(), filter.GetSubFilter().GetName(), p.match.GetListener().GetListenerFilter()}
	if v, ok := p.value.(interface{ GetName() string }); ok && p.applyTo != networking.EnvoyFilter_CLUSTER {
		named = append(named, v.GetName())
	}
	for _, n := range named {
		switch n {
		case "istio.stats", "stats", "istio_stats":
			return n, "requests are counted as a Telemetry object says"
		case "istio.metadata_exchange", "envoy.filters.network.metadata_exchange", "envoy.filters.network.upstream.metadata_exchange", "istio.peer_metadata":
			return n, "workloads know each other by the certificates of their mutual TLS"
		case "istio.alpn":
			return n, "protocols are offered as the cluster's metadata says; set alpn_protocols of the cluster instead"
		case "istio_authn":
			return n, "peers and tokens are checked as PeerAuthentication and RequestAuthentication say"
		}
	}
	return "", ""
}

// Problem tells of something wrong with the patch.
func (p *Patch) problem(field string, err error) model.Problem {
	return model.Problem{
		Object: p.object.Key, Field: p.field + field, Severity: model.SeverityError, Reason: model.ReasonInvalid, Origin: p.object.Origin,
		Message: fmt.Sprintf("%v; the patch is left out there", err),
	}
}

// In tells whether a patch may change a message in a context.
func (p *Patch) In(c Context) bool { return p.context == networking.EnvoyFilter_ANY || p.context == c }

// is tells whether a patch is applied to a kind of message in a context.
func (p *Patch) is(to networking.EnvoyFilter_ApplyTo, c Context) bool {
	return p.applyTo == to && p.In(c)
}
