package telemetry

// HistogramBins is how many bins a histogram of Envoy's has room for at first, in each worker. Most series see few
// values between two flushes, and Envoy's 100 bins take 1 KB, twice. A histogram that needs more gets 100 more.
const HistogramBins = 8

// HistogramBuckets gives Envoy's own default buckets, which Istio has as well, and which it wants to be told where
// anything is said of a histogram.
func HistogramBuckets() []float64 {
	return []float64{
		0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 300_000, 600_000, 1_800_000, 3_600_000,
	}
}
