package xdsproxy

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	requests, responses, connectFailures, terminations prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	counter := func(name, help string) prometheus.Counter {
		return f.NewCounter(prometheus.CounterOpts{Namespace: "istio_agent", Name: name, Help: help})
	}
	return &metrics{
		requests:        counter("xds_proxy_requests", "Requests of Envoy passed to the control plane."),
		responses:       counter("xds_proxy_responses", "Responses of the control plane passed to Envoy."),
		connectFailures: counter("istiod_connection_failures", "Connections to the control plane that failed."),
		terminations:    counter("istiod_connection_terminations", "Streams to the control plane that ended."),
	}
}
