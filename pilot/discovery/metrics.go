package discovery

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/store"
)

// metrics of the whole, under the names that dashboards for Istio read.
type metrics struct {
	triggers                  *prometheus.CounterVec
	services, virtualServices prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer, version string) *metrics {
	m := &metrics{
		triggers: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pilot_push_triggers", Help: "Commits, by what changed.",
		}, []string{"type"}),
		services: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "pilot_services", Help: "Services visible from the root namespace.",
		}),
		virtualServices: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "pilot_virt_services", Help: "VirtualServices visible from the root namespace.",
		}),
	}
	info := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "pilot_info", Help: "Version of the control plane.",
	}, []string{"version"})
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "istio_build", Help: "Component and version.",
	}, []string{"component", "tag"})
	info.WithLabelValues(version).Set(1)
	build.WithLabelValues("pilot", version).Set(1)
	reg.MustRegister(m.triggers, m.services, m.virtualServices, info, build)
	return m
}

func (m *metrics) commit(c store.Commit) {
	kinds := map[string]struct{}{}
	if len(c.Endpoints) > 0 {
		kinds["endpoint"] = struct{}{}
	}
	if c.Full {
		kinds["global"] = struct{}{}
	}
	for key := range c.Changed {
		switch key.Kind {
		case model.KindPod:
			kinds["proxy"] = struct{}{}
		case model.KindService:
			kinds["service"] = struct{}{}
		default:
			kinds["config"] = struct{}{}
		}
	}
	for k := range kinds {
		m.triggers.WithLabelValues(k).Inc()
	}
	root := c.Snapshot.Mesh().GetRootNamespace()
	m.services.Set(float64(len(c.Snapshot.Services(root))))
	m.virtualServices.Set(float64(len(c.Snapshot.VirtualServices(root))))
}
