package secret

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	failures prometheus.Counter
	expiry   prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	return &metrics{
		failures: f.NewCounter(prometheus.CounterOpts{
			Name: "istio_agent_num_failed_outgoing_requests",
			Help: "Certificate requests that failed.",
		}),
		expiry: f.NewGauge(prometheus.GaugeOpts{
			Name: "istio_agent_cert_expiry_timestamp",
			Help: "Unix time at which the workload certificate ends.",
		}),
	}
}
