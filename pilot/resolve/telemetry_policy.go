package resolve

import (
	"fmt"
	"slices"
	"time"

	telemetryapi "istio.io/api/telemetry/v1alpha1"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/proto/telemetry"
)

// providerEnvoy is the access log to a file that every mesh has.
const providerEnvoy = "envoy"

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
	return out
}

func appendForAll(out, of []*model.Object) []*model.Object {
	for _, o := range of {
		if t := telemetryOf(o); t != nil && len(t.GetSelector().GetMatchLabels()) == 0 {
			return append(out, o)
		}
	}
	return out
}

// telemetryOf gives what an object says, or nil where it is for something that is not there: targetRefs
// are for waypoints and Gateways of the Kubernetes API.
func telemetryOf(o *model.Object) *telemetryapi.Telemetry {
	t, ok := o.Spec.(*telemetryapi.Telemetry)
	if !ok || t.GetTargetRef() != nil || len(t.GetTargetRefs()) > 0 {
		return nil
	}
	return t
}

// workloadTelemetry gives the object whose selector matches a workload; the zero key for none.
func workloadTelemetry(r Reader, namespace string, labels map[string]string) model.Key {
	for _, o := range r.Telemetries(namespace) {
		if t := telemetryOf(o); t != nil && len(t.GetSelector().GetMatchLabels()) > 0 && selects(t.GetSelector(), labels) {
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

// accessLogging tells whether a class logs requests of a side to the mesh's file, and which, and reports
// providers that are none. Each object's entries change what those before say: one that is disabled takes its
// providers away, another puts them in place; an entry without providers is about those in force.
func accessLogging(byDefault bool, objects []*model.Object, side telemetry.Reporter) (inForce bool, which string, problems []model.Problem) {
	inForce = byDefault
	named := byDefault
	for _, o := range objects {
		for i, entry := range telemetryOf(o).GetAccessLogging() {
			if m := entry.GetMatch(); m != nil && !hasSide(m.GetMode(), side) {
				continue
			}
			about := named && len(entry.GetProviders()) == 0
			for j, p := range entry.GetProviders() {
				if p.GetName() != providerEnvoy {
					problems = append(problems, unknownProvider(o, fmt.Sprintf("spec.accessLogging[%d].providers[%d].name", i, j), p.GetName()))
					continue
				}
				about, named = true, true
			}
			if about {
				inForce = !entry.GetDisabled().GetValue()
				if f := entry.GetFilter(); f != nil || len(entry.GetProviders()) > 0 {
					which = f.GetExpression()
				}
			}
		}
	}
	return inForce, which, problems
}

func unknownProvider(o *model.Object, field, name string) model.Problem {
	return model.Problem{
		Object: o.Key, Field: field, Severity: model.SeverityWarning, Reason: model.ReasonNotTranslated, Origin: o.Origin,
		Message: fmt.Sprintf("%q is not translated; %q, a file, is the only provider of access logs", name, providerEnvoy),
	}
}

// metricRules are what Telemetry objects change, by the name of the metric.
type metricRules map[string]*metricRule

type metricRule struct {
	off     bool
	removed []string // labels
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
			at, found := slices.BinarySearch(rule.removed, label)
			switch remove := t.GetOperation() == telemetryapi.MetricsOverrides_TagOverride_REMOVE; {
			case remove && !found && telemetry.IsLabel(label):
				rule.removed = slices.Insert(rule.removed, at, label)
			case !remove && found:
				rule.removed = slices.Delete(rule.removed, at, at+1)
			}
		}
	}
}

// stat gives what of a statistic's metrics is not shown, and false where there is nothing of it to show.
func (m metricRules) stat(statistic string) (drop []string, shown bool) {
	names := telemetry.MetricsOf(statistic)
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
				if len(names) > 1 {
					label = name + telemetry.OfMetric + label
				}
				drop = append(drop, label)
			}
		}
	}
	return drop, shown
}

// meshLogOf gives the loggers of the mesh's file, with its format.
func meshLogOf(r Reader, objects []*model.Object, side telemetry.Reporter) ([]ir.AccessLogger, []model.Problem) {
	log, _, _ := meshLog(r.Mesh())
	on, which, problems := accessLogging(log != nil || slices.Contains(r.Mesh().GetDefaultProviders().GetAccessLogging(), providerEnvoy), objects, side)
	if !on {
		return nil, problems
	}
	if log == nil {
		log = &ir.FileLog{Path: defaultLogFile}
		setLogFormat(r.Mesh(), log)
	}
	log.Filter.Expression = which
	return []ir.AccessLogger{log}, problems
}

// defaultLogFile is where the provider writes that every mesh has, unless the mesh says where.
const defaultLogFile = "/dev/stdout"
