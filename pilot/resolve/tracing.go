package resolve

import (
	"fmt"
	"maps"
	"math"
	"path"
	"slices"
	"strings"

	meshconfig "istio.io/api/mesh/v1alpha1"
	telemetryapi "istio.io/api/telemetry/v1alpha1"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/proto/telemetry"
)

// defaultSampling is the share of requests in percent that Istio traces where nothing says otherwise.
const defaultSampling = 1

// traceRules are what the mesh and its Telemetry objects say of spans. What a later object says of a field
// replaces what was said before.
type traceRules struct {
	provider   string // "" for the tracer of the bootstrap
	namedBy    *model.Object
	namedAt    string // field of namedBy
	sampling   float64
	tags       []ir.TraceTag
	disabled   bool
	requestID  bool // decides about sampling
	istioTags  bool
	propagates bool
}

// traceRulesOf reads the rules for a side of requests. Names of providers are checked for both sides by
// tracing, so that each is reported once for a class.
func traceRulesOf(mesh *meshconfig.MeshConfig, objects []*model.Object, side telemetry.Reporter) traceRules {
	own := mesh.GetDefaultConfig().GetTracing()
	out := traceRules{sampling: defaultSampling, requestID: true, istioTags: true, propagates: true, tags: customTags(own.GetCustomTags())}
	if own.GetSampling() != 0 {
		out.sampling = own.GetSampling()
	}
	if b := own.GetEnableIstioTags(); b != nil {
		out.istioTags = b.GetValue()
	}
	if names := mesh.GetDefaultProviders().GetTracing(); len(names) > 0 {
		out.provider, out.namedBy, out.namedAt = names[0], meshObject(), "defaultProviders.tracing[0]"
	}
	for _, o := range objects {
		for i, t := range telemetryOf(o).GetTracing() {
			if hasSide(t.GetMatch().GetMode(), side) {
				out.apply(o, i, t)
			}
		}
	}
	return out
}

func (t *traceRules) apply(o *model.Object, i int, by *telemetryapi.Tracing) {
	if p := by.GetProviders(); len(p) > 0 {
		t.provider, t.namedBy, t.namedAt = p[0].GetName(), o, fmt.Sprintf("spec.tracing[%d].providers[0].name", i)
	}
	if v := by.GetRandomSamplingPercentage(); v != nil {
		t.sampling = v.GetValue()
	}
	if v := by.GetDisableSpanReporting(); v != nil {
		t.disabled = v.GetValue()
	}
	if tags := by.GetCustomTags(); len(tags) > 0 {
		t.tags = customTags(tags)
	}
	if v := by.GetUseRequestIdForTraceSampling(); v != nil {
		t.requestID = v.GetValue()
	}
	if v := by.GetEnableIstioTags(); v != nil {
		t.istioTags = v.GetValue()
	}
	if v := by.GetDisableContextPropagation(); v != nil {
		t.propagates = !v.GetValue()
	}
}

// tracing gives how a side of a class's requests is traced, nil for not at all. services finds what the
// class sends to.
func tracing(r Reader, c *Class, objects []*model.Object, side telemetry.Reporter, services func(host string) *model.Service) (*ir.Tracing, []model.Problem) {
	mesh := r.Mesh()
	rules := traceRulesOf(mesh, objects, side)
	if rules.disabled {
		return nil, nil
	}
	if math.IsNaN(rules.sampling) {
		rules.sampling = defaultSampling
	}
	out := &ir.Tracing{
		Sampling: min(max(rules.sampling, 0), 100), NoPropagation: !rules.propagates, IgnoreRequestID: !rules.requestID,
		MaxPathLength: mesh.GetDefaultConfig().GetTracing().GetMaxPathTagLength(),
	}
	out.Tags = rules.tags
	if rules.istioTags {
		out.Tags = slices.Concat(out.Tags, istioTags())
		if side == telemetry.Destination || c.Type == model.RouterProxy {
			out.Tags = slices.Concat(out.Tags, trialTags())
		}
	}
	slices.SortStableFunc(out.Tags, func(a, b ir.TraceTag) int { return strings.Compare(a.Name, b.Name) })
	out.Tags = slices.CompactFunc(out.Tags, func(a, b ir.TraceTag) bool { return a.Name == b.Name }) // the user's is first
	if rules.provider == "" {
		if !bootstrapTracer(mesh) {
			return nil, nil
		}
		return out, nil
	}
	provider, maxLength, problems := traceProvider(r, rules, services)
	if provider == nil {
		return nil, problems
	}
	out.Provider = provider
	// As in Istio, gateways tell what they receive from what they send; SkyWalking's next proxy learns of the trace by
	// the span of what is sent alone.
	_, skyWalking := provider.(*ir.SkyWalking)
	out.UpstreamSpan = skyWalking || c.Type == model.RouterProxy
	if p, ok := provider.(*ir.OpenTelemetry); ok && p.Sampler != nil {
		out.Sampling = 100 // Envoy's share comes before the sampler's
	}
	if maxLength > 0 {
		out.MaxPathLength = maxLength
	}
	return out, problems
}

