package discovery

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/kinds"
)

// eventMetrics count what sources deliver. Their names speak of Kubernetes, as dashboards expect;
// files are counted as if an API server had delivered them.
type eventMetrics struct {
	config, registry, updates, passed, failed *prometheus.CounterVec
}

func newEventMetrics(reg prometheus.Registerer, updates *prometheus.CounterVec) *eventMetrics {
	m := &eventMetrics{
		updates:  updates,
		config:   counters("pilot_k8s_cfg_events", "Objects of Istio's API that were added, changed or deleted.", "type", "event"),
		registry: counters("pilot_k8s_reg_events", "Objects of Kubernetes' API that were added, changed or deleted.", "type", "event"),
		passed:   counters("galley_validation_passed", "Objects of Istio's API that were found valid.", "group", "version", "resource"),
		failed:   counters("galley_validation_failed", "Objects of Istio's API that were refused.", "group", "version", "resource", "reason"),
	}
	reg.MustRegister(m.config, m.registry, m.passed, m.failed)
	return m
}

// counted is a sink that counts what one source delivers before it hands it on.
type counted struct {
	model.Sink
	metrics *eventMetrics
	former  map[model.Problem]struct{}
}

func (m *eventMetrics) count(sink model.Sink) *counted { return &counted{Sink: sink, metrics: m} }

// Apply counts and hands on.
func (c *counted) Apply(source string, events []model.Event, problems []model.Problem) {
	for i := range events {
		c.event(&events[i])
	}
	c.refused(problems)
	c.Sink.Apply(source, events, problems)
}

func (c *counted) event(e *model.Event) {
	what := "update"
	switch {
	case e.New == nil:
		what = "delete"
	case e.Old == nil:
		what = "add"
	}
	if kind, istio := kinds.OfIstio()[e.Kind]; istio {
		c.metrics.config.WithLabelValues(string(e.Kind), what).Inc()
		c.metrics.updates.WithLabelValues("config").Inc()
		if e.New != nil {
			c.metrics.passed.WithLabelValues(kind.Group, "v1", kinds.Resource(e.Kind)).Inc()
		}
		return
	}
	name := registryName(e.Kind)
	if name == "" {
		return
	}
	c.metrics.registry.WithLabelValues(name, what).Inc()
	if e.Kind != model.KindService {
		return
	}
	if e.New == nil {
		c.metrics.updates.WithLabelValues("svcdelete").Inc()
	} else {
		c.metrics.updates.WithLabelValues("svc").Inc()
	}
}

// refused counts objects with a new problem, each once for all that is wrong with it.
func (c *counted) refused(problems []model.Problem) {
	if len(problems) == 0 && len(c.former) == 0 {
		return
	}
	present, refused := map[model.Problem]struct{}{}, map[model.Key]struct{}{}
	for _, p := range problems {
		present[p] = struct{}{}
		if _, was := c.former[p]; !was && p.Severity == model.SeverityError && p.Reason == model.ReasonInvalid {
			refused[p.Object] = struct{}{}
		}
	}
	c.former = present
	for key := range refused {
		if kind, istio := kinds.OfIstio()[key.Kind]; istio {
			c.metrics.failed.WithLabelValues(kind.Group, "v1", kinds.Resource(key.Kind), "invalid_resource").Inc()
		}
	}
}

// registryName is how Istio calls a kind among those that services are made from; "" for others.
func registryName(k model.Kind) string {
	switch k {
	case model.KindService:
		return "Services"
	case model.KindPod:
		return "Pods"
	case model.KindEndpointSlice:
		return "EndpointSlice"
	case model.KindNamespace:
		return "Namespaces"
	}
	return ""
}
