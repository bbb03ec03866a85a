package xds

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	// maxVersions is how many versions of proxies the metric tells apart, maxAnonymousVersions how
	// many of them may come from callers without proof.
	maxVersions, maxAnonymousVersions = 20, 10
	// otherVersion stands for the rest.
	otherVersion = "other"
)

// versionGauge counts connected proxies by version, of which only some are labels of the metric.
type versionGauge struct {
	gauge *prometheus.GaugeVec

	mu     sync.Mutex
	labels map[versionLabel]int // proxies
}

type versionLabel struct {
	version   string
	anonymous bool // callers without proof take no label from those with one
}

// add counts a proxy, until the function that it gives is called.
func (v *versionGauge) add(version string, anonymous bool) (remove func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	label := versionLabel{version, anonymous}
	if _, known := v.labels[label]; !known && !v.room(anonymous) {
		label.version = otherVersion
	}
	v.labels[label]++
	v.gauge.WithLabelValues(label.version).Inc()
	return func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.labels[label]--
		v.gauge.WithLabelValues(label.version).Dec()
	}
}

// room makes room for one more label, in place of one that no proxy has if need be.
func (v *versionGauge) room(anonymous bool) bool {
	limit := maxVersions - maxAnonymousVersions
	if anonymous {
		limit = maxAnonymousVersions
	}
	used := 0
	var unused []versionLabel
	for label, n := range v.labels {
		if label.anonymous != anonymous || label.version == otherVersion {
			continue
		}
		used++
		if n == 0 {
			unused = append(unused, label)
		}
	}
	if used < limit {
		return true
	}
	if len(unused) == 0 {
		return false
	}
	gone := unused[0]
	delete(v.labels, gone)
	if _, other := v.labels[versionLabel{gone.version, !anonymous}]; !other {
		v.gauge.DeleteLabelValues(gone.version)
	}
	return true
}
