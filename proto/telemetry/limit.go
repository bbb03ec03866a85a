package telemetry

import (
	"fmt"
	"strconv"
)

const (
	// SeriesVariable is the key of a mesh's defaultConfig.proxyMetadata, and so a variable of its agents, that bounds
	// the series of each proxy.
	SeriesVariable = "ISTIO_STATS_SERIES_LIMIT"
	// DefaultSeries bounds the counters, and the histograms, of a proxy where nothing else is said. It is far above
	// what a workload's callers make, and such that the most costs Envoy some 60 MB.
	DefaultSeries = 10_000
	maxSeries     = 1_000_000

	// OverflowCounters and OverflowHistograms are Envoy's own metrics of how often a value was not counted since its
	// series was one too many. Each is there once that has happened.
	OverflowCounters   = "envoy_server_stats_overflow_counter"
	OverflowHistograms = "envoy_server_stats_overflow_histogram"
)

// SeriesLimit reads what SeriesVariable says, "" for nothing. With an error it gives the default.
func SeriesLimit(text string) (int, error) {
	if text == "" {
		return DefaultSeries, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > maxSeries {
		return DefaultSeries, fmt.Errorf("%q is no limit of series; use a number from 1 to %d, until then it is %d", text, maxSeries, DefaultSeries)
	}
	return n, nil
}
