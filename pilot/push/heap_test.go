package push

import (
	"runtime"
	"testing"
)

// BenchmarkHeap tells what the views of all classes keep in memory.
func BenchmarkHeap(b *testing.B) {
	_, d := newBench(b)
	heap := func() float64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC() // the first clears pools only
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc) / 1e6
	}
	before := heap()
	d.connectAll(b)
	b.ReportMetric(heap()-before, "MB")
	b.ReportMetric(float64(len(d.engine.groups)), "classes")
	b.ReportMetric(float64(len(d.pipeline.parts)), "parts")
}
