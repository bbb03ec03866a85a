package dns

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct{ requests, upstream, failures prometheus.Counter }

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	counter := func(name, help string) prometheus.Counter {
		return f.NewCounter(prometheus.CounterOpts{Namespace: "dns", Name: name, Help: help})
	}
	return &metrics{
		requests: counter("requests_total", "Queries received."),
		upstream: counter("upstream_requests_total", "Queries forwarded to nameservers."),
		failures: counter("upstream_failures_total", "Forwarded queries that failed."),
	}
}