// bootstrapTracer tells whether the agents give their Envoys a tracer that listeners may use.
func bootstrapTracer(mesh *meshconfig.MeshConfig) bool {
	//lint:ignore SA1019 users still write it
	address := mesh.GetDefaultConfig().GetZipkinAddress()
	t := mesh.GetDefaultConfig().GetTracing()
	return mesh.GetEnableTracing() && (address != "" || t.GetZipkin().GetAddress() != "" || t.GetDatadog().GetAddress() != "")
}

// istioTags are those that Istio gives every span. Each proxy has the values in its environment, so that
// a class shares its bytes.
func istioTags() []ir.TraceTag {
	var out []ir.TraceTag
	for _, t := range telemetry.TraceTags() {
		out = append(out, ir.TraceTag{Name: t.Name, Kind: ir.TagEnvironment, Value: t.Variable, Default: t.Default})
	}
	return out
}

// trialTags are those of requests that policies on trial have decided about, under Istio's names; Envoy leaves out what
// was not noted.
func trialTags() []ir.TraceTag {
	const prefix = "istio.authorization.dry_run."
	var out []ir.TraceTag
	for action, noted := range map[string]string{"allow": trialAllow, "deny": trialDeny} {
		for what, key := range map[string]string{"name": "shadow_effective_policy_id", "result": "shadow_engine_result"} {
			out = append(out, ir.TraceTag{Name: prefix + action + "_policy." + what, Kind: ir.TagAuthorization, Value: noted + key})
		}
	}
	return out // the caller sorts them
}

// customTag is a tag as MeshConfig and Telemetry objects write it, in messages of their own that have the same fields.
type customTag[L interface{ GetValue() string }, H, E named] interface {
	GetLiteral() L
	GetHeader() H
	GetEnvironment() E
}

// named is a header or a variable of the environment.
type named interface {
	GetName() string
	GetDefaultValue() string
}

// formatted is a tag that may have a format, which MeshConfig's have not.
type formatted interface {
	GetFormatter() *telemetryapi.Tracing_Formatter
}

// customTags gives the tags that Envoy takes, by name.
func customTags[T customTag[L, H, E], L interface{ GetValue() string }, H, E named](tags map[string]T) []ir.TraceTag {
	var out []ir.TraceTag
	for _, name := range slices.Sorted(maps.Keys(tags)) {
		t := tags[name]
		tag := ir.TraceTag{Name: name}
		if f, ok := any(t).(formatted); ok && f.GetFormatter() != nil {
			tag.Kind, tag.Value = ir.TagFormat, f.GetFormatter().GetValue()
		}
		if h := t.GetHeader(); h.GetName() != "" {
			tag.Kind, tag.Value, tag.Default = ir.TagHeader, h.GetName(), h.GetDefaultValue()
		}
		if e := t.GetEnvironment(); e.GetName() != "" {
			tag.Kind, tag.Value, tag.Default = ir.TagEnvironment, e.GetName(), e.GetDefaultValue()
		}
		if v := t.GetLiteral().GetValue(); v != "" {
			tag.Kind, tag.Value = ir.TagLiteral, v
		}
		out = appendTag(out, tag)
	}
	return out
}

