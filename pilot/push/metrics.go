package push

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	views   prometheus.Gauge
	rebuilt prometheus.Counter
	apply   prometheus.Histogram
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		views: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "pilot_views", Help: "Views, that is classes of connected proxies.",
		}),
		rebuilt: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "pilot_views_computed_total", Help: "Views computed again, wholly or for changed endpoints.",
		}),
		apply: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "pilot_commit_apply_seconds", Help: "Time from a commit to new views of all classes.",
			Buckets: []float64{.001, .003, .01, .03, .1, .3, 1, 3, 10},
		}),
	}
	if reg != nil {
		reg.MustRegister(m.views, m.rebuilt, m.apply)
	}
	return m
}

func (m *metrics) applied(built, views int, took time.Duration) {
	m.views.Set(float64(views))
	m.rebuilt.Add(float64(built))
	if took > 0 {
		m.apply.Observe(took.Seconds())
	}
}
