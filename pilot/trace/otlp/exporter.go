package otlp

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// exportTimeout bounds an export with all its attempts, unless OTEL_BSP_EXPORT_TIMEOUT is shorter. Spans that wait
// meanwhile are bounded by OTEL_BSP_MAX_QUEUE_SIZE (2,048); further ones are dropped.
const exportTimeout = 10 * time.Second

// Options of an Exporter.
type Options struct {
	// Name of this replica and version of the program.
	Name, Version string
	Logger        *slog.Logger
}

// Exporter sends changes to a collector, in batches and beside everything else.
type Exporter struct {
	provider *sdk.TracerProvider
	tracer   trace.Tracer
}

// newExporter gives an Exporter to a collector. OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say more of the
// process, or otherwise.
func newExporter(collector sdk.SpanExporter, o Options) (*Exporter, error) {
	process, err := resource.New(context.Background(), resource.WithAttributes(
		attribute.String("service.name", "pilot-discovery"), attribute.String("service.version", o.Version),
		attribute.String("service.instance.id", o.Name),
	), resource.WithTelemetrySDK(), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	provider := sdk.NewTracerProvider(sdk.WithResource(process),
		sdk.WithBatcher(&reported{SpanExporter: collector, log: o.Logger}, sdk.WithExportTimeout(exportTimeout)))
	return &Exporter{provider: provider, tracer: provider.Tracer("pilothouse/change", trace.WithInstrumentationVersion(o.Version))}, nil
}

// Close sends what waits, until ctx ends.
func (e *Exporter) Close(ctx context.Context) error { return e.provider.Shutdown(ctx) }

// reported is a collector whose faults are logged: one line as they begin, one in a minute while they last, and
// one as they end. They are nobody else's matter.
type reported struct {
	sdk.SpanExporter
	log *slog.Logger

	mu     sync.Mutex
	logged time.Time // zero while the collector takes spans
	lost   int       // spans, since then
}

// reportEvery is how often a collector that is away is told of.
const reportEvery = time.Minute

// ExportSpans sends a batch.
func (r *reported) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	err := r.SpanExporter.ExportSpans(ctx, spans)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		if !r.logged.IsZero() {
			r.log.Info("the collector takes spans again", "lost", r.lost)
		}
		r.logged, r.lost = time.Time{}, 0
		return nil
	}
	r.lost += len(spans)
	if now := time.Now(); r.logged.IsZero() || now.Sub(r.logged) >= reportEvery {
		r.log.Warn("the collector takes no spans", "error", err, "lost", r.lost)
		r.logged = now
	}
	return nil
}
