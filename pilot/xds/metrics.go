package xds

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are those that dashboards for Istio read, and under the same names.
type metrics struct {
	clients     *prometheus.GaugeVec
	pushes      *prometheus.CounterVec
	bytes       *prometheus.CounterVec
	rejects     *prometheus.CounterVec
	internal    prometheus.Counter
	refusals    *prometheus.CounterVec
	convergence prometheus.Histogram
	pushTime    *prometheus.HistogramVec
	configSize  *prometheus.HistogramVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	seconds := []float64{.001, .003, .01, .03, .1, .3, 1, 3, 10, 30}
	m := &metrics{
		clients: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "pilot_xds", Help: "Connected proxies.",
		}, []string{"version"}),
		pushes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pilot_xds_pushes", Help: "Responses sent, by type.",
		}, []string{"type"}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pilot_xds_sent_bytes_total", Help: "Bytes of resources sent, by type.",
		}, []string{"type"}),
		rejects: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pilot_total_xds_rejects", Help: "Responses that proxies refused, by type.",
		}, []string{"type"}),
		internal: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "pilot_total_xds_internal_errors", Help: "Streams that ended by an error of the server.",
		}),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pilot_xds_streams_refused_total", Help: "Streams that were not admitted, by reason.",
		}, []string{"reason"}),
		convergence: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "pilot_proxy_convergence_time", Help: "Seconds from an event until a proxy acknowledged all that it led to.",
			Buckets: seconds,
		}),
		pushTime: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "pilot_xds_push_time", Help: "Seconds to write a response into its connection.", Buckets: seconds,
		}, []string{"type"}),
		configSize: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "pilot_xds_config_size_bytes", Help: "Size of responses.",
			Buckets: []float64{1, 10000, 1000000, 4000000, 10000000, 40000000},
		}, []string{"type"}),
	}
	if reg != nil {
		reg.MustRegister(m.clients, m.pushes, m.bytes, m.rejects, m.internal, m.refusals, m.convergence, m.pushTime, m.configSize)
	}
	return m
}

func (m *metrics) sent(r *response, took time.Duration) {
	t, size := r.typ.String(), float64(r.size())
	m.pushes.WithLabelValues(t).Inc()
	m.bytes.WithLabelValues(t).Add(size)
	m.configSize.WithLabelValues(t).Observe(size)
	m.pushTime.WithLabelValues(t).Observe(took.Seconds())
}
