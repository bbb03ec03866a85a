package envoy

import (
	"cmp"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tracev3 "github.com/envoyproxy/go-control-plane/envoy/config/trace/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	requestid "github.com/envoyproxy/go-control-plane/envoy/extensions/request_id/uuid/v3"
	detectors "github.com/envoyproxy/go-control-plane/envoy/extensions/tracers/opentelemetry/resource_detectors/v3"
	samplers "github.com/envoyproxy/go-control-plane/envoy/extensions/tracers/opentelemetry/samplers/v3"
	metadata "github.com/envoyproxy/go-control-plane/envoy/type/metadata/v3"
	tracing "github.com/envoyproxy/go-control-plane/envoy/type/tracing/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/proto/httpfilter"
)

// setTracing lets a connection manager make spans; nil makes none.
func setTracing(out *hcm.HttpConnectionManager, t *ir.Tracing) {
	if t == nil {
		return
	}
	out.Tracing = &hcm.HttpConnectionManager_Tracing{
		ClientSampling: &typev3.Percent{Value: 100}, RandomSampling: &typev3.Percent{Value: t.Sampling}, OverallSampling: &typev3.Percent{Value: 100},
		NoContextPropagation: t.NoPropagation,
	}
	if t.MaxPathLength > 0 {
		out.Tracing.MaxPathTagLength = wrapperspb.UInt32(t.MaxPathLength)
	}
	for _, tag := range t.Tags {
		out.Tracing.CustomTags = append(out.Tracing.CustomTags, traceTag(tag))
	}
	switch p := t.Provider.(type) {
	case nil:
	case *ir.OpenTelemetry:
		out.Tracing.Provider = tracer("envoy.tracers.opentelemetry", openTelemetry(p))
	case *ir.Zipkin:
		out.Tracing.Provider = tracer("envoy.tracers.zipkin", zipkin(p))
	case *ir.Datadog:
		out.Tracing.Provider = tracer("envoy.tracers.datadog", datadog(p))
	case *ir.SkyWalking:
		out.Tracing.Provider = tracer("envoy.tracers.skywalking", skyWalking(p))
	default:
		panic(unknownFilter(p))
	}
	if t.UpstreamSpan {
		out.Tracing.SpawnUpstreamSpan = wrapperspb.Bool(true)
	}
	if t.IgnoreRequestID {
		out.RequestIdExtension = &hcm.RequestIDExtension{TypedConfig: Any(&requestid.UuidRequestIdConfig{
			UseRequestIdForTraceSampling: wrapperspb.Bool(false),
		})}
	}
}

func tracer(name string, config proto.Message) *tracev3.Tracing_Http {
	return &tracev3.Tracing_Http{Name: name, ConfigType: &tracev3.Tracing_Http_TypedConfig{TypedConfig: Any(config)}}
}

func traceTag(t ir.TraceTag) *tracing.CustomTag {
	out := &tracing.CustomTag{Tag: t.Name}
	switch t.Kind {
	case ir.TagLiteral:
		out.Type = &tracing.CustomTag_Literal_{Literal: &tracing.CustomTag_Literal{Value: t.Value}}
	case ir.TagFormat:
		out.Type = &tracing.CustomTag_Value{Value: t.Value}
	case ir.TagHeader:
		out.Type = &tracing.CustomTag_RequestHeader{RequestHeader: &tracing.CustomTag_Header{Name: t.Value, DefaultValue: t.Default}}
	case ir.TagAuthorization:
		out.Type = &tracing.CustomTag_Metadata_{Metadata: &tracing.CustomTag_Metadata{
			Kind: &metadata.MetadataKind{Kind: &metadata.MetadataKind_Request_{Request: &metadata.MetadataKind_Request{}}},
			MetadataKey: &metadata.MetadataKey{Key: httpfilter.RBAC, Path: []*metadata.MetadataKey_PathSegment{
				{Segment: &metadata.MetadataKey_PathSegment_Key{Key: t.Value}},
			}},
		}}
	case ir.TagEnvironment:
		out.Type = &tracing.CustomTag_Environment_{Environment: &tracing.CustomTag_Environment{Name: t.Value, DefaultValue: t.Default}}
	}
	return out
}

