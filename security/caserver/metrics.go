package caserver

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/pilothouse-mesh/pilothouse/security/auth"
)

// metrics have the names that Istio's dashboards read, where it has them.
type metrics struct {
	requests, issued, unauthenticated, badRequests, signErrors prometheus.Counter

	proven  *prometheus.CounterVec // certificates, by how the identity was proven
	refused *prometheus.CounterVec // requests, by reason
}

func newMetrics(reg prometheus.Registerer, authority Authority) *metrics {
	f := promauto.With(reg)
	counter := func(name, help string) prometheus.Counter {
		return f.NewCounter(prometheus.CounterOpts{Namespace: "citadel", Subsystem: "server", Name: name, Help: help})
	}
	// Both are read from the authority each time: its certificates are renewed and exchanged.
	gauge := func(name, help string, value func(root, chain time.Time) float64) {
		f.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "citadel", Subsystem: "server", Name: name, Help: help},
			func() float64 { return value(authority.NotAfter()) })
	}
	gauge("root_cert_expiry_timestamp", "Unix time at which the root certificate ends.",
		func(root, _ time.Time) float64 { return float64(root.Unix()) })
	gauge("cert_chain_expiry_timestamp", "Unix time at which the first certificate of the CA's chain ends.",
		func(_, chain time.Time) float64 { return float64(chain.Unix()) })
	gauge("root_cert_expiry_seconds", "Seconds until the root certificate ends.",
		func(root, _ time.Time) float64 { return time.Until(root).Seconds() })
	gauge("cert_chain_expiry_seconds", "Seconds until the first certificate of the CA's chain ends.",
		func(_, chain time.Time) float64 { return time.Until(chain).Seconds() })
	m := &metrics{
		requests:        counter("csr_count", "Certificate requests received."),
		issued:          counter("success_cert_issuance_count", "Certificates issued."),
		unauthenticated: counter("authentication_failure_count", "Requests without proof of identity."),
		badRequests:     counter("csr_parsing_err_count", "Requests refused for what they hold."),
		signErrors:      counter("csr_sign_err_count", "Requests that the CA failed to sign."),
		proven: f.NewCounterVec(prometheus.CounterOpts{
			Name: "pilot_certificates_issued_total",
			Help: "Certificates issued, by how the caller proved its identity.",
		}, []string{"proof"}),
		refused: f.NewCounterVec(prometheus.CounterOpts{
			Name: "pilot_certificates_refused_total",
			Help: "Certificate requests refused, by reason.",
		}, []string{"reason"}),
	}
	for _, by := range []auth.Method{auth.ByToken, auth.ByCertificate} {
		m.proven.WithLabelValues(string(by))
	}
	for _, why := range reasons {
		m.refused.WithLabelValues(string(why))
	}
	return m
}

// refuse counts a refusal.
func (m *metrics) refuse(why reason) {
	m.refused.WithLabelValues(string(why)).Inc()
	switch why {
	case unauthenticated:
		m.unauthenticated.Inc()
	case badRequest:
		m.badRequests.Inc()
	case failed:
		m.signErrors.Inc()
	}
}
