package resolve

import (
	"slices"
	"time"

	telemetryapi "istio.io/api/telemetry/v1alpha1"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/proto/telemetry"
)

// telemetries gives the Telemetry objects that hold for a class: the oldest for all of the root namespace,
// of its own, and of its workload. A later one says more, or otherwise.
func telemetries(r Reader, c *Class) []*model.Object {
	var out []*model.Object
	root := rootNamespace(r)
	if c.Namespace != root {
		out = appendForAll(out, r.Telemetries(root))
	}
	out = appendForAll(out, r.Telemetries(c.Namespace))
	if c.Telemetry != (model.Key{}) {
		if o := r.Object(c.Telemetry); o != nil {
			out = append(out, o)
		}
	}
	return withMetricsThatAreMade(r.Mesh(), out)
}

func appendForAll(out, of []*model.Object) []*model.Object {
	for _, o := range of {
		if !model.PolicyTargetOf(o.Spec).Some() {
			return append(out, o)
		}
	}
	return out
}

// telemetryOf gives what an object says.
func telemetryOf(o *model.Object) *telemetryapi.Telemetry {
	t, _ := o.Spec.(*telemetryapi.Telemetry)
	return t
}

// workloadTelemetry gives the oldest object of its namespace that is for a workload alone, by its labels or by a Gateway
// that it serves; the zero key for none.
func workloadTelemetry(r Reader, p *model.Proxy, labels map[string]string) model.Key {
	for _, o := range r.Telemetries(p.Namespace) {
		target := model.PolicyTargetOf(o.Spec)
		if target.Some() && target.Includes(labels, p.Type == model.RouterProxy, true) {
			return o.Key
		}
	}
	return model.Key{}
}

// hasSide tells whether a mode is about a side of requests.
func hasSide(m telemetryapi.WorkloadMode, side telemetry.Reporter) bool {
	switch m {
	case telemetryapi.WorkloadMode_CLIENT:
		return side == telemetry.Source
	case telemetryapi.WorkloadMode_SERVER:
		return side == telemetry.Destination
	}
	return true
}

// metricRules are what Telemetry objects change, by the name of the metric.
type metricRules map[string]*metricRule

type metricRule struct {
	off     bool
	removed []string       // labels
	labels  []ir.StatLabel // that are set, sorted by name
}

// metricNames gives the names of the metrics that a selector means.
var metricNames = map[telemetryapi.MetricSelector_IstioMetric]string{
	telemetryapi.MetricSelector_REQUEST_COUNT:          telemetry.MetricRequests,
	telemetryapi.MetricSelector_REQUEST_DURATION:       telemetry.MetricDuration,
	telemetryapi.MetricSelector_REQUEST_SIZE:           telemetry.MetricRequestBytes,
	telemetryapi.MetricSelector_RESPONSE_SIZE:          telemetry.MetricResponseBytes,
	telemetryapi.MetricSelector_TCP_OPENED_CONNECTIONS: telemetry.MetricOpened,
	telemetryapi.MetricSelector_TCP_CLOSED_CONNECTIONS: telemetry.MetricClosed,
	telemetryapi.MetricSelector_TCP_SENT_BYTES:         telemetry.MetricSent,
	telemetryapi.MetricSelector_TCP_RECEIVED_BYTES:     telemetry.MetricReceived,
	telemetryapi.MetricSelector_GRPC_REQUEST_MESSAGES:  telemetry.MetricRequestMessages,
	telemetryapi.MetricSelector_GRPC_RESPONSE_MESSAGES: telemetry.MetricResponseMessages,
}

// defaultReporting is how often Istio reports the bytes of open connections.
const defaultReporting = 5 * time.Second

// reportingInterval is what the last object says that says one.
func reportingInterval(objects []*model.Object) time.Duration {
	out := defaultReporting
	for _, o := range objects {
		for _, m := range telemetryOf(o).GetMetrics() {
			if d, ok := (model.Bound{Min: int64(time.Millisecond), Max: int64(model.MaxDuration)}).Duration(m.GetReportingInterval()); ok {
				out = d
			}
		}
	}
	return out
}

func metricRulesOf(objects []*model.Object, side telemetry.Reporter) metricRules {
	out := metricRules{}
	for _, o := range objects {
		for _, m := range telemetryOf(o).GetMetrics() {
			for _, override := range m.GetOverrides() {
				if hasSide(override.GetMatch().GetMode(), side) && override.GetMatch().GetCustomMetric() == "" {
					out.apply(override)
				}
			}
		}
	}
	return out
}

func (m metricRules) apply(o *telemetryapi.MetricsOverrides) {
	wanted := o.GetMatch().GetMetric()
	for metric, name := range metricNames {
		if wanted != telemetryapi.MetricSelector_ALL_METRICS && wanted != metric {
			continue
		}
		rule := m[name]
		if rule == nil {
			rule = &metricRule{}
			m[name] = rule
		}
		if o.GetDisabled() != nil {
			rule.off = o.GetDisabled().GetValue()
		}
		for label, t := range o.GetTagOverrides() {
			rule.override(label, t)
		}
	}
}

// countsPeers tells whether a server's proxy in the mesh may count who its callers are. None does where the root
// namespace turns off all metrics of requests at servers, and nobody else turns any on.
func countsPeers(r Reader) bool {
	root := rootNamespace(r)
	rules := metricRulesOf(withMetricsThatAreMade(r.Mesh(), appendForAll(nil, r.Telemetries(root))), telemetry.Destination)
	shows := func(statistic string) bool { return len(rules.shown(statistic)) > 0 }
	return slices.ContainsFunc(requestStatistics, shows) || r.TurnsMetricsOn()
}

// requestStatistics are those that requests are counted by.
var requestStatistics = []string{telemetry.StatRequests, telemetry.StatDuration, telemetry.StatRequestBytes, telemetry.StatResponseBytes, telemetry.StatMessages}

// override removes a label, or sets one. One that cannot be set stays as it is.
func (r *metricRule) override(name string, t *telemetryapi.MetricsOverrides_TagOverride) {
	at, found := slices.BinarySearch(r.removed, name)
	if t.GetOperation() == telemetryapi.MetricsOverrides_TagOverride_REMOVE {
		r.setLabel(ir.StatLabel{Name: name})
		if !found && telemetry.IsLabel(name) {
			r.removed = slices.Insert(r.removed, at, name)
		}
		return
	}
	label, fault := metricLabel(name, t.GetValue())
	if fault != "" { // it is reported, and the label stays as it is
		return
	}
	if found {
		r.removed = slices.Delete(r.removed, at, at+1)
	}
	r.setLabel(label)
}

// dropped gives what of metrics of a statistic is not shown, and false where there is nothing of them to show. Of
// one that is not the statistic's only metric labels are named with it.
func (m metricRules) dropped(names []string, several bool) (drop []string, shown bool) {
	for _, name := range names {
		rule := m[name]
		switch {
		case rule == nil:
			shown = true
		case rule.off:
			drop = append(drop, name)
		default:
			shown = true
			for _, label := range rule.removed {
				if several {
					label = name + telemetry.OfMetric + label
				}
				drop = append(drop, label)
			}
		}
	}
	return drop, shown
}