// openTelemetry leaves the service's name to the environment, since proxies of a class share these bytes.
func openTelemetry(p *ir.OpenTelemetry) *tracev3.OpenTelemetryConfig {
	out := &tracev3.OpenTelemetryConfig{ResourceDetectors: []*core.TypedExtensionConfig{{
		Name:        "envoy.tracers.opentelemetry.resource_detectors.environment",
		TypedConfig: Any(&detectors.EnvironmentResourceDetectorConfig{}),
	}}}
	if p.Dynatrace {
		out.ResourceDetectors = append(out.ResourceDetectors, &core.TypedExtensionConfig{
			Name:        "envoy.tracers.opentelemetry.resource_detectors.dynatrace",
			TypedConfig: Any(&detectors.DynatraceResourceDetectorConfig{}),
		})
	}
	if p.Sampler != nil {
		out.Sampler = dynatraceSampler(p.Sampler)
	}
	if p.Path != "" {
		out.HttpService = httpService(p.Cluster, p.Authority, p.Path, p.Timeout, p.Headers)
		return out
	}
	out.GrpcService = grpcService(p.Cluster, p.Authority)
	if p.Timeout > 0 {
		out.GrpcService.Timeout = durationpb.New(p.Timeout)
	}
	for _, h := range p.Headers {
		out.GrpcService.InitialMetadata = append(out.GrpcService.InitialMetadata, &core.HeaderValue{Key: h.Name, Value: h.Value})
	}
	return out
}

func dynatraceSampler(s *ir.DynatraceSampler) *core.TypedExtensionConfig {
	return &core.TypedExtensionConfig{
		Name: "envoy.tracers.opentelemetry.samplers.dynatrace",
		TypedConfig: Any(&samplers.DynatraceSamplerConfig{
			Tenant: s.Tenant, ClusterId: s.ClusterID, RootSpansPerMinute: s.RootSpans,
			HttpService: httpService(s.Cluster, s.Authority, s.Path, s.Timeout, s.Headers),
		}),
	}
}

func zipkin(p *ir.Zipkin) *tracev3.ZipkinConfig {
	out := &tracev3.ZipkinConfig{
		CollectorEndpointVersion: tracev3.ZipkinConfig_HTTP_JSON,
		TraceId_128Bit:           !p.Short,
		SharedSpanContext:        wrapperspb.Bool(false), // each proxy's span is one of its own
	}
	if p.W3C {
		out.TraceContextOption = tracev3.ZipkinConfig_USE_B3_WITH_W3C_PROPAGATION
	}
	if p.Timeout > 0 || len(p.Headers) > 0 {
		out.CollectorService = httpService(p.Cluster, p.Authority, p.Path, cmp.Or(p.Timeout, zipkinTimeout), p.Headers)
	} else {
		out.CollectorCluster, out.CollectorEndpoint, out.CollectorHostname = p.Cluster, p.Path, p.Authority
	}
	return out
}

// datadogService is the name of the service where the environment of Envoy's process has none; Envoy wants one.
const datadogService = "envoy"

func datadog(p *ir.Datadog) *tracev3.DatadogConfig {
	return &tracev3.DatadogConfig{CollectorCluster: p.Cluster, CollectorHostname: p.Authority, ServiceName: datadogService}
}

func skyWalking(p *ir.SkyWalking) *tracev3.SkyWalkingConfig {
	out := &tracev3.SkyWalkingConfig{GrpcService: grpcService(p.Cluster, p.Authority)}
	if p.Token != "" {
		out.ClientConfig = &tracev3.ClientConfig{BackendTokenSpecifier: &tracev3.ClientConfig_BackendToken{BackendToken: p.Token}}
	}
	return out
}

// zipkinTimeout is Envoy's own, for the form in which it has to be said.
const zipkinTimeout = 5 * time.Second

func httpService(cluster, authority, path string, timeout time.Duration, headers []ir.Header) *core.HttpService {
	return &core.HttpService{
		HttpUri: &core.HttpUri{
			Uri:              "http://" + authority + path,
			HttpUpstreamType: &core.HttpUri_Cluster{Cluster: cluster},
			Timeout:          durationpb.New(timeout),
		},
		RequestHeadersToAdd: headersToAdd(ir.HeaderOperation{Set: headers}),
	}
}
