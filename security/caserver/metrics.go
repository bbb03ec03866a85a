package caserver

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics have the names that Istio's dashboards read.
type metrics struct {
	requests, issued, unauthenticated, badRequests, signErrors prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, authority Authority) *metrics {
	f := promauto.With(reg)
	counter := func(name, help string) prometheus.Counter {
		return f.NewCounter(prometheus.CounterOpts{Namespace: "citadel", Subsystem: "server", Name: name, Help: help})
	}
	root, chain := authority.NotAfter()
	gauge := func(name, help string, t time.Time) {
		f.NewGauge(prometheus.GaugeOpts{Namespace: "citadel", Subsystem: "server", Name: name, Help: help}).Set(float64(t.Unix()))
	}
	gauge("root_cert_expiry_timestamp", "Unix time at which the root certificate ends.", root)
	gauge("cert_chain_expiry_timestamp", "Unix time at which the first certificate of the CA's chain ends.", chain)
	return &metrics{
		requests:        counter("csr_count", "Certificate requests received."),
		issued:          counter("success_cert_issuance_count", "Certificates issued."),
		unauthenticated: counter("authentication_failure_count", "Requests without proof of identity."),
		badRequests:     counter("csr_parsing_err_count", "Requests refused for what they hold."),
		signErrors:      counter("csr_sign_err_count", "Requests that the CA failed to sign."),
	}
}
