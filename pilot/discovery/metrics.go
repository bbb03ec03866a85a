package discovery

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/store"
)

// metrics of the whole, under the names that dashboards for Istio read.
type metrics struct {
	events    *eventMetrics
	triggers  *prometheus.CounterVec
	endpoints prometheus.Counter // pilot_inbound_updates of type eds

	services, virtualServices, noInstances prometheus.Gauge

	known map[model.Kind]map[model.Key]struct{} // what there is, of the kinds that are counted
	idle  map[model.Key]int                     // of services, how many ports have no endpoint
}

func newMetrics(reg prometheus.Registerer, version string, problems func() []model.Problem) *metrics {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	updates := counters("pilot_inbound_updates", "Updates that sources delivered: config, svc, svcdelete, eds.", "type")
	m := &metrics{
		events:          newEventMetrics(reg, updates),
		triggers:        counters("pilot_push_triggers", "Commits, by what changed.", "type"),
		endpoints:       updates.WithLabelValues("eds"),
		services:        gauge("pilot_services", "Services known."),
		virtualServices: gauge("pilot_virt_services", "VirtualServices known."),
		noInstances:     gauge("pilot_eds_no_instances", "Ports of services that have no ready endpoint."),
		known:           map[model.Kind]map[model.Key]struct{}{model.KindService: {}, model.KindVirtualService: {}},
		idle:            map[model.Key]int{},
	}
	info := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "pilot_info", Help: "Version of the control plane.",
	}, []string{"version"})
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "istio_build", Help: "Component and version.",
	}, []string{"component", "tag"})
	info.WithLabelValues(version).Set(1)
	build.WithLabelValues("pilot", version).Set(1)
	reg.MustRegister(updates, m.triggers, m.services, m.virtualServices, m.noInstances, info, build,
		conflicts("pilot_conflict_inbound_listener", "Service ports that ask for two protocols on one port of a workload.",
			model.ReasonInboundConflict, problems),
		conflicts("pilot_conflict_outbound_listener_tcp_over_current_tcp", "Service ports whose address and port are taken already.",
			model.ReasonOutboundConflict, problems))
	return m
}

func counters(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
}

// conflicts counts problems of a reason when it is read.
func conflicts(name, help string, reason model.Reason, problems func() []model.Problem) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 {
		n := 0
		for _, p := range problems() {
			if p.Reason == reason {
				n++
			}
		}
		return float64(n)
	})
}

// commit counts what led to a commit and what there is after it.
func (m *metrics) commit(c store.Commit) {
	for k := range triggers(c) {
		m.triggers.WithLabelValues(k).Inc()
	}
	m.endpoints.Add(float64(len(c.Endpoints)))
	for key := range c.Changed {
		known := m.known[key.Kind]
		switch {
		case known == nil:
		case !c.Snapshot.Has(key):
			delete(known, key)
		default:
			known[key] = struct{}{}
		}
		if key.Kind == model.KindService {
			m.countIdle(c.Snapshot, key)
		}
	}
	for key := range c.Endpoints {
		if key.Kind == model.KindService {
			m.countIdle(c.Snapshot, key)
		}
	}
	m.services.Set(float64(len(m.known[model.KindService])))
	m.virtualServices.Set(float64(len(m.known[model.KindVirtualService])))
}

// triggers names what a commit changed, in the words of Istio.
func triggers(c store.Commit) map[string]struct{} {
	out := map[string]struct{}{}
	if len(c.Endpoints) > 0 {
		out["endpoint"] = struct{}{}
	}
	if c.Full {
		out["global"] = struct{}{}
	}
	for key := range c.Changed {
		switch key.Kind {
		case model.KindPod:
			out["proxy"] = struct{}{}
		case model.KindService, model.KindServiceEntry:
			out["service"] = struct{}{}
		default:
			out["config"] = struct{}{}
		}
	}
	return out
}

// countIdle counts a service's ports without a ready endpoint anew.
func (m *metrics) countIdle(snap *store.Snapshot, key model.Key) {
	idle := 0
	r := snap.Reader(nil)
	if svc := r.Service(key.Namespace, key.Name+"."+key.Namespace+".svc."+snap.Domain()); svc != nil {
		serves := map[string]struct{}{}
		for _, ep := range r.Endpoints(svc.ID()) {
			if ep.Health == model.Healthy {
				serves[ep.ServicePort] = struct{}{}
			}
		}
		for _, port := range svc.Ports {
			if _, ok := serves[port.Name]; !ok {
				idle++
			}
		}
	}
	m.noInstances.Add(float64(idle - m.idle[key]))
	if idle == 0 {
		delete(m.idle, key)
	} else {
		m.idle[key] = idle
	}
}
