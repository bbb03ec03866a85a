package main

import (
	"context"
	"os"
	"time"

	"github.com/pilothouse-mesh/pilothouse/pilot/discovery"
	"github.com/pilothouse-mesh/pilothouse/pilot/trace"
	"github.com/pilothouse-mesh/pilothouse/pilot/trace/otlp"
)

// flushTime is how long the end waits for a collector to take the last spans.
const flushTime = 5 * time.Second

// traced runs a control plane whose changes go to a collector of spans, if the environment names one.
func (o *options) traced(ctx context.Context, run func(context.Context, discovery.Config) error) error {
	spans, err := otlp.FromEnvironment(os.Getenv, otlp.Options{Name: o.Name, Version: o.Version, Logger: o.Logger})
	if err != nil {
		return err
	}
	if spans == nil {
		return run(ctx, o.Config)
	}
	o.Changes = trace.New(trace.Options{Deliver: spans.Deliver})
	defer func() {
		o.Changes.Close()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTime)
		defer cancel()
		if err := spans.Close(ctx); err != nil {
			o.Logger.Warn("the collector has not taken the last spans", "error", err)
		}
	}()
	return run(ctx, o.Config)
}