// appendTag leaves out a tag that Envoy would refuse the listener for; tagProblems says so.
func appendTag(out []ir.TraceTag, t ir.TraceTag) []ir.TraceTag {
	if tagFault(t) != "" {
		return out
	}
	return append(out, t)
}

// tagFault says why Envoy would not take a tag, "" when it does.
func tagFault(t ir.TraceTag) string {
	switch {
	case t.Name == "" || t.Value == "":
		return "it has no name or no value"
	case t.Kind == ir.TagHeader && (strings.HasPrefix(t.Value, ":") && !slices.Contains(pseudoHeaders, t.Value) || !strings.HasPrefix(t.Value, ":") && !headerName(t.Value)):
		return "no header can have this name"
	case t.Kind == ir.TagFormat && !formatString(t.Value):
		return "% starts a command of Envoy such as %REQ(name)%, and this is none"
	}
	return ""
}

// pseudoHeaders are those of HTTP/2 (RFC 9113, section 8.3.1).
var pseudoHeaders = []string{":authority", ":method", ":path", ":scheme"}

// tagProblems reports the tags that are left out, of either side.
func tagProblems(mesh *meshconfig.MeshConfig, objects []*model.Object) []model.Problem {
	var out []model.Problem
	report := func(o *model.Object, field string, names []string, taken []ir.TraceTag) {
		for _, name := range names {
			if !slices.ContainsFunc(taken, func(t ir.TraceTag) bool { return t.Name == name }) {
				out = append(out, o.ErrorAt(field+"["+name+"]", model.ReasonInvalid,
					"this is no tag that Envoy takes: the name of its header, or a command of its format, is none; it is left out"))
			}
		}
	}
	own := mesh.GetDefaultConfig().GetTracing().GetCustomTags()
	report(meshObject(), "defaultConfig.tracing.customTags", slices.Sorted(maps.Keys(own)), customTags(own))
	for _, o := range objects {
		for i, t := range telemetryOf(o).GetTracing() {
			tags := t.GetCustomTags()
			report(o, fmt.Sprintf("spec.tracing[%d].customTags", i), slices.Sorted(maps.Keys(tags)), customTags(tags))
		}
	}
	return out
}

// traced tells whether spans of the mesh have names of their own.
func traced(mesh *meshconfig.MeshConfig) bool {
	return bootstrapTracer(mesh) || slices.ContainsFunc(mesh.GetExtensionProviders(), isTraceProvider)
}

// nameSpans gives the routes of a virtual host Istio's names of spans: HOST:PORT and what is matched of the
// path. Of several destinations none is the name, but the VirtualService is.
func nameSpans(mesh *meshconfig.MeshConfig, vh *ir.VirtualHost) *ir.VirtualHost {
	if vh == nil || !traced(mesh) {
		return vh
	}
	for _, route := range vh.Routes {
		if route.Forward == nil || len(route.Forward.Clusters) == 0 {
			continue
		}
		cluster := route.Forward.Clusters[0].Name
		host, port := model.ClusterHost(cluster), clusterPort(cluster)
		if len(route.Forward.Clusters) > 1 && route.Config != "" {
			host = path.Base(route.Config)
		}
		if host != "" && port != "" {
			route.Operation = host + ":" + port + matchedPath(route.Match.Path)
		}
	}
	return vh
}

func matchedPath(m ir.StringMatch) string {
	switch m.Kind {
	case ir.MatchExact, ir.MatchRegex:
		return m.Value
	case ir.MatchPrefix:
		return m.Value + "*"
	}
	return "/*"
}

func clusterPort(cluster string) string {
	if parts := strings.Split(cluster, "|"); len(parts) == 4 {
		return parts[1]
	}
	return ""
}

func meshObject() *model.Object {
	return &model.Object{Key: model.Key{Kind: model.KindMeshConfig, Namespace: model.RootNamespace, Name: model.MeshConfigName}}
}
