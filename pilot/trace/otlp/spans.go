package otlp

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	changes "github.com/pilothouse-mesh/pilothouse/pilot/trace"
)

// Deliver shows a change: a span from the event to the last answer, and below it one for each stage. It waits
// for nothing.
func (e *Exporter) Deliver(r *changes.Record) {
	acks := &r.Acknowledgements
	ended := latest(r.Event.Committed, r.Build.Ended, r.Push.Ended, acks.Ended)
	ctx, root := e.tracer.Start(context.Background(), "change", trace.WithTimestamp(r.Event.Arrived), trace.WithAttributes(
		attribute.Int64("pilothouse.change.version", int64(r.Event.Version)),
		attribute.StringSlice("pilothouse.change.kinds", r.Event.Kinds),
		attribute.StringSlice("pilothouse.change.namespaces", r.Event.Namespaces),
		attribute.StringSlice("pilothouse.change.objects", r.Event.Objects),
		attribute.Int("pilothouse.change.count", r.Event.Changed),
		attribute.Int("pilothouse.change.endpoints", r.Event.Endpoints),
		attribute.Bool("pilothouse.change.full", r.Event.Full),
		attribute.Int("pilothouse.changes.left_out", r.LeftOut),
	))
	defer root.End(trace.WithTimestamp(ended))
	if !root.IsRecording() {
		return
	}
	e.stage(ctx, "debounce", r.Event.Arrived, r.Event.Committing)
	e.stage(ctx, "commit", r.Event.Committing, r.Event.Committed)
	e.stage(ctx, "build", r.Build.Began, r.Build.Ended,
		attribute.Int("pilothouse.units.computed", r.Build.Units), attribute.Int("pilothouse.units", r.Build.AllUnits),
		attribute.Int("pilothouse.layers.changed", r.Build.Layers))
	e.stage(ctx, "push", r.Build.Ended, r.Push.Ended,
		attribute.Int("pilothouse.views.changed", r.Push.Views), attribute.Int("pilothouse.clients.told", r.Push.Clients))
	if acks.Concerned > 0 {
		e.acknowledgements(ctx, root, r, ended)
	}
}

// stage shows one stage, unless a change ended before it.
func (e *Exporter) stage(ctx context.Context, name string, from, to time.Time, more ...attribute.KeyValue) {
	if from.IsZero() || to.IsZero() {
		return
	}
	_, span := e.tracer.Start(ctx, name, trace.WithTimestamp(from), trace.WithAttributes(more...))
	span.End(trace.WithTimestamp(to))
}

// acknowledgements shows all answers as one span, with an event for each of the last to take the change and of
// the first to refuse something of it.
func (e *Exporter) acknowledgements(ctx context.Context, root trace.Span, r *changes.Record, ended time.Time) {
	acks := &r.Acknowledgements
	_, span := e.tracer.Start(ctx, "acknowledge", trace.WithTimestamp(r.Build.Ended), trace.WithAttributes(
		attribute.Int("pilothouse.clients", acks.Concerned), attribute.Int("pilothouse.clients.taken", acks.Taken),
		attribute.Int("pilothouse.clients.refused", acks.Refused), attribute.Int("pilothouse.clients.gone", acks.Gone),
	))
	for _, a := range acks.Last {
		span.AddEvent("taken", trace.WithTimestamp(a.At), trace.WithAttributes(
			attribute.String("pilothouse.proxy", a.Proxy),
			attribute.Float64("pilothouse.seconds", a.At.Sub(r.Event.Arrived).Seconds())))
	}
	for _, a := range acks.Refusals {
		span.AddEvent("refused", trace.WithTimestamp(a.At), trace.WithAttributes(
			attribute.String("pilothouse.proxy", a.Proxy), attribute.String("pilothouse.type", a.What),
			attribute.String("pilothouse.error", a.Detail)))
	}
	fault := ""
	switch {
	case len(acks.Refusals) > 0:
		fault = "a proxy refused something"
	case acks.Late:
		fault = "not all proxies have acknowledged"
	}
	if fault != "" {
		span.SetStatus(codes.Error, fault)
		root.SetStatus(codes.Error, fault)
	}
	span.End(trace.WithTimestamp(ended))
}

func latest(times ...time.Time) time.Time {
	var out time.Time
	for _, t := range times {
		if t.After(out) {
			out = t
		}
	}
	return out
}
