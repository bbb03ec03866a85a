package push

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/pilothouse-mesh/pilothouse/pilot/build"
)

type metrics struct {
	views, parts, units     prometheus.Gauge
	changed, computed, told prometheus.Counter
	renewed, kept           prometheus.Counter
	apply                   prometheus.Histogram
	checked, different      prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	all := promauto.With(reg) // nil takes none
	gauge := func(name, help string) prometheus.Gauge {
		return all.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	counter := func(name, help string) prometheus.Counter {
		return all.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	return &metrics{
		views:     gauge("pilot_push_views", "Views, that is classes of connected proxies."),
		parts:     gauge("pilot_push_parts", "Layers of which views are built, shared by classes or a class's own."),
		units:     gauge("pilot_push_units", "Units of which layers are made, such as a service's clusters or a virtual host."),
		changed:   counter("pilot_push_parts_changed_total", "Layers that a commit changed, each time."),
		computed:  counter("pilot_push_units_computed_total", "Units that were computed, at first or again."),
		told:      counter("pilot_push_clients_told_total", "Clients whose view a commit changed."),
		renewed:   counter("pilot_push_views_changed_total", "Views that a commit changed, each time."),
		kept:      counter("pilot_push_views_kept_total", "Views that a commit left as they were, each time."),
		checked:   counter("pilot_push_checks_total", "Views that were compared with one built from scratch."),
		different: counter("pilot_push_check_differences_total", "Views that differed from one built from scratch, and were replaced."),
		apply: all.NewHistogram(prometheus.HistogramOpts{
			Name: "pilot_push_apply_seconds", Help: "Time from a commit to new views of all classes.",
			Buckets: []float64{.0003, .001, .003, .01, .03, .1, .3, 1, 3, 10},
		}),
	}
}

// applied records a commit: what the translator did, how many views there are and how many of them
// changed, and how many clients were told.
func (m *metrics) applied(w build.Work, views, renewed, told int, took time.Duration) {
	m.views.Set(float64(views))
	m.renewed.Add(float64(renewed))
	m.kept.Add(float64(views - renewed))
	m.parts.Set(float64(w.Layers))
	m.units.Set(float64(w.Units))
	m.changed.Add(float64(w.Changed))
	m.computed.Add(float64(w.Computed))
	m.told.Add(float64(told))
	m.apply.Observe(took.Seconds())
}
