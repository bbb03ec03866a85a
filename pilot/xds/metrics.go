package xds

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
)

// metrics are those that dashboards for Istio read, and under the same names.
type metrics struct {
	clients     *versionGauge
	internal    prometheus.Counter
	turnedAway  *prometheus.CounterVec
	doubted     prometheus.Counter
	catchUps    *prometheus.CounterVec
	catchingUp  prometheus.Gauge
	convergence prometheus.Histogram
	queue       prometheus.Gauge
	types       [resource.NumTypes]typeMetrics
}

// typeMetrics are those of one type of resource.
type typeMetrics struct {
	pushes, bytes, rejects prometheus.Counter
	pushTime, configSize   prometheus.Observer
}

func (m *typeMetrics) sent(bytes int, took time.Duration) {
	m.pushes.Inc()
	m.bytes.Add(float64(bytes))
	m.configSize.Observe(float64(bytes))
	m.pushTime.Observe(took.Seconds())
}

func newMetrics(reg prometheus.Registerer) *metrics {
	seconds := []float64{.001, .003, .01, .03, .1, .3, 1, 3, 10, 30}
	byType := []string{"type"}
	pushes := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "pilot_xds_pushes", Help: "Responses sent, by type.",
	}, byType)
	bytes := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "pilot_xds_sent_bytes_total", Help: "Bytes of responses sent, by type.",
	}, byType)
	rejects := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "pilot_total_xds_rejects", Help: "Responses that proxies refused, by type.",
	}, byType)
	pushTime := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "pilot_xds_push_time", Help: "Seconds to write a response into its connection.", Buckets: seconds,
	}, byType)
	configSize := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "pilot_xds_config_size_bytes", Help: "Size of responses.",
		Buckets: []float64{1, 10000, 1000000, 4000000, 10000000, 40000000},
	}, byType)
	m := &metrics{
		clients: &versionGauge{labels: map[versionLabel]int{}, gauge: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "pilot_xds", Help: "Connected proxies, by version; versions beyond the first ones are counted as other.",
		}, []string{"version"})},
		internal: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "pilot_total_xds_internal_errors", Help: "Streams that ended by an error of the server.",
		}),
		turnedAway: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pilot_xds_streams_refused_total", Help: "Streams that were not admitted, by reason.",
		}, []string{"reason"}),
		doubted: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "pilot_xds_proxies_doubted_total", Help: "Streams of proxies that named a pod which is not their own.",
		}),
		catchingUp: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "pilot_xds_catching_up", Help: "Streams that wait until as much of the API server is seen here as at the replica that their proxies come from.",
		}),
		catchUps: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pilot_xds_catch_up_waits_total",
			Help: "Streams of proxies that came from a replica which had seen more of the API server, by result: they waited, and it was seen (caught_up) or not in time (in_vain), or not put into effect in time (unapplied).",
		}, []string{"result"}),
		convergence: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "pilot_proxy_convergence_time", Help: "Seconds from an event until a proxy acknowledged all that it led to.",
			Buckets: seconds,
		}),
		queue: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "pilot_push_queue_depth", Help: "Proxies to which something is being sent.",
		}),
	}
	for t := range resource.NumTypes { // once, so that a push looks nothing up
		name := t.String()
		m.types[t] = typeMetrics{
			pushes: pushes.WithLabelValues(name), bytes: bytes.WithLabelValues(name), rejects: rejects.WithLabelValues(name),
			pushTime: pushTime.WithLabelValues(name), configSize: configSize.WithLabelValues(name),
		}
	}
	if reg != nil {
		reg.MustRegister(m.clients.gauge, pushes, bytes, rejects, m.internal, m.turnedAway, m.doubted, m.catchUps, m.catchingUp, m.convergence, m.queue, pushTime, configSize)
	}
	return m
}
