// Package otlp shows changes of the mesh as spans, and sends them to a collector of OpenTelemetry. What it
// goes by is the standard's environment
// (https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/).
package otlp

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
)

// Variables that decide here. The modules of OpenTelemetry read the others by themselves, among them those of
// headers, certificates, compression, timeouts and batches.
const (
	disabled      = "OTEL_SDK_DISABLED"
	exporterName  = "OTEL_TRACES_EXPORTER"
	endpoint      = "OTEL_EXPORTER_OTLP_ENDPOINT"
	tracesAddress = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
	protocol      = "OTEL_EXPORTER_OTLP_PROTOCOL"
	tracesBy      = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"
	sampler       = "OTEL_TRACES_SAMPLER"
	samplerShare  = "OTEL_TRACES_SAMPLER_ARG"
)

// FromEnvironment gives the Exporter that the environment asks for: where it names a collector, or says that
// traces go to one. It gives nil for none, and an error that names the variable that makes no sense. That the
// collector is away is none.
func FromEnvironment(getenv func(string) string, o Options) (*Exporter, error) {
	value := func(names ...string) (name, value string) {
		for _, name := range names {
			if v := strings.TrimSpace(getenv(name)); v != "" {
				return name, v
			}
		}
		return "", ""
	}
	if _, off := value(disabled); strings.EqualFold(off, "true") {
		return nil, nil
	}
	_, to := value(exporterName)
	at, address := value(tracesAddress, endpoint)
	switch {
	case to == "none" || to == "" && address == "":
		return nil, nil
	case to != "" && to != "otlp":
		return nil, fmt.Errorf("%s: %q is neither otlp nor none", exporterName, to)
	}
	if address != "" {
		if u, err := url.Parse(address); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, fmt.Errorf("%s: %q is no URL such as http://collector:4318", at, address)
		}
	}
	_, by := value(sampler)
	_, share := value(samplerShare)
	if err := checkSampler(by, share); err != nil {
		return nil, err
	}
	at, by = value(tracesBy, protocol)
	client, err := clientOf(at, by)
	if err != nil {
		return nil, err
	}
	collector, err := otlptrace.New(context.Background(), client) // it connects later
	if err != nil {
		return nil, fmt.Errorf("the collector of spans: %w", err)
	}
	return newExporter(collector, o)
}

func clientOf(at, protocol string) (otlptrace.Client, error) {
	switch protocol {
	case "grpc":
		return otlptracegrpc.NewClient(), nil
	case "", "http/protobuf": // the standard's default
		return otlptracehttp.NewClient(), nil
	}
	return nil, fmt.Errorf("%s: %q is neither grpc nor http/protobuf", at, protocol)
}

// checkSampler refuses what OpenTelemetry's module would replace by a default of its own, and say so in a log
// of its own.
func checkSampler(name, share string) error {
	switch strings.ToLower(name) {
	case "", "always_on", "always_off", "parentbased_always_on", "parentbased_always_off":
		return nil
	case "traceidratio", "parentbased_traceidratio":
		if share == "" {
			return nil
		}
		if v, err := strconv.ParseFloat(share, 64); err != nil || !(v >= 0 && v <= 1) {
			return fmt.Errorf("%s: %q is no number from 0 to 1", samplerShare, share)
		}
		return nil
	}
	return fmt.Errorf("%s: %q is none of always_on, always_off, traceidratio and these with parentbased_ before", sampler, name)
}
