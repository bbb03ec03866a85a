package otlp

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	collectorv1 "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	changes "github.com/pilothouse-mesh/pilothouse/pilot/trace"
)

func environment(of map[string]string) func(string) string {
	return func(name string) string { return of[name] }
}

func TestTheEnvironmentDecides(t *testing.T) {
	const at = "http://127.0.0.1:4318"
	for _, c := range []struct {
		env   map[string]string
		sends bool
		fault string
	}{
		{env: nil},
		{env: map[string]string{endpoint: at}, sends: true},
		{env: map[string]string{tracesAddress: at}, sends: true},
		{env: map[string]string{exporterName: "otlp"}, sends: true},
		{env: map[string]string{exporterName: "none", endpoint: at}},
		{env: map[string]string{exporterName: "zipkin"}, fault: exporterName},
		{env: map[string]string{disabled: "true", endpoint: at}},
		{env: map[string]string{disabled: "TRUE", endpoint: "nonsense"}},
		{env: map[string]string{endpoint: "collector:4317"}, fault: endpoint},
		{env: map[string]string{endpoint: at, tracesAddress: "nonsense"}, fault: tracesAddress},
		{env: map[string]string{endpoint: at, protocol: "grpc"}, sends: true},
		{env: map[string]string{endpoint: at, protocol: "http/json"}, fault: protocol},
		{env: map[string]string{endpoint: at, protocol: "grpc", tracesBy: "x"}, fault: tracesBy},
		{env: map[string]string{endpoint: at, sampler: "traceidratio", samplerShare: "0.5"}, sends: true},
		{env: map[string]string{endpoint: at, sampler: "traceidratio", samplerShare: "NaN"}, fault: samplerShare},
		{env: map[string]string{endpoint: at, sampler: "jaeger_remote"}, fault: sampler},
	} {
		e, err := FromEnvironment(environment(c.env), Options{Logger: slog.New(slog.DiscardHandler)})
		switch {
		case c.fault != "" && (err == nil || !strings.HasPrefix(err.Error(), c.fault+":")):
			t.Errorf("%v: got error %v, want one about %s", c.env, err, c.fault)
		case c.fault == "" && err != nil || (e != nil) != c.sends:
			t.Errorf("%v: got an exporter %v, error %v", c.env, e != nil, err)
		}
		if e != nil {
			if err := e.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestSpansGoByHTTPWithHeaders(t *testing.T) {
	got := make(chan *collectorv1.ExportTraceServiceRequest, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		m := &collectorv1.ExportTraceServiceRequest{}
		if err != nil || proto.Unmarshal(body, m) != nil || r.URL.Path != "/v1/traces" || r.Header.Get("Tenant") != "a" {
			t.Errorf("%s with headers %v, error %v", r.URL, r.Header, err)
		}
		got <- m
	}))
	defer server.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "tenant=a")
	t.Setenv(endpoint, server.URL)
	e, err := FromEnvironment(environment(map[string]string{endpoint: server.URL}), Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	e.Deliver(&changes.Record{Event: changes.Event{Arrived: now, Committing: now, Committed: now}})
	if err := e.Close(t.Context()); err != nil { // which sends what waits
		t.Fatal(err)
	}
	names := ""
	for _, s := range (<-got).GetResourceSpans()[0].GetScopeSpans()[0].GetSpans() {
		names += s.GetName() + " "
	}
	if names != "debounce commit change " {
		t.Errorf("got spans %s", names)
	}
}

func TestACollectorThatIsAwayIsToldOfOnce(t *testing.T) {
	away := httptest.NewServer(http.NotFoundHandler())
	defer away.Close()
	t.Setenv(endpoint, away.URL)
	t.Setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1") // each span is sent by itself
	var log bytes.Buffer
	e, err := FromEnvironment(environment(map[string]string{endpoint: away.URL}), Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		e.Deliver(&changes.Record{})
	}
	if err := e.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(log.String(), "\n"); n != 1 || !strings.Contains(log.String(), "404") {
		t.Errorf("the log has %d lines, want one that says why: %s", n, log.String())
	}
}

func TestTheEndWaitsNoLongerThanItMay(t *testing.T) {
	answer := make(chan struct{})
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-answer:
		case <-r.Context().Done():
		}
	}))
	defer silent.Close()
	defer close(answer)
	t.Setenv(endpoint, silent.URL)
	e, err := FromEnvironment(environment(map[string]string{endpoint: silent.URL}), Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	e.Deliver(&changes.Record{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := e.Close(ctx); err == nil {
		t.Error("spans that no collector took count as sent")
	}
}
