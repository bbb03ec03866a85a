package webhook

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pilothouse-mesh/pilothouse/pilot/inject"
)

// injection gives a webhook's handler, and a question about a pod that it injects.
func injection(t testing.TB) (handler http.Handler, object string) {
	injector, err := inject.New(inject.Options{NativeSidecar: true})
	if err != nil {
		t.Fatal(err)
	}
	return Handler(Options{
		Injector:   func(string, string) (*inject.Injector, error) { return injector, nil },
		Registerer: prometheus.NewRegistry(), Logger: slog.New(slog.DiscardHandler),
	}), strings.Replace(pod, "LABEL", "true", 1)
}

// TestInjectionAllocatesLittle: many pods at once wait for each other, and for the garbage of all.
func TestInjectionAllocatesLittle(t *testing.T) {
	handler, object := injection(t)
	n := testing.AllocsPerRun(20, func() { handler.ServeHTTP(httptest.NewRecorder(), review(t, "/inject", "CREATE", object)) })
	if n > 4000 {
		t.Errorf("an injection takes %v allocations; it was 3,000", n)
	}
}

// BenchmarkInjection has a pod injected by the default template. CPU time is what a busy machine does not change.
func BenchmarkInjection(b *testing.B) {
	handler, object := injection(b)
	cpu := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	b.ReportAllocs()
	began := cpu()
	for b.Loop() {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, review(b, "/inject", "CREATE", object))
		if !strings.Contains(w.Body.String(), `"patch"`) {
			b.Fatal(w.Body)
		}
	}
	b.ReportMetric(float64(cpu()-began)/float64(b.N)/1e6, "cpu-ms/op")
}
